"""posecli serve"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from posecli.cli import options as o


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on. 0: any free one.")] = 8000,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Keep uploads and results in this folder. Default: they go when the server ends."),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Let phones and computers in this network in: over HTTPS, with the token of the QR code.",
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    device: o.Device = "auto",
) -> None:
    """Serve a page in the browser: drop a video, click on a person, see angles, correct joints.

    Nothing leaves this machine. Only this machine can open the page, unless --lan is given.

    [bold]Examples[/bold]

      posecli serve
      posecli serve --data ~/poses --port 8080
      posecli serve --lan
    """
    from posecli.cli import console
    from posecli.optional import library

    for package in ("fastapi", "uvicorn", "python_multipart"):
        library(package, "serve")
    from posecli.serve.start import serve as run

    run(port, data=data, lan=lan, device=device, browser=browser, tell=console.tell)
