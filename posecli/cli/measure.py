"""posecli measure"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.results.measure import Scale
    from posecli.results.recording import Recording

DEFAULT_ANGLES = "knee,hip,elbow,shoulder,trunk"


def measure(
    result: Annotated[Path, typer.Argument(help="A .json or .jsonl that `run` wrote.")],
    angles: Annotated[
        str | None,
        typer.Option(
            help="knee, hip, elbow, shoulder (between two limbs), thigh, shank, upper_arm, forearm, trunk, head (from "
            f"upright); a side before one picks it: left_knee. Default, if nothing else is asked for: {DEFAULT_ANGLES}."
        ),
    ] = None,
    speeds: Annotated[str | None, typer.Option(help="Of joints, such as wrist or left_ankle.")] = None,
    distances: Annotated[
        str | None, typer.Option(help="Between joints, such as left_wrist-right_wrist,nose-left_ankle.")
    ] = None,
    pixels_per_metre: Annotated[
        float | None, typer.Option(min=1e-6, help="Tell lengths in metres: so many pixels are one.")
    ] = None,
    scale_from_height: Annotated[
        float | None, typer.Option(min=1e-6, help="Tell lengths in metres: the people are so tall.")
    ] = None,
    body_heights: Annotated[
        bool, typer.Option("--body-heights", help="Tell lengths in each person's own height.")
    ] = False,
    track: Annotated[list[int] | None, typer.Option(help="Only this person; may be given again.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file. Default: like RESULT, .measure.csv.")
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Joint angles, speeds and distances of every person over time, as CSV.

    [bold]Examples[/bold]

      posecli measure squat.pose.json
      posecli measure squat.pose.json --angles knee,hip,trunk --out angles.csv
      posecli measure jump.pose.json --speeds ankle --scale-from-height 1.80
    """  # fmt: skip
    from posecli.cli import console
    from posecli.files import check_free
    from posecli.results.recording import read_result

    if sum(x is not None and x is not False for x in (pixels_per_metre, scale_from_height, body_heights)) > 1:
        raise typer.BadParameter(
            "Only one of --pixels-per-metre, --scale-from-height and --body-heights can hold."
        )
    if angles is None and speeds is None and distances is None:
        angles = DEFAULT_ANGLES
    pairs = [_pair(text) for text in _words(distances)]
    target = out or result.with_name(f"{result.stem}.measure.csv")
    check_free([target], overwrite)
    recording = read_result(result)
    scale = _scale(pixels_per_metre, scale_from_height, body_heights)
    rows = table_of(recording, _words(angles), _words(speeds), pairs, scale, track)
    by_height = scale.of_pixels is None and (speeds or pairs)
    unknown = unscaled(recording, track) if by_height else []
    write_table(rows, target)
    for number in unknown:
        console.tell(
            f"Person {number} is never seen from head to foot, so there is no height to scale by and their lengths "
            f"are left empty; --pixels-per-metre would tell them.",
            quiet,
        )
    console.tell(f"{target}: {len(rows) - 1} rows, {len(rows[0]) - 3} columns.", quiet)


def write_table(rows: list[list[str]], target: Path) -> None:
    """A CSV that is there whole or not at all; raises PoseError."""
    import csv

    from posecli.files import replacing

    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def table_of(
    recording: Recording, angles: list[str], speeds: list[str], distances: list[tuple[str, str]], scale: Scale,
    chosen: list[int] | None,
) -> list[list[str]]:  # fmt: skip
    """The CSV's rows, by frame and then by person, head first; lengths without a scale are empty."""
    from posecli.errors import PoseError
    from posecli.results.measure import measure
    from posecli.results.recording import empty_track

    known = [t.number for t in recording.tracks]
    for number in chosen or []:
        if number not in known:
            raise PoseError(f"There is no person {number} in this result; it has {known}.")
    rows: list[tuple[int, int, list[str]]] = []
    head: list[str] = []
    for track in recording.tracks:
        if chosen and track.number not in chosen:
            continue
        columns = measure(recording, track, angles=angles, speeds=speeds, distances=distances, scale=scale)
        head = [name for c in columns for name in (f"{c.name}_{c.unit}", f"{c.name}_confidence")]
        for n, row in enumerate(track.rows):
            cells = [text for c in columns for text in (_number(c.values[n]), f"{c.confidence[n]:.4f}")]
            who = "" if track.number is None else str(track.number)
            start = [str(recording.frames[row]), f"{recording.times[row]:.6f}", who]
            rows.append((int(row), track.number or 0, start + cells))
    if not recording.tracks:  # nobody: the head alone
        nobody = empty_track(None, recording)
        columns = measure(recording, nobody, angles=angles, speeds=speeds, distances=distances, scale=scale)
        head = [name for c in columns for name in (f"{c.name}_{c.unit}", f"{c.name}_confidence")]
    return [["frame", "time", "track", *head], *[cells for _, _, cells in sorted(rows, key=lambda r: r[:2])]]


def unscaled(recording: Recording, chosen: list[int] | None) -> list[int]:
    """People whose height nobody can tell; raises PoseError if that is everybody."""
    from posecli.errors import PoseError
    from posecli.results.measure import body_height

    tracks = [t for t in recording.tracks if t.number is not None and (not chosen or t.number in chosen)]
    unknown = [t.number for t in tracks if t.number is not None and body_height(recording, t) is None]
    if tracks and len(unknown) == len(tracks):
        raise PoseError(
            "Nobody is ever seen from head to foot, so there is no height to scale by; give --pixels-per-metre."
        )
    return unknown


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"


def _scale(pixels_per_metre: float | None, height: float | None, body_heights: bool) -> Scale:
    from posecli.results.measure import Scale

    if pixels_per_metre is not None:
        return Scale("m", 1 / pixels_per_metre)
    if height is not None:
        return Scale("m", None, height)
    return Scale("heights", None, 1.0) if body_heights else Scale("px", 1.0)


def _words(text: str | None) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()] if text else []


def _pair(text: str) -> tuple[str, str]:
    one, dash, other = text.partition("-")
    if not dash or not one or not other:
        raise typer.BadParameter(f"--distances {text} names no two joints; write left_wrist-right_wrist.")
    return one, other
