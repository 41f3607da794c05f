"""Angles, speeds and distances of tracked people (see metrics/angles.py for what an angle is)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.metrics.angles import JOINT_ANGLES, included_angle, lean, rise
from posecli.results.recording import Recording, Track, stretches
from posecli.types import Array

# (lower end, upper end) of somebody who stands with hanging arms.
SEGMENTS = {
    "thigh": ("knee", "hip"),
    "shank": ("ankle", "knee"),
    "upper_arm": ("elbow", "shoulder"),
    "forearm": ("wrist", "elbow"),
}
MIDDLE_SEGMENTS = {"trunk": ("pelvis", "neck"), "head": ("neck", "head_top")}
LYING_SEGMENTS = {"foot": ("heel", "big_toe")}  # (back, front)
ANGLES = (*JOINT_ANGLES, *SEGMENTS, *LYING_SEGMENTS, *MIDDLE_SEGMENTS)
# Angles that change their sign in a mirror, and are followed from frame to frame.
MIRRORED = (*SEGMENTS, *MIDDLE_SEGMENTS)
# Middles of two joints, for skeletons that do not have them.
MIDDLES = {"pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder")}
# The chain from the top of the head to the ankles is this share of a person's height; the rest is under the
# ankle (Winter, Biomechanics and Motor Control of Human Movement, fig. 4.1).
CHAIN = 0.961
STRETCHED = 90  # percentile of the chain over time: bent or turned away it is shorter
SURE = 0.4  # confidence of joints that lengths are taken of


@dataclass(frozen=True)
class Column:
    """One quantity of one person over time."""

    name: str  # such as left_knee or left_wrist_speed
    unit: str  # deg, px, px_s, m, m_s, heights or heights_s
    values: Array  # (N,), nan where there is nothing to scale by
    confidence: Array  # (N,) the least of the joints that it is made of


@dataclass(frozen=True)
class Scale:
    """The unit of lengths."""

    unit: str  # px, m or heights
    of_pixels: float | None = None  # one pixel in it; None: by each person's height
    height: float = 1.0  # of a person, in it


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

    angles: names of ANGLES, for both sides, or with a side (left_knee); speeds and distances: joints by name,
    or without a side for both. tilt: degrees that the picture is rotated clockwise; the angles of segments are
    corrected by it. Raises PoseError for names that the skeleton does not have. Lengths in
    heights or metres are nan for people who are never seen from head to foot.
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
    """Raise PoseError for angles that these joints do not give."""
    points = _Points(joints, np.zeros((0, len(joints), 3)))
    for name in _both_sides(angles, ANGLES, tuple(MIDDLE_SEGMENTS), "angle"):
        points.angle(name)


def measurable(joints: Sequence[str], angles: Sequence[str]) -> list[str]:
    """Those of some angles, for both sides or one, that these joints give."""
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
    """A person's height in pixels: the chain from head to ankles where it is longest; None where the joints that
    it takes are never sure."""
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
    """Joints of one track by name, middles of two included."""

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
    """Lengths a second (N,), from true times, within stretches of neighbouring frames; NaN where the joint is missing
    and in a frame that stands alone."""
    speed = np.full(len(at), np.nan)
    there = np.flatnonzero(~np.isnan(at[:, 0]))
    for part in stretches(rows[there]):
        stretch = there[part]
        if len(stretch) > 1:
            velocity = np.gradient(at[stretch], times[stretch], axis=0)
            speed[stretch] = np.linalg.norm(velocity, axis=1)
    return speed


def _both_sides(names: Sequence[str], known: Sequence[str], middle: Sequence[str], what: str) -> list[str]:
    """Names with their sides: knee -> left_knee and right_knee."""
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
