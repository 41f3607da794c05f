"""posecli convert"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from posecli.cli import options as o
from posecli.lists import listed

METRES, READ = "Scale of trc, opensim and c3d", "With --to posecli"


def convert(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="The .json or .jsonl file of a run. With --to posecli: COCO results, a folder of OpenPose JSON, or a "
            "DeepLabCut .csv or .h5 file.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="coco, openpose, alphapose, halpe26, mmpose, dlc-csv, dlc-h5, trc, mot, opensim, c3d, parquet or npz. "
            "Separate several by commas. posecli: read the file of another tool.",
            rich_help_panel=o.OUTPUT,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The new file. For openpose and opensim: a folder. Default: next to RESULT.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    pixels_per_metre: Annotated[
        float | None, typer.Option(min=1e-6, help="Pixels in one metre.", rich_help_panel=METRES)
    ] = None,
    scale_from_height: Annotated[
        float | None,
        typer.Option(
            min=1e-6, help="Height of every person in metres, such as 1.80.", rich_help_panel=METRES
        ),
    ] = None,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Convert even if the format loses part of the data.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    track: o.Tracks = None,
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="The source video. Frame times and picture size come from it.", rich_help_panel=READ
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=1e-6, help="Frame rate, if there is no video.", rich_help_panel=READ)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Picture size, if there is no video, such as 1920x1080.", rich_help_panel=READ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Convert a result to the formats of other tools, or their results to posecli.

    [bold]Examples[/bold]

      posecli convert clip.pose.json --to parquet,npz
      posecli convert clip.pose.json --to coco --lossy
      posecli convert jump.pose.json --to trc --scale-from-height 1.80 --lossy
      posecli convert openpose_out/ --to posecli --source clip.mp4 --out clip.json
    """
    from posecli.cli import console
    from posecli.cli.changed import new_result, write_changed
    from posecli.errors import PoseError
    from posecli.files import check_free, check_target
    from posecli.formats import convert as formats
    from posecli.results.measure import Scale
    from posecli.results.recording import only, read_result

    names = listed(to)
    if names == ["posecli"]:
        files = new_result(out or result.with_name(f"{result.stem}.pose.json"), None, overwrite)
        write_changed(formats.read_foreign(result, source, rate, _size(size)), files, None, quiet)
        console.tell(f"{files.json}\n{files.csv}", quiet)
        return
    if source or rate or size:
        raise typer.BadParameter("--source, --rate and --size need --to posecli.")
    if not names or (len(names) > 1 and out is not None):
        raise typer.BadParameter("--out is one file, so --to takes one format with it.")
    scale = None
    if pixels_per_metre is not None and scale_from_height is not None:
        raise typer.BadParameter("give only one of --pixels-per-metre and --scale-from-height.")
    if pixels_per_metre is not None:
        scale = Scale("m", 1 / pixels_per_metre)
    elif scale_from_height is not None:
        scale = Scale("m", None, o.metres_tall(scale_from_height))
    recording = only(read_result(result), track)
    if not lossy:
        formats.refuse_losses(recording, names)
    targets = {name: out or formats.target_of(result, name) for name in names}
    for name, target in targets.items():
        check_target(target, formats.endings(name), result, result.with_suffix(".csv"))
        taken = target.exists() or any(target.parent.glob(f"{target.stem}.*{target.suffix}"))
        if name in formats.PER_PERSON and taken and not overwrite:
            raise PoseError(
                f"{target} or files of single people next to it exist already; choose another --out or add --overwrite."
            )
    check_free(targets.values(), overwrite)
    for name, target in targets.items():
        for path in formats.convert(recording, name, target, scale=scale, lossy=lossy):
            console.tell(str(path), quiet)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise typer.BadParameter(f"--size {text} is not a picture size; write it as 1920x1080.")
    return int(width), int(height)
