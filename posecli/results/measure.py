"""Angles, speeds and distances of tracked people. metrics/angles.py defines the angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.metrics.angles import JOINT_ANGLES, included_angle, lean, rise
from posecli.results.recording import Recording, Track, stretches
from posecli.types import Array

# (lower end, upper end) of a person who stands with hanging arms.
SEGMENTS = {
    "thigh": ("knee", "hip"),
    "shank": ("ankle", "knee"),
    "upper_arm": ("elbow", "shoulder"),
    "forearm": ("wrist", "elbow"),
}
MIDDLE_SEGMENTS = {"trunk": ("pelvis", "neck"), "head": ("neck", "head_top")}
LYING_SEGMENTS = {"foot": ("heel", "big_toe")}  # (back, front)
ANGLES = (*JOINT_ANGLES, *SEGMENTS, *LYING_SEGMENTS, *MIDDLE_SEGMENTS)
# Angles that change sign when the image is mirrored. They are unwrapped over time.
MIRRORED = (*SEGMENTS, *MIDDLE_SEGMENTS)
# Joints computed as the midpoint of two others, for skeletons without them.
MIDDLES = {"pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder")}
# The distance from the top of the head to the ankles as a share of the body height. The rest is below the
# ankles (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1).
CHAIN = 0.961
STRETCHED = 90  # percentile of that distance over time; a bent or turned body looks shorter
SURE = 0.4  # minimum confidence of the joints used for the body height


@dataclass(frozen=True)
class Column:
    """One measured quantity of one person over time."""

    name: str  # such as left_knee or left_wrist_speed
    unit: str  # deg, px, px_s, m, m_s, heights or heights_s
    values: Array  # (N,) in `unit`; NaN if a joint is missing or the scale is unknown
    confidence: Array  # (N,) lowest confidence of the joints used


@dataclass(frozen=True)
class Scale:
    """The unit of lengths."""

    unit: str  # px, m or heights
    of_pixels: float | None = None  # length of one pixel in this unit; None: from each person's body height
    height: float = 1.0  # body height in this unit


def measure(
    recording: Recording,
    track: Track,
    *,
    angles: Sequence[str] = (),
    speeds: Sequence[str] = (),
    distances: Sequence[tuple[str, str]] = (),
    scale: Scale = Scale("px", 1.0),
    tilt: float = 0.0,
) -> list[Column]:
    """Angles, speeds and distances of one person, with one value per frame of the track.

    angles: names from ANGLES for both sides (knee), or with a side (left_knee).
    speeds: joint names, with or without a side. distances: pairs of joint names.
    tilt: clockwise rotation of the picture in degrees. Segment angles are corrected for it.

    Lengths in heights or metres are NaN for a person who is never visible from head to foot.
    Raises PoseError for names that the skeleton does not have, and for speeds or segment angles of an
    untracked result.
    """
    if track.number is None and len(track) and (speeds or any(bare_name(a) in MIRRORED for a in angles)):
        raise PoseError(
            "This result was made with --no-tracking: nobody can be followed, so there are only angles of joints and feet."
        )
    points = _Points(recording.joints, track.keypoints, tilt)
    times = recording.times[track.rows]
    columns = [points.angle(name) for name in _both_sides(angles, ANGLES, tuple(MIDDLE_SEGMENTS), "angle")]
    if speeds or distances:
        height = body_height(recording, track) if scale.of_pixels is None else None
        pixel = scale.of_pixels or (scale.height / height if height else np.nan)
        for joint in _both_sides(speeds, points.names(), points.without_side(), "joint"):
            at, sure = points[joint]
            columns.append(
                Column(f"{joint}_speed", f"{scale.unit}_s", pixel * _speed(at, times, track.rows), sure)
            )
        for a, b in distances:
            (one, sure_a), (other, sure_b) = points[a], points[b]
            length = pixel * np.linalg.norm(one - other, axis=1)
            columns.append(Column(f"{a}_to_{b}", scale.unit, length, np.minimum(sure_a, sure_b)))
    return columns


def check_angles(joints: Sequence[str], angles: Sequence[str]) -> None:
    """Raise PoseError if these joints are not enough for one of the angles."""
    points = _Points(joints, np.zeros((0, len(joints), 3)))
    for name in _both_sides(angles, ANGLES, tuple(MIDDLE_SEGMENTS), "angle"):
        points.angle(name)


def measurable(joints: Sequence[str], angles: Sequence[str]) -> list[str]:
    """The angles that these joints allow. If only one side is available, the name gets that side."""
    found = []
    for angle in angles:
        for name in (angle, f"left_{angle}", f"right_{angle}"):
            try:
                check_angles(joints, [name])
            except PoseError:
                continue
            found.append(name)
            break
    return found


def body_height(recording: Recording, track: Track) -> float | None:
    """Body height in pixels, from the distance along the body from head to ankles.

    None if the joints needed never have enough confidence in the same frame.
    """
    points = _Points(recording.joints, track.keypoints)
    (head, a), (neck, b), (pelvis, c) = points["head_top"], points["neck"], points["pelvis"]
    chain = np.linalg.norm(head - neck, axis=1) + np.linalg.norm(neck - pelvis, axis=1)
    sure = np.minimum(np.minimum(a, b), c)
    legs = []
    for side in ("left", "right"):
        (hip, d), (knee, e), (ankle, f) = (points[f"{side}_{j}"] for j in ("hip", "knee", "ankle"))
        length = np.linalg.norm(hip - knee, axis=1) + np.linalg.norm(knee - ankle, axis=1)
        legs.append(np.where(np.minimum(np.minimum(d, e), f) >= SURE, length, np.nan))
    whole = chain + np.nanmax([legs[0], legs[1], np.zeros(len(chain))], axis=0)
    good = (sure >= SURE) & ~np.isnan(legs).all(axis=0)
    if not good.any():
        return None
    return float(np.percentile(whole[good], STRETCHED)) / CHAIN


class _Points:
    """The joints of one track by name, with the midpoints in MIDDLES."""

    def __init__(self, joints: Sequence[str], keypoints: Array, tilt: float = 0.0) -> None:
        self._joints, self._keypoints, self._tilt = list(joints), keypoints, tilt

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(bare_name(j) for j in self._joints))

    def without_side(self) -> tuple[str, ...]:
        return tuple(j for j in self._joints if not _has_side(j))

    def __getitem__(self, joint: str) -> tuple[Array, Array]:
        """(N, 2) pixels and (N,) confidence."""
        if joint in self._joints:
            found = self._keypoints[:, self._joints.index(joint)]
            return found[:, :2], found[:, 2]
        if joint in MIDDLES and all(j in self._joints for j in MIDDLES[joint]):
            (a, sure_a), (b, sure_b) = (self[j] for j in MIDDLES[joint])
            return (a + b) / 2, np.minimum(sure_a, sure_b)
        raise PoseError(f"This result has no joint {joint}; it has {', '.join(self._joints)}.")

    def has(self, joint: str) -> bool:
        return joint in self._joints or all(j in self._joints for j in MIDDLES.get(joint, (joint,)))

    def angle(self, name: str) -> Column:
        bare = bare_name(name)
        parts = {**JOINT_ANGLES, **SEGMENTS, **LYING_SEGMENTS, **MIDDLE_SEGMENTS}[bare]
        joints = [name.removesuffix(bare) + part for part in parts]
        lacking = [joint for joint in joints if not self.has(joint)]
        if lacking:
            raise PoseError(
                f"This result has no joint {' and no joint '.join(lacking)}, so it does not give the angle {name}; it has "
                f"{', '.join(self._joints)}."
            )
        places, sure = [self[joint][0] for joint in joints], [self[joint][1] for joint in joints]
        if bare in JOINT_ANGLES:
            values = included_angle(*places)
        elif bare in LYING_SEGMENTS:
            values = rise(places[0], places[1], self._tilt)
        else:
            values = lean(*places) - self._tilt
        return Column(name, "deg", values, np.minimum.reduce(sure))


def _speed(at: Array, times: Array, rows: npt.NDArray[np.intp]) -> Array:
    """Speed (N,) in the unit of `at` per second, within runs of consecutive frames.

    NaN if the joint is missing, or if it is missing in both neighbouring frames.
    """
    speed = np.full(len(at), np.nan)
    there = np.flatnonzero(~np.isnan(at[:, 0]))
    for part in stretches(rows[there]):
        stretch = there[part]
        if len(stretch) > 1:
            velocity = np.gradient(at[stretch], times[stretch], axis=0)
            speed[stretch] = np.linalg.norm(velocity, axis=1)
    return speed


def _both_sides(names: Sequence[str], known: Sequence[str], middle: Sequence[str], what: str) -> list[str]:
    """Add the sides to names: knee -> left_knee, right_knee. Raises PoseError for unknown names."""
    found = []
    for name in names:
        bare = bare_name(name)
        if bare not in known or (bare in middle and bare != name):
            raise PoseError(f"There is no {what} {name!r}; choose from {', '.join(known)}.")
        found += [name] if bare in middle or bare != name else [f"left_{name}", f"right_{name}"]
    return found


def bare_name(name: str) -> str:
    """left_knee -> knee."""
    return name.split("_", 1)[1] if _has_side(name) else name


def _has_side(name: str) -> bool:
    return name.startswith(("left_", "right_"))
