"""The command line: one thin function per command. Errors are shown as one sentence."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import typer

from posecli.cli import (
    bench,
    check,
    compare,
    compare_motion,
    convert,
    demo,
    doctor,
    draw,
    edit,
    evaluate,
    events,
    export,
    image,
    info,
    measure,
    report,
    retrack,
    run,
    serve,
    smooth,
    train,
    train_detector,
    view,
    weights,
)
from posecli.cli.options import page
from posecli.errors import Interrupted, PoseError, PoseWarning
from posecli.prefetch import still_fetching
from posecli.version import __version__

FIND, RESULTS, NETWORKS, MACHINE = "Find people", "Work with a result", "Networks", "This machine"

app = typer.Typer(
    name="posecli",
    help="Find people in photos and videos, place their joints, follow each person.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, dict[str, Callable[..., None]]] = {  # grouped by the panels of the help page
    FIND: {
        "run": run.run,
        "image": image.image,
        "view": view.view,
        "serve": serve.serve,
        "demo": demo.demo,
    },
    RESULTS: {
        "report": report.report,
        "measure": measure.measure,
        "events": events.events,
        "compare-motion": compare_motion.compare_motion,
        "check": check.check,
        "smooth": smooth.smooth,
        "edit": edit.edit,
        "retrack": retrack.retrack,
        "draw": draw.draw,
        "convert": convert.convert,
    },
    NETWORKS: {
        "eval": evaluate.evaluate,
        "compare": compare.compare,
        "bench": bench.bench,
        "train": train.train,
        "train-detector": train_detector.train_detector,
        "export": export.export,
    },
    MACHINE: {"info": info.info, "doctor": doctor.doctor},
}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, **page(command), rich_help_panel=panel)(command)
app.add_typer(weights.weights, name="weights", rich_help_panel=NETWORKS)


def _show_version(value: bool) -> None:
    if value:
        print(f"posecli {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show Python's traceback with an error."),
) -> None:
    if debug:
        os.environ["POSECLI_DEBUG"] = "1"


def _show_warning(usual: Callable[..., None]) -> Callable[..., None]:
    """Show posecli's own warnings as plain sentences, and others in Python's way."""
    from posecli.cli import console

    def show(message: Warning | str, category: type[Warning], *where: object) -> None:
        if issubclass(category, PoseWarning):
            console.tell(str(message))
        else:
            usual(message, category, *where)

    return show


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit. Status: 0 success, 1 error, 2 wrong usage, 130 interrupted."""
    from posecli.cli import console

    warnings.showwarning = _show_warning(warnings.showwarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may be unprintable
            stream.reconfigure(errors="replace")
    try:
        app(arguments)
    except PoseError as error:
        if os.environ.get("POSECLI_DEBUG"):
            raise
        console.fail(" ".join([str(error), *getattr(error, "__notes__", [])]))
        _leave(130 if isinstance(error, Interrupted) else 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        _leave(1)
    except ImportError as error:
        if os.environ.get("POSECLI_DEBUG"):
            raise
        console.fail(_missing(error))
        _leave(1)
    except OSError as error:
        if os.environ.get("POSECLI_DEBUG"):
            raise
        console.fail(f"{error.filename or 'A file'}: {(error.strerror or str(error)).lower()}.")
        _leave(1)


def _leave(status: int) -> NoReturn:
    """Exit. If a thread is still inside a network, without Python's clean-up, during which such a thread crashes."""
    if still_fetching():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _missing(error: ImportError) -> str:
    text = str(error)
    if "libGL" in text or "libglib" in text or "libgthread" in text or "libxcb" in text:
        return (
            f"OpenCV needs a system library that is missing here ({text}); on Debian and Ubuntu: "
            f"apt-get install libgl1 libglib2.0-0."
        )
    extra = {"tensorboard": "train", "pycocotools": "train"}.get(error.name or "")
    if extra:
        return f"This needs the package {error.name}: pip install 'posecli[{extra}]'."
    if error.name in ("torch", "torchvision", "ultralytics"):
        return "This needs PyTorch and ultralytics, which are not installed: pip install torch torchvision ultralytics."
    if isinstance(error, ModuleNotFoundError) and error.name in ("scipy", "matplotlib"):
        return f"This needs the package {error.name}, which is not installed: pip install {error.name}."
    return f"A package is missing or broken ({text}); install posecli again."
