"""Paths of the feet over time, which steps and jumps are found in."""

from __future__ import annotations

import numpy as np

from posecli.results.recording import Recording, Track
from posecli.types import Array, Flags

SOLE = ("heel", "big_toe")  # the joints of a foot that touch the ground
SURE_SOLE = (
    0.8  # confidence from which heels and toes tell steps and jumps: they are placed less exactly than ankles
)
NEAR = 2  # frames around an event that must have plausible joints, and sure heels and toes
STEP_SECONDS = 0.25  # shortest time between two contacts of one foot


def path(recording: Recording, track: Track, joint: str) -> Array:
    """(N, 2) pixels; a gap is bridged by a straight line."""
    points = track.keypoints[:, recording.joints.index(joint), :2].copy()
    times = recording.times[track.rows]
    for axis in (0, 1):
        missing = np.isnan(points[:, axis])
        points[missing, axis] = np.interp(times[missing], times[~missing], points[~missing, axis])
    return points


def foot_paths(recording: Recording, track: Track, side: str) -> dict[str, Array]:
    """(N, 2) pixels of ankle, heel and big toe, by these names, as far as they are there."""
    columns = {part: f"{side}_{part}" for part in ("ankle", *SOLE) if f"{side}_{part}" in recording.joints}
    return {
        part: path(recording, track, joint)
        for part, joint in columns.items()
        if np.isfinite(track.keypoints[:, recording.joints.index(joint), 0]).any()
    }


def sure_sole(recording: Recording, track: Track, side: str) -> Flags:
    """(N,) whether heel and big toe of a foot are both sure. Only for skeletons that have them."""
    columns = [recording.joints.index(f"{side}_{part}") for part in SOLE]
    sure: Flags = np.asarray((track.keypoints[:, columns, 2] >= SURE_SOLE).all(axis=1))
    return sure


def torso_length(recording: Recording, track: Track) -> float:
    """Pixels from shoulder to hip, crosswise, as it mostly is."""
    lengths = [
        np.linalg.norm(path(recording, track, f"{a}_shoulder") - path(recording, track, f"{b}_hip"), axis=1)
        for a, b in (("left", "right"), ("right", "left"))
    ]
    return max(float(np.median(np.maximum(*lengths))), 1.0)


def peaks(times: Array, values: Array, prominence: float) -> list[int]:
    """Rows of the highest points that stand out by `prominence`, no closer than one foot can step."""
    from scipy.signal import find_peaks  # `run` does not wait for scipy

    frames = max(1, round(STEP_SECONDS / max(float(np.median(np.diff(times))), 1e-6)))
    rows, _ = find_peaks(values, prominence=prominence, distance=frames)
    return [int(row) for row in rows]
