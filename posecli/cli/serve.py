"""posecli serve"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from posecli.cli import options as o


def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page. 0 takes any free port.")
    ] = 8000,
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Keep uploads and results in this folder. Default: they are deleted when the server stops."
        ),
    ] = None,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help="Allow phones and computers of this network, over HTTPS and with the token in the QR code.",
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    device: o.Device = "auto",
) -> None:
    """Work in the browser: drop a video, click on a person, see angles, correct joints.

    Your videos stay on this machine. Only this machine can open the page, unless you give --lan.

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
