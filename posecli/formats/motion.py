"""Biomechanics' files: OpenSim's .trc and .mot, and C3D. One file a person: they hold a single one.

The picture's plane is x to the right and y up, z is 0; the origin lies at the picture's lower left corner.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posecli.errors import PoseError
from posecli.formats.common import followed, name_of, put, rate_of, uneven, whole
from posecli.optional import library
from posecli.results.measure import ANGLES, Scale, body_height, measure
from posecli.results.recording import Recording, Track
from posecli.types import Array

DECIMALS = 5  # metres: a hundredth of a millimetre


def write_trc(recording: Recording, out: Path, scale: Scale | None) -> list[Path]:
    """OpenSim's marker trajectories, in metres; nan where a person or a joint is not there, which its reader takes."""

    def one(track: Track) -> Callable[[Path], object]:
        points = _metres(recording, track, scale)
        count = len(recording.frames)
        rate = rate_of(recording)
        head = [
            f"PathFileType\t4\t(X/Y/Z)\t{out.name}",
            "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
            f"{rate:.6f}\t{rate:.6f}\t{count}\t{len(recording.joints)}\tm\t{rate:.6f}\t1\t{count}",
            "Frame#\tTime\t" + "\t".join(f"{joint}\t\t" for joint in recording.joints),
            "\t\t" + "\t".join(f"X{k}\tY{k}\tZ{k}" for k in range(1, len(recording.joints) + 1)),
            "",
        ]
        lines = [
            "\t".join([str(n + 1), f"{recording.times[n]:.6f}", *(_cell(v) for v in points[n].ravel())])
            for n in range(count)
        ]
        return lambda path: path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")

    return _each(recording, out, one)


def write_mot(recording: Recording, out: Path) -> list[Path]:
    """OpenSim's motion file: every angle of `measure` in degrees, by time; rows of the frames with the person."""

    def one(track: Track) -> Callable[[Path], object]:
        columns = measure(recording, track, angles=ANGLES)
        head = [
            out.stem,
            "version=1",
            f"nRows={len(track)}",
            f"nColumns={len(columns) + 1}",
            "inDegrees=yes",
            "endheader",
            "\t".join(["time", *(c.name for c in columns)]),
        ]
        lines = [
            "\t".join([f"{recording.times[row]:.6f}", *(f"{c.values[n]:.4f}" for c in columns)])
            for n, row in enumerate(track.rows)
        ]
        return lambda path: path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")

    return _each(recording, out, one)


def write_c3d(recording: Recording, out: Path, scale: Scale | None) -> list[Path]:
    """C3D, through ezc3d, in metres (32-bit floats); a residual of -1 says that nobody is there."""
    ezc3d = library("ezc3d")
    if uneven(recording):
        raise PoseError(
            "C3D knows one frame rate only, and this clip's times are uneven: `posecli smooth --method none "
            "--resample 100Hz` first."
        )

    def one(track: Track) -> Callable[[Path], object]:
        points = _metres(recording, track, scale)  # (F, K, 3)
        missing = np.isnan(points[..., 0])  # (F, K)
        data = np.ones((4, len(recording.joints), len(recording.frames)))
        data[:3] = np.nan_to_num(points).transpose(2, 1, 0)
        file: Any = ezc3d.c3d()
        file["header"]["points"]["first_frame"] = 0
        file["parameters"]["POINT"]["RATE"]["value"] = [rate_of(recording)]
        file["parameters"]["POINT"]["UNITS"]["value"] = ["m"]
        file["parameters"]["POINT"]["LABELS"]["value"] = list(recording.joints)
        file["data"]["points"] = data
        file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0).T[None]
        file["data"]["meta_points"]["camera_masks"] = np.zeros(
            (7, len(recording.joints), len(recording.frames)), bool
        )
        return lambda path: file.write(str(path))

    return _each(recording, out, one)


def _each(recording: Recording, out: Path, make: Callable[[Track], Callable[[Path], object]]) -> list[Path]:
    """A file for every person: OUT itself for a single one, else OUT with the name put in. All are made before the
    first is written."""
    tracks = followed(recording)
    made = [(track, make(track)) for track in tracks]
    paths = []
    for track, write in made:
        target = out
        if len(tracks) > 1:
            safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name_of(recording, track))
            target = out.with_name(f"{out.stem}.{safe}{out.suffix}")
        paths.append(put(target, write))
    return paths


def _metres(recording: Recording, track: Track, scale: Scale | None) -> Array:
    """(F, K, 3) metres, z = 0."""
    if scale is None or scale.unit != "m":
        raise PoseError(
            "This format holds metres: give --pixels-per-metre, or --scale-from-height with the person's."
        )
    metres = scale.of_pixels
    if metres is None and not len(track):
        metres = 1.0  # nobody has no height, and no place
    if metres is None:
        height = body_height(recording, track)
        if height is None:
            raise PoseError(
                f"Person {track.number} is never seen from head to foot, so there is no height to scale by; give "
                f"--pixels-per-metre, or take that person out (posecli edit --delete {track.number})."
            )
        metres = scale.height / height
    points = whole(recording, track)
    floor = recording.header["source"]["height"] - 0.5
    flat = np.zeros_like(points)
    flat[..., 0] = (points[..., 0] + 0.5) * metres
    flat[..., 1] = (floor - points[..., 1]) * metres
    flat[..., 2] = np.where(np.isnan(points[..., 0]), np.nan, 0.0)
    return flat


def _cell(value: float) -> str:
    return "nan" if np.isnan(value) else f"{value:.{DECIMALS}f}"
