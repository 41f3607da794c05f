"""posecli draw"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing


@o.takes(o.drawing)
def draw(
    result: o.Result,
    source: Annotated[str, typer.Argument(help="The source video or photos.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new video. Default: RESULT.mp4.")
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    *,
    drawing: Drawing,
) -> None:
    """Draw a result into its video again. No network runs, so it is fast.

    [bold]Examples[/bold]

      posecli draw clip.pose.json clip.mp4 --out thin.mp4 --line-width 0.5 --colours people
      posecli draw clip.pose.json clip.mp4 --out class.mp4 --blur-faces
      posecli draw clip.pose.json clip.mp4 --out path.mp4 --black --trails left_wrist,right_wrist
    """
    from posecli.cli import console
    from posecli.cli.changed import draw as draw_video
    from posecli.files import check_free, check_not_source
    from posecli.output.video import check_output
    from posecli.results.recording import read_result

    target = out or result.with_suffix(".mp4")
    check_output(target)
    check_free([target], overwrite)
    check_not_source([target], source)
    recording = read_result(result)
    count = draw_video(recording, source, target, drawing, quiet)
    console.tell(f"{target}: {count} frames.", quiet)
