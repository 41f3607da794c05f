"""Shows a run on the terminal: progress bars, the window, and the summary at the end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from posecli.cli import console
from posecli.errors import PoseWarning

if TYPE_CHECKING:
    from posecli.api import Watch
    from posecli.cli.window import Window
    from posecli.output.record import Summary


def on_terminal(quiet: bool, window: Window | None = None) -> Watch:
    """Show progress bars on stderr, and each frame in the window, if there is one."""
    from posecli.api import Watch

    if quiet:  # hide warnings about unused engines, which do not change the result
        warnings.simplefilter("ignore", PoseWarning)

    @contextmanager
    def stage(what: str, total: int | None) -> Iterator[Callable[[], None]]:
        with console.progress(what, total, "frames", quiet) as bar:
            yield lambda: bar.advance(bar.task_ids[0]) if bar else None

    def tell(text: str) -> None:
        console.tell(text, quiet)

    if window is None:
        return Watch(stage, tell)
    return Watch(
        stage, tell, window.until_stopped, lambda poses: window.show(poses.frame.image), pictures=True
    )


def show_summary(summary: Summary, quiet: bool) -> None:
    for message in summary.messages:
        console.tell(message)
    speed = summary.frames / max(summary.seconds, 1e-9)
    console.tell(
        f"{summary.frames} frames, {len(summary.tracks)} tracks, {summary.people} bounding boxes, "
        f"{speed:.1f} frames/s.",
        quiet,
    )
    for path in summary.files:
        console.tell(f"  {path}", quiet)
