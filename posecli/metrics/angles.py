"""Angles of joints and segments in the picture, and how far predicted ones are off.

A joint's angle is the one between its two limbs, 0 to 180 degrees, 180 where they are stretched; it is the same from
either side. A segment's angle is how far it leans from upright: 0 where its upper end is straight above its
lower one, positive towards the right of the picture. A foot lies rather than stands: its angle is how far the toe rises above
the level, whichever way it points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posecli.types import Array, Flags

# (end, joint, end), each with the same side's name before it.
JOINT_ANGLES = {
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "ankle": ("knee", "ankle", "big_toe"),
}
SCORED = ("knee", "hip", "elbow", "ankle")  # whose errors `eval` tells
APART, TOGETHER = 0.3, 0.12  # torsos: both sides' joints are apart, and on one place


def included_angle(a: Array, b: Array, c: Array) -> Array:
    """Degrees (N,), 0 to 180, between b -> a and b -> c; points (N, 2). 180 where a limb has no length."""
    u, v = a - b, c - b
    cross, dot = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1)
    degrees: Array = np.degrees(np.arctan2(np.abs(cross), dot))
    return np.where((np.abs(u).sum(axis=1) == 0) | (np.abs(v).sum(axis=1) == 0), 180.0, degrees)


def lean(low: Array, high: Array) -> Array:
    """Degrees (N,) that `high` lies off straight above `low`, positive to the right of the picture, followed from
    row to row without jumps: a turn over 180 goes on to 190. Points (N, 2), y down. nan only where a point is missing."""
    across, up = high[:, 0] - low[:, 0], low[:, 1] - high[:, 1]
    degrees: Array = np.degrees(np.arctan2(across, up))
    known = np.isfinite(degrees)
    degrees[known] = np.unwrap(degrees[known], period=360)
    return degrees


def rise(back: Array, front: Array, tilt: float = 0.0) -> Array:
    """Degrees (N,), -90 to 90, that `front` lies higher than `back`, against the level; points (N, 2), y down. tilt:
    degrees that the picture is turned clockwise."""
    across, up = front[:, 0] - back[:, 0], back[:, 1] - front[:, 1]
    turn = np.radians(tilt)
    level, height = across * np.cos(turn) - up * np.sin(turn), up * np.cos(turn) + across * np.sin(turn)
    degrees: Array = np.degrees(np.arctan2(height, np.abs(level)))
    return degrees


def angle_errors(
    found: Array, truth: Array, labelled: Flags, joints: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Of each angle in SCORED, both sides together: the median and the 95th percentile of the error in degrees, of
    how many. found, truth: (N, K, 2 or 3); labelled: (N, K). People who were not found (NaN) are left out."""
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
    """Of people whose labelled left and right `pair` (ankle, knee) lie at least APART torsos from each other: the
    share predicted within TOGETHER, and of how many. sizes: (N,) torsos in pixels. None where there is nobody."""
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
