"""Messages and progress bars on stderr, and errors as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

messages = Console(stderr=True, highlight=False, markup=False)
results = Console(highlight=False, markup=False)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} {task.fields['unit']}/s", style="cyan")


@contextmanager
def progress(what: str, total: int | None, unit: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on stderr with speed and remaining time. None if quiet."""
    if quiet:
        yield None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=messages,
        transient=not sys.stderr.isatty(),
    )
    with bar:
        bar.add_task(escape(printable(what)), total=total, unit=unit)
        yield bar


@contextmanager
def steps(what: str, unit: str, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Like `progress`, for work that reports its progress as (done, total)."""
    with progress(what, None, unit, quiet) as bar:
        yield lambda done, total: bar.update(bar.task_ids[0], completed=done, total=total) if bar else None


def tell(text: str, quiet: bool = False) -> None:
    """Print a message to stderr."""
    if not quiet:
        messages.print(printable(text), markup=False, soft_wrap=True)


def fail(text: str) -> None:
    """Print an error to stderr, even with --quiet."""
    messages.print(Text.assemble(("Error: ", "bold red"), printable(text)), soft_wrap=True)


def printable(text: str) -> str:
    """Escape control characters, so that a file name can't send commands to the terminal."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    encoding = sys.stderr.encoding or "utf-8"
    return shown.encode(encoding, "replace").decode(encoding)  # a terminal that is not UTF-8 shows ?
