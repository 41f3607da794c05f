"""posecli report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o


def report(
    result: o.Result,
    video: Annotated[
        Path | None,
        typer.Option(help="The annotated video. Default: the .mp4 next to RESULT, if there is one."),
    ] = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Write the page without a video.")] = False,
    events: Annotated[
        str, typer.Option(help="Mark steps, jumps, repetitions or repetitions:elbow (see events).")
    ] = "",
    summary: Annotated[
        bool,
        typer.Option(
            "--summary",
            help="Also write RESULT.summary.html, a page to print: a table of the angles, left and right compared.",
        ),
    ] = False,
    link: Annotated[bool, typer.Option("--link", help="Link to the video instead of embedding it.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The HTML file. Default: RESULT.html.", rich_help_panel=o.OUTPUT),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Write an HTML page with the video, a timeline of the people, and curves of all joints and angles.

    The page opens in any browser and needs no internet. Move the mouse over a curve, and the video follows.

    [bold]Examples[/bold]

      posecli report clip.pose.json
      posecli report clip.pose.smooth.json --video clip.pose.mp4 --out curves.html
      posecli report walk.pose.json --events steps --summary
    """
    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.files import check_free, check_target, replacing
    from posecli.results.page import EMBEDDED_MB, write_report
    from posecli.results.recording import read_result
    from posecli.results.summary import summary_page

    target = out or result.with_suffix(".html")
    check_target(target, [".html", ".htm"])
    printed = target.with_name(f"{target.stem}.summary.html")
    check_free([target, *([printed] if summary else [])], overwrite)
    if video is not None and not video.is_file():
        raise PoseError(f"There is no video {video}.")
    beside = result.with_suffix(".mp4")
    chosen = None if no_video else video or (beside if beside.is_file() else None)
    recording = read_result(result)
    with console.steps(target.name, "people", quiet) as step:
        page = write_report(recording, target, chosen, link=link, events=events, progress=step)
    console.tell(f"{page.path}: {page.megabytes:.1f} MB.", quiet)
    if summary:
        with replacing(printed) as part:
            part.write_text(summary_page(recording, events), encoding="utf-8")
        console.tell(str(printed), quiet)
    if chosen is not None and not page.embedded and not link:
        console.tell(
            f"The video is over {EMBEDDED_MB} MB, so the page links to {chosen}: keep them together.", quiet
        )
