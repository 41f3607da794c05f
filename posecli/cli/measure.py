"""posecli measure"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o
from posecli.lists import listed

if TYPE_CHECKING:
    from posecli.results.measure import Scale
    from posecli.results.recording import Recording

WHAT, SCALE, TILT = "What to measure", "Lengths in metres (default: pixels)", "Tilted camera"
DEFAULT_ANGLES = "knee,hip,elbow,shoulder,ankle,trunk"


def measure(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="The .json or .jsonl file of a run. A folder of them gives one table: minimum, maximum and range of each angle.",
        ),
    ],
    angles: Annotated[
        str | None,
        typer.Option(
            help="Between two limbs: knee, hip, elbow, shoulder, ankle. From the vertical: thigh, shank, upper_arm, forearm, "
            "trunk, head. From the horizontal: foot. One side only: left_knee. Default, without --speeds and --distances: "
            f"{DEFAULT_ANGLES.replace(',', ', ')}.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    speeds: Annotated[
        str | None,
        typer.Option(help="Speeds of these joints, such as wrist or left_ankle.", rich_help_panel=WHAT),
    ] = None,
    distances: Annotated[
        str | None,
        typer.Option(help="Distances between two joints, such as left_wrist-nose.", rich_help_panel=WHAT),
    ] = None,
    pixels_per_metre: Annotated[
        float | None, typer.Option(min=1e-6, help="Pixels in one metre.", rich_help_panel=SCALE)
    ] = None,
    scale_from_height: Annotated[
        float | None,
        typer.Option(min=1e-6, help="Height of every person in metres, such as 1.80.", rich_help_panel=SCALE),
    ] = None,
    body_heights: Annotated[
        bool,
        typer.Option(
            "--body-heights", help="Give lengths as a share of each person's height.", rich_help_panel=SCALE
        ),
    ] = False,
    known_length: Annotated[
        str | None,
        typer.Option(
            help="Two points in the picture and their distance, X1,Y1,X2,Y2=METRES, such as 120,400,520,400=1.5.",
            rich_help_panel=SCALE,
        ),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            help="Two points on a line that is horizontal in reality, X1,Y1,X2,Y2. It corrects the angles from the vertical "
            "and from the horizontal.",
            rich_help_panel=TILT,
        ),
    ] = None,
    rotate: Annotated[
        float,
        typer.Option(
            min=-180.0,
            max=180.0,
            help="Instead of --horizon: rotate the picture clockwise by this many degrees.",
            rich_help_panel=TILT,
        ),
    ] = 0.0,
    track: o.Tracks = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="CSV file. Default: RESULT.measure.csv; for a folder: summary.csv in it.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure joint angles, speeds and distances in every frame. Writes a CSV.

    [bold]Examples[/bold]

      posecli measure squat.pose.json
      posecli measure squat.pose.json --angles knee,hip,trunk --out angles.csv
      posecli measure jump.pose.json --speeds ankle --scale-from-height 1.80
      posecli measure jump.pose.json --speeds ankle --known-length 9,40,409,40=1.5
      posecli measure squat.pose.json --angles trunk --horizon 0,610,1279,588
      posecli measure results/ --angles knee --out table.csv
    """  # fmt: skip
    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.files import check_free, check_target
    from posecli.results.measure import measurable
    from posecli.results.measure_table import Camera, implausible_shares, table_of, unscaled, write_table
    from posecli.results.recording import only, read_result

    scales = (pixels_per_metre, scale_from_height, body_heights, known_length)
    if sum(x is not None and x is not False for x in scales) > 1:
        raise typer.BadParameter(
            "Give only one of --pixels-per-metre, --scale-from-height, --body-heights and --known-length."
        )
    if horizon is not None and rotate:
        raise typer.BadParameter("Give only one of --horizon and --rotate.")
    if known_length is not None:
        pixels_per_metre = _pixels_per_metre(known_length)
    lines = [line for line in (horizon, known_length and known_length.partition("=")[0]) if line]
    tilt = -rotate if horizon is None else _tilt(horizon)
    if angles is None and speeds is None and distances is None:
        angles = DEFAULT_ANGLES
    if result.is_dir():
        if speeds or distances or track or tilt:
            raise typer.BadParameter(
                "A folder gives a table of angles: leave out --speeds, --distances, --track, --horizon and --rotate."
            )
        by_default = angles == DEFAULT_ANGLES
        _summarise(result, listed(angles), by_default, out or result / "summary.csv", overwrite, quiet)
        return
    pairs = [_pair(text) for text in listed(distances)]
    target = out or result.with_name(f"{result.stem}.measure.csv")
    check_target(target, [".csv"], result.with_suffix(".csv"))
    check_free([target], overwrite)
    recording = only(read_result(result), track)
    _check_inside(recording, lines)
    scale = _scale(pixels_per_metre, scale_from_height, body_heights)
    wanted = listed(angles)
    if angles == DEFAULT_ANGLES:
        wanted = measurable(recording.joints, wanted)
        if not wanted:
            raise PoseError(
                f"{result} has no joints for the default angles; give --angles, --speeds or --distances."
            )
    rows = table_of(recording, wanted, listed(speeds), pairs, Camera(scale, tilt))
    by_height = scale.of_pixels is None and (speeds or pairs)
    unknown = unscaled(recording) if by_height else []
    write_table(rows, target)
    for number in unknown:
        console.tell(
            f"Person {number} is never seen from head to foot, so their height in pixels is not known. Their lengths "
            f"are left empty. Give --pixels-per-metre instead.",
            quiet,
        )
    for person, share in implausible_shares(rows):
        console.tell(
            f"Person {person}: in {share:.0%} of the frames a joint is implausible; see the last column, and "
            f"`posecli check`.",
            quiet,
        )
    console.tell(f"{target}: {len(rows) - 1} rows, {len(rows[0]) - 3} columns.", quiet)


def _summarise(
    folder: Path, angles: list[str], by_default: bool, target: Path, overwrite: bool, quiet: bool
) -> None:
    """Write one table for a folder of results. by_default: skip angles that a result has no joints for."""
    from natsort import natsorted

    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.files import check_free, check_target
    from posecli.results.measure import measurable
    from posecli.results.measure_table import SUMMARY_HEAD, summary_of, write_table
    from posecli.results.recording import read_result

    check_target(target, [".csv"])
    check_free([target], overwrite)
    results = []
    for path in natsorted([*folder.glob("*.json"), *folder.glob("*.jsonl")]):
        try:
            results.append((path.name, read_result(path)))
        except PoseError as error:
            console.tell(f"{error} It is skipped.", quiet)
    if not results:
        raise PoseError(f"{folder} holds no result of `posecli run`.")
    rows = [SUMMARY_HEAD]
    for name, recording in results:
        wanted = measurable(recording.joints, angles) if by_default else angles
        rows += summary_of([(name, recording)], wanted)[1:]
    write_table(rows, target)
    console.tell(f"{target}: {len(rows) - 1} rows of {len(results)} results.", quiet)


def _scale(pixels_per_metre: float | None, height: float | None, body_heights: bool) -> Scale:
    from posecli.results.measure import Scale

    if pixels_per_metre is not None:
        return Scale("m", 1 / pixels_per_metre)
    if height is not None:
        return Scale("m", None, o.metres_tall(height))
    return Scale("heights", None, 1.0) if body_heights else Scale("px", 1.0)


def _pixels_per_metre(text: str) -> float:
    line, _, metres = text.partition("=")
    try:
        length = float(metres)
    except ValueError:
        length = 0.0
    if not 0 < length < math.inf:
        raise typer.BadParameter(
            f"--known-length {text} needs a length above 0; write X1,Y1,X2,Y2=METRES, such as 120,400,520,400=1.5."
        )
    x1, y1, x2, y2 = _line(line, "--known-length")
    return math.dist((x1, y1), (x2, y2)) / length


def _tilt(text: str) -> float:
    """Clockwise rotation of the picture in degrees, from a line that is horizontal in reality."""
    x1, y1, x2, y2 = _line(text, "--horizon")
    (x1, y1), (x2, y2) = sorted([(x1, y1), (x2, y2)])
    tilt = math.degrees(math.atan2(y2 - y1, x2 - x1))
    if abs(tilt) > 45:
        raise typer.BadParameter(
            f"--horizon {text} is closer to vertical than to horizontal; give a line that is horizontal in reality."
        )
    return tilt


def _check_inside(recording: Recording, lines: list[str]) -> None:
    """Raise BadParameter for a line with a point outside the picture."""
    width, height = (recording.header["source"][side] for side in ("width", "height"))
    for text in lines:
        x1, y1, x2, y2 = _line(text, "--horizon or --known-length")
        if min(x1, x2, y1, y2) < 0 or max(x1, x2) > width or max(y1, y2) > height:
            raise typer.BadParameter(
                f"The line {text} is partly outside the picture, which is {width}x{height}."
            )


def _line(text: str, option: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != 4 or not all(map(math.isfinite, found)) or found[:2] == found[2:]:
        raise typer.BadParameter(
            f"{option} {text} is not a line; give two points in the picture, X1,Y1,X2,Y2."
        )
    return found


def _pair(text: str) -> tuple[str, str]:
    one, dash, other = text.partition("-")
    if not dash or not one or not other:
        raise typer.BadParameter(f"--distances {text} needs two joints, such as left_wrist-right_wrist.")
    return one, other
