"""posecli weights"""

from __future__ import annotations

from typing import Annotated

import typer

weights = typer.Typer(no_args_is_help=True, help="List, download and verify weights.")
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the weights, as in `posecli weights list`.")
]


@weights.command("list")
def show() -> None:
    """List the installed weights and those that `pull` can download."""
    from rich.table import Table

    from posecli.cli import console
    from posecli.models import download
    from posecli.models import weights as shipped
    from posecli.models.checkpoints import read_spec

    table = Table("name", "MB", "skeleton", "score", "licence", "where")
    for name, path in shipped.shipped_models().items():
        spec = read_spec(path)
        dev = spec.scores.get("dev", {}).get("all")
        score = "" if dev is None else f"own dev PCK@0.2 {dev:.3f}"
        table.add_row(name, _megabytes(path), spec.skeleton, score, spec.licence, "shipped")
    for name, path in shipped.shipped_detectors().items():
        table.add_row(name, _megabytes(path), "boxes", "", "AGPL-3.0-or-later", "shipped")
    here = download.pulled()
    for name, p in download.PUBLISHED.items():
        where = str(here[name]) if name in here else "not here"
        table.add_row(name, f"{p.megabytes}", p.skeleton, p.score, p.licence, where)
    console.results.print(table)
    console.tell("To download weights: posecli weights pull NAME")


@weights.command(epilog="[bold]Example[/bold]\n\nposecli weights pull hg2\nposecli run clip.mp4 --model hg2")
def pull(
    name: Name,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="Download from this address instead. The environment variable POSECLI_MIRROR does the same."
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress bar and no summary.")
    ] = False,
) -> None:
    """Download published weights. An interrupted download continues."""
    from posecli.cli import console
    from posecli.models import download

    wanted = download.find_published(name)
    with console.progress(wanted.file_name, None, "MB", quiet) as bar:

        def step(done: int, total: int | None) -> None:
            if bar:
                bar.update(
                    bar.task_ids[0], completed=done >> 20, total=None if total is None else total >> 20
                )

        path = download.pull(wanted, mirror, step)
    if not wanted.sha256:
        console.tell(
            "No checksum was published for it. The checksum of this download is stored and checked from now on.",
            quiet,
        )
    console.tell(f"{name}: {wanted.licence}, {wanted.skeleton}. Use it with --model {name}.", quiet)
    print(path)


@weights.command()
def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of the weights. Default: all that were downloaded."),
    ] = None,
) -> None:
    """Verify the checksum (sha256) of all downloaded weights, or of NAME."""
    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.models import download

    here = download.pulled()
    if name is not None:
        download.find_published(name)
        if name not in here:
            raise PoseError(f"{name} is not downloaded: posecli weights pull {name}.")
        here = {name: here[name]}
    if not here:
        console.tell("No weights were downloaded yet.")
    for one, path in here.items():
        print(f"{one} {download.verify(download.PUBLISHED[one], path)} {path}")


@weights.command()
def path(name: Name) -> None:
    """Print the path of a model or detector."""
    from posecli.models import weights as shipped

    print(shipped.find_any(name))


def _megabytes(path: object) -> str:
    from pathlib import Path

    return f"{Path(str(path)).stat().st_size / 1e6:.0f}"
