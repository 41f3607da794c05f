"""Writes angles, speeds and distances of all people as one CSV."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.results.check import check, plausible_angles
from posecli.results.measure import Column, Scale, body_height, measure
from posecli.results.recording import Recording, Track, empty_track
from posecli.types import IMPLAUSIBLE, Array


@dataclass(frozen=True)
class Camera:
    """The scale and the tilt of the camera."""

    scale: Scale = Scale("px", 1.0)
    tilt: float = 0.0  # clockwise rotation of the picture in degrees

    def columns(self) -> dict[str, str]:
        """The camera columns of the table: name -> value."""
        told = {"tilt_deg": _number(self.tilt)} if self.tilt else {}
        if self.scale.unit == "m" and self.scale.of_pixels is not None:
            told["pixels_per_metre"] = _number(1 / self.scale.of_pixels)
        elif self.scale.unit == "m":
            told["height_m"] = _number(self.scale.height)
        return told


def write_table(rows: list[list[str]], target: Path) -> None:
    """Write a CSV. An interrupted write leaves no partial file. Raises PoseError."""

    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def table_of(
    recording: Recording,
    angles: list[str],
    speeds: list[str],
    distances: list[tuple[str, str]],
    camera: Camera = Camera(),
) -> list[list[str]]:
    """The rows of the CSV with the header first, sorted by frame and then by person.

    Values without a scale are empty. The last column has the joints that `check` flags as implausible. The camera
    columns come before it. Raises PoseError for names that the skeleton does not have.
    """

    def measured(track: Track) -> list[Column]:
        return measure(
            recording, track, angles=angles, speeds=speeds, distances=distances, scale=camera.scale, tilt=camera.tilt
        )  # fmt: skip

    told = camera.columns()
    rows: list[tuple[int, int, list[str]]] = []
    head: list[str] = []
    for track in check(recording)[0].tracks:
        columns = measured(track)
        wrong = track.marks.get(IMPLAUSIBLE, np.zeros(track.keypoints.shape[:2], bool))
        head = [name for c in columns for name in (f"{c.name}_{c.unit}", f"{c.name}_confidence")]
        for n, row in enumerate(track.rows):
            cells = [text for c in columns for text in (_number(c.values[n]), f"{c.confidence[n]:.4f}")]
            who = "" if track.number is None else str(track.number)
            start = [str(recording.frames[row]), f"{recording.times[row]:.6f}", who]
            flagged = " ".join(j for j, is_wrong in zip(recording.joints, wrong[n], strict=True) if is_wrong)
            rows.append((int(row), track.number or 0, [*start, *cells, *told.values(), flagged]))
    if not recording.tracks:  # nobody: only the header
        columns = measured(empty_track(None, recording))
        head = [name for c in columns for name in (f"{c.name}_{c.unit}", f"{c.name}_confidence")]
    names = ["frame", "time", "track", *head, *told, IMPLAUSIBLE]
    return [names, *[cells for _, _, cells in sorted(rows, key=lambda r: r[:2])]]


def implausible_shares(rows: list[list[str]]) -> list[tuple[str, float]]:
    """(person, share of frames with an implausible joint) for people who have any. rows: from `table_of`."""
    frames, wrong = Counter(row[2] for row in rows[1:]), Counter(row[2] for row in rows[1:] if row[-1])
    return [(who, count / frames[who]) for who, count in wrong.items()]


SUMMARY_HEAD = [
    "result", "track", "name", "angle", "frames",
    *(f"{side}_{what}_deg" for side in ("left", "right") for what in ("min", "max", "range")), "range_left_minus_right_deg",
]  # fmt: skip


def summary_of(results: list[tuple[str, Recording]], angles: list[str]) -> list[list[str]]:
    """One row per person and angle of several results, with the header first.

    It has minimum, maximum and range of both sides, without implausible joints. results: (name, result) pairs.
    """
    rows = [SUMMARY_HEAD]
    for name, recording in results:
        for track in check(recording)[0].tracks:
            values = {c.name: c.values for c in plausible_angles(recording, track, angles)}
            for angle in dict.fromkeys(name.removeprefix("left_").removeprefix("right_") for name in values):
                rows.append([name, *_person(recording, track), angle, *_summed(values, angle)])
    return rows


def _person(recording: Recording, track: Track) -> list[str]:
    if track.number is None:
        return ["", ""]
    return [str(track.number), recording.names.get(track.number, "")]


def _summed(values: dict[str, Array], angle: str) -> list[str]:
    """Number of frames, and min, max and range of left and right. An angle without a side is in the left columns."""
    sides = [values.get(f"{side}_{angle}", np.zeros(0)) for side in ("left", "right")]
    if angle in values:
        sides = [values[angle], np.zeros(0)]
    cells, ranges = [], []
    for side in sides:
        seen = side[np.isfinite(side)]
        low, high = (float(seen.min()), float(seen.max())) if len(seen) else (math.nan, math.nan)
        ranges.append(high - low)
        cells += [_number(low), _number(high), _number(high - low)]
    frames = max(int(np.isfinite(side).sum()) for side in sides)
    return [str(frames), *cells, _number(ranges[0] - ranges[1])]


def unscaled(recording: Recording) -> list[int]:
    """Track IDs of people without a known body height. Raises PoseError if nobody has one."""

    tracks = [t for t in recording.tracks if t.number is not None]
    unknown = [t.number for t in tracks if t.number is not None and body_height(recording, t) is None]
    if tracks and len(unknown) == len(tracks):
        raise PoseError(
            "Nobody is ever seen from head to foot, so there is no height to scale by; give --pixels-per-metre."
        )
    return unknown


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
