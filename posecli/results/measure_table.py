"""Angles, speeds and distances of everybody as one CSV."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.results.measure import Scale, body_height, measure
from posecli.results.recording import Recording, empty_track


def write_table(rows: list[list[str]], target: Path) -> None:
    """A CSV that is there whole or not at all; raises PoseError."""

    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def table_of(
    recording: Recording, angles: list[str], speeds: list[str], distances: list[tuple[str, str]], scale: Scale
) -> list[list[str]]:
    """The CSV's rows, by frame and then by person, head first; lengths without a scale are empty."""

    rows: list[tuple[int, int, list[str]]] = []
    head: list[str] = []
    for track in recording.tracks:
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


def unscaled(recording: Recording) -> list[int]:
    """People whose height nobody can tell; raises PoseError if that is everybody."""

    tracks = [t for t in recording.tracks if t.number is not None]
    unknown = [t.number for t in tracks if t.number is not None and body_height(recording, t) is None]
    if tracks and len(unknown) == len(tracks):
        raise PoseError(
            "Nobody is ever seen from head to foot, so there is no height to scale by; give --pixels-per-metre."
        )
    return unknown


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
