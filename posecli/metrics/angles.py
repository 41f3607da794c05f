"""Angles of joints and segments in the image plane, and the errors of predicted angles.

A joint angle is the angle between two limbs, from 0 to 180 degrees. A straight limb has 180.
A segment angle is the lean from vertical: 0 if the upper end is right above the lower end, positive if it
leans to the right of the image. The angle of a foot is different: it is the rise of the toe above the heel
against the horizontal, whether the foot points left or right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posecli.types import Array, Flags

# (end, joint, end). Each name gets the same side as a prefix.
JOINT_ANGLES = {
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "ankle": ("knee", "ankle", "big_toe"),
}
SCORED = ("knee", "hip", "elbow", "ankle")  # `eval` reports the errors of these angles
APART, TOGETHER = 0.3, 0.12  # torso sizes: left and right joints are apart, or collapsed into one place


def included_angle(a: Array, b: Array, c: Array) -> Array:
    """Angle (N,) in degrees, 0 to 180, between b -> a and b -> c. Points (N, 2). 180 if a limb has no length."""
    u, v = a - b, c - b
    cross, dot = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1)
    degrees: Array = np.degrees(np.arctan2(np.abs(cross), dot))
    return np.where((np.abs(u).sum(axis=1) == 0) | (np.abs(v).sum(axis=1) == 0), 180.0, degrees)


def lean(low: Array, high: Array) -> Array:
    """Lean (N,) in degrees of the line from `low` to `high` against the vertical. Positive: to the right.

    low, high: points (N, 2) of consecutive frames, y down. The angle is unwrapped over the rows, so it continues
    past 180 to 190. NaN if a point is missing.
    """
    across, up = high[:, 0] - low[:, 0], low[:, 1] - high[:, 1]
    degrees: Array = np.degrees(np.arctan2(across, up))
    known = np.isfinite(degrees)
    degrees[known] = np.unwrap(degrees[known], period=360)
    return degrees


def rise(back: Array, front: Array, tilt: float = 0.0) -> Array:
    """Rise (N,) in degrees, -90 to 90, from `back` to `front` against the horizontal.

    back, front: points (N, 2), y down. tilt: clockwise rotation of the picture in degrees.
    """
    across, up = front[:, 0] - back[:, 0], back[:, 1] - front[:, 1]
    turn = np.radians(tilt)
    level, height = across * np.cos(turn) - up * np.sin(turn), up * np.cos(turn) + across * np.sin(turn)
    degrees: Array = np.degrees(np.arctan2(height, np.abs(level)))
    return degrees


def angle_errors(
    found: Array, truth: Array, labelled: Flags, joints: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Errors of each angle in SCORED, both sides together: median and 95th percentile in degrees, and count.

    found, truth: (N, K, 2 or 3) pixels. labelled: (N, K). People who were not found (NaN) are left out.
    """
    errors = {}
    for name in SCORED:
        parts = []
        for side in ("left", "right"):
            names = [f"{side}_{joint}" for joint in JOINT_ANGLES[name]]
            if not all(n in joints for n in names):
                continue
            columns = [joints.index(n) for n in names]
            known = labelled[:, columns].all(axis=1) & np.isfinite(found[:, columns, :2]).all(axis=(1, 2))
            mine, right = (included_angle(*(p[known][:, c, :2] for c in columns)) for p in (found, truth))
            parts.append(np.abs(mine - right))
        if parts and len(all_errors := np.concatenate(parts)):
            median, most = np.percentile(all_errors, [50, 95])
            errors[name] = {"median": float(median), "p95": float(most), "count": len(all_errors)}
    return errors


def collapsed(
    found: Array, truth: Array, labelled: Flags, sizes: Array, joints: Sequence[str], pair: str
) -> dict[str, float] | None:
    """How often the left and right joint of a pair ("ankle", "knee") are predicted in one place by mistake.

    Counts people whose labelled joints are at least APART torso sizes apart. Returns the share of them with
    predictions closer than TOGETHER, and their count. None if there are no such people.
    sizes: (N,) torso sizes in pixels.
    """
    if f"left_{pair}" not in joints or f"right_{pair}" not in joints:
        return None
    a, b = joints.index(f"left_{pair}"), joints.index(f"right_{pair}")
    known = (
        labelled[:, a]
        & labelled[:, b]
        & np.isfinite(sizes)
        & np.isfinite(found[:, [a, b], :2]).all(axis=(1, 2))
    )
    gaps = [np.linalg.norm(p[known, a, :2] - p[known, b, :2], axis=1) / sizes[known] for p in (truth, found)]
    apart = gaps[0] >= APART
    if not apart.any():
        return None
    return {"share": float((gaps[1][apart] < TOGETHER).mean()), "count": int(apart.sum())}
