"""posecli draw"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.defaults import KEYPOINT_CONFIDENCE


def draw(
    result: Annotated[Path, typer.Argument(help="A .json or .jsonl that `run` wrote.")],
    source: Annotated[str, typer.Argument(help="The video, or photos, that it was made from.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The video. Default: like RESULT, .mp4.")
    ] = None,
    colours: Annotated[
        str, typer.Option(help="sides (left and right apart) or people (each person in one).")
    ] = "sides",
    line_width: Annotated[
        float, typer.Option(min=0.1, max=10.0, help="Times what suits the person's size.")
    ] = 1.0,
    boxes: Annotated[bool, typer.Option("--boxes/--no-boxes")] = True,
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Numbers or names at the boxes.")
    ] = True,
    skeletons: Annotated[bool, typer.Option("--skeletons/--no-skeletons")] = True,
    trails: Annotated[str | None, typer.Option(help="Paths of joints: left_wrist,right_ankle.")] = None,
    trail_seconds: Annotated[float, typer.Option(min=0.01, help="How long a path stays.")] = 1.0,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="Hide the heads of everybody in RESULT (and of nobody else).")
    ] = False,
    black: Annotated[bool, typer.Option("--black", help="On black ground instead of the picture.")] = False,
    keypoint_confidence: o.KeypointConfidence = KEYPOINT_CONFIDENCE,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw a result into its video again; no network runs.

    [bold]Examples[/bold]

      posecli draw clip.pose.json clip.mp4 --out thin.mp4 --line-width 0.5 --colours people
      posecli draw clip.pose.json clip.mp4 --out class.mp4 --blur-faces
      posecli draw clip.pose.json clip.mp4 --out path.mp4 --black --trails left_wrist,right_wrist
    """
    from posecli.cli import console
    from posecli.cli.changed import draw as draw_video
    from posecli.draw.skeleton import Look
    from posecli.files import check_free
    from posecli.output.video import check_output
    from posecli.results.recording import read_result
    from posecli.results.render import Drawing

    if colours not in ("sides", "people"):
        raise typer.BadParameter("--colours is sides or people.")
    target = out or result.with_suffix(".mp4")
    check_output(target)
    check_free([target], overwrite)
    recording = read_result(result)
    drawing = Drawing(
        Look(colours, line_width, boxes, labels),  # type: ignore[arg-type]
        keypoint_confidence,
        tuple(t.strip() for t in trails.split(",") if t.strip()) if trails else (),
        trail_seconds,
        blur_faces,
        black,
        skeletons,
    )
    count = draw_video(recording, source, target, drawing, quiet)
    console.tell(f"{target}: {count} frames.", quiet)
