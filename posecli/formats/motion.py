"""Writes files for biomechanics: .trc and .mot of OpenSim, and C3D. Each file holds one person.

x points to the right of the picture, y points up, and z is 0. The origin is the lower left corner.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posecli.errors import PoseError
from posecli.formats.common import followed, put, rate_of, safe_name, uneven, whole
from posecli.metrics.angles import lean
from posecli.optional import library
from posecli.results.measure import Scale, body_height, measure
from posecli.results.recording import Recording, Track
from posecli.types import Array

DECIMALS = 5  # metres: a hundredth of a millimetre


def write_trc(recording: Recording, out: Path, scale: Scale | None) -> list[Path]:
    """OpenSim's marker trajectories in metres. Missing people and joints are nan, which OpenSim can read."""

    def one(track: Track) -> Callable[[Path], object]:
        points = metres(recording, track, scale)
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
    """OpenSim's motion file for the model Rajagopal 2016, in degrees, with a row for each frame of the person.

    It has only the coordinates that are visible to a camera from the side. The others keep the default of the
    model.
    """

    def one(track: Track) -> Callable[[Path], object]:
        columns = coordinates(recording, track)
        head = [
            out.stem,
            "version=1",
            f"nRows={len(track)}",
            f"nColumns={len(columns) + 1}",
            "inDegrees=yes",
            "endheader",
            "\t".join(["time", *columns]),
        ]
        lines = [
            "\t".join([f"{recording.times[row]:.6f}", *(f"{values[n]:.4f}" for values in columns.values())])
            for n, row in enumerate(track.rows)
        ]
        return lambda path: path.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")

    return _each(recording, out, one)


def coordinates(recording: Recording, track: Track) -> dict[str, Array]:
    """The OpenSim coordinates of one person: name -> degrees (N,).

    0 means upright, a straight limb, or a foot at right angles to the shank. Bending forwards is positive, except
    for pelvis_tilt, where backwards is positive. Trunk and pelvis tilt together. The direction that the person
    faces comes from the nose and the shoulders. Ankle angles need a skeleton with heels and toes.
    Raises PoseError if joints are missing.
    """
    forward = _facing(recording, track)
    leans = {
        c.name: forward * c.values
        for c in measure(recording, track, angles=("trunk", "thigh", "shank", "upper_arm", "forearm"))
    }
    trunk = leans["trunk"]
    found = {"pelvis_tilt": -trunk}
    for side, short in (("left", "l"), ("right", "r")):
        thigh, shank = leans[f"{side}_thigh"], leans[f"{side}_shank"]
        upper_arm, forearm = leans[f"{side}_upper_arm"], leans[f"{side}_forearm"]
        found[f"hip_flexion_{short}"] = _turned(trunk - thigh)
        found[f"knee_angle_{short}"] = _turned(shank - thigh)
        found[f"arm_flex_{short}"] = _turned(trunk - upper_arm)
        found[f"elbow_flex_{short}"] = _turned(upper_arm - forearm)
        ends = [f"{side}_{joint}" for joint in ("heel", "big_toe")]
        if all(joint in recording.joints for joint in ends):
            heel, toe = (track.keypoints[:, recording.joints.index(joint), :2] for joint in ends)
            found[f"ankle_angle_{short}"] = _turned(shank - forward * lean(heel, toe) + 90)
    return found


def _facing(recording: Recording, track: Track) -> float:
    """1 if the person faces to the right of the picture in most frames, -1 if to the left.

    Raises PoseError if the skeleton has no nose or no shoulders.
    """
    places = {joint: k for k, joint in enumerate(recording.joints)}
    shoulders = [places[j] for j in ("left_shoulder", "right_shoulder") if j in places]
    if "nose" not in places or len(shoulders) < 2:
        raise PoseError("This result has no nose or no shoulders, so the direction of movement is not known.")
    ahead = track.keypoints[:, places["nose"], 0] - track.keypoints[:, shoulders, 0].mean(axis=1)
    seen = ahead[np.isfinite(ahead)]
    return -1.0 if len(seen) and np.median(seen) < 0 else 1.0


def _turned(degrees: Array) -> Array:
    """Wrap angles to the range from -180 to 180 degrees."""
    within: Array = (degrees + 180) % 360 - 180
    return within


def write_c3d(recording: Recording, out: Path, scale: Scale | None) -> list[Path]:
    """C3D in metres (32-bit floats), written with ezc3d. A residual of -1 marks a missing joint.

    Raises PoseError if the frame times are uneven.
    """
    ezc3d = library("ezc3d")
    if uneven(recording):
        raise PoseError(
            "C3D knows one frame rate only, and this clip's times are uneven: `posecli smooth --method none "
            "--resample 100Hz` first."
        )

    def one(track: Track) -> Callable[[Path], object]:
        points = metres(recording, track, scale)  # (F, K, 3)
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
    """Write one file per person: OUT for a single person, otherwise OUT with the person's name inserted.

    The contents of all files are prepared before the first one is written.
    """
    tracks = followed(recording)
    made = [(track, make(track)) for track in tracks]
    paths = []
    for track, write in made:
        target = out
        if len(tracks) > 1:
            target = out.with_name(f"{out.stem}.{safe_name(recording, track)}{out.suffix}")
        paths.append(put(target, write))
    return paths


def metres(recording: Recording, track: Track, scale: Scale | None) -> Array:
    """Joint positions (F, K, 3) in metres, with z = 0. Raises PoseError without a scale in metres."""
    if scale is None or scale.unit != "m":
        raise PoseError(
            "This format holds metres: give --pixels-per-metre, or --scale-from-height with the person's."
        )
    pixel = scale.of_pixels
    if pixel is None and not len(track):
        pixel = 1.0  # an empty track: the scale does not matter
    if pixel is None:
        height = body_height(recording, track)
        if height is None:
            raise PoseError(
                f"Person {track.number} is never seen from head to foot, so there is no height to scale by; give "
                f"--pixels-per-metre, or name the others with --track."
            )
        pixel = scale.height / height
    points = whole(recording, track)
    floor = recording.header["source"]["height"] - 0.5
    flat = np.zeros_like(points)
    flat[..., 0] = (points[..., 0] + 0.5) * pixel
    flat[..., 1] = (floor - points[..., 1]) * pixel
    flat[..., 2] = np.where(np.isnan(points[..., 0]), np.nan, 0.0)
    return flat


def _cell(value: float) -> str:
    return "nan" if np.isnan(value) else f"{value:.{DECIMALS}f}"
