"""posecli draw"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing


@o.takes(o.drawing)
def draw(
    result: o.Result,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source video or photos.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The new video. Default: RESULT.mp4.", rich_help_panel=o.OUTPUT),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            help="Mark steps, jumps, repetitions or repetitions:elbow (see events).",
            rich_help_panel=o.DRAWING,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    *,
    drawing: Drawing,
) -> None:
    """Draw a result on its video again, such as in other colours. Fast: no network runs.

    [bold]Examples[/bold]

      posecli draw clip.pose.json clip.mp4 --out thin.mp4 --line-width 0.5
      posecli draw clip.pose.json clip.mp4 --out class.mp4 --blur-faces
      posecli draw clip.pose.json clip.mp4 --out path.mp4 --black --trails nose
      posecli draw walk.pose.json walk.mp4 --out steps.mp4 --events steps
    """
    from posecli.cli import console
    from posecli.cli.changed import draw as draw_video
    from posecli.files import check_free, check_not_source
    from posecli.output.video import check_output
    from posecli.results.events import asked_events, marks
    from posecli.results.recording import read_result

    target = out or result.with_suffix(".mp4")
    check_output(target)
    check_free([target], overwrite)
    check_not_source([target], source)
    recording = read_result(result)
    if events:
        drawing = replace(drawing, marks=marks(asked_events(recording, events)))
    count = draw_video(recording, source, target, drawing, quiet)
    console.tell(f"{target}: {count} frames.", quiet)
