"""Undoes left/right swaps: swaps left and right joints where that makes their paths smoother. No network runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.recording import Recording
from posecli.types import Array

# Each group of joints is swapped on its own. Shoulders and hips are in one group, so that the torso never crosses.
SIDE_GROUPS = (
    ("shoulder", "hip"), ("elbow", "wrist"), ("knee", "ankle", "heel", "big_toe"), ("eye", "ear"),
)  # fmt: skip
# Costs are in multiples of the longer box side.
TURN = 0.05  # cost of a change between swapped and not swapped
EXCHANGED = 0.002  # cost of each swapped frame, so that unclear parts stay as they are
FARTHEST = 0.3  # longer steps between frames count as this length


def repair_sides(recording: Recording) -> tuple[Recording, int]:
    """Undo left/right swaps. Returns (recording, number of changed person-frames).

    For each group of joints, the Viterbi algorithm decides in which frames left and right are swapped, so that the
    paths are smooth. Changed joints get the flag "repaired". Raises PoseError for untracked results.
    """
    skeleton = recording.skeleton
    changed = 0
    tracks = []
    for track in recording.tracks:
        if track.number is None:
            raise PoseError("This result was made with --no-tracking: nobody can be followed.")
        points = track.keypoints.copy()
        marks = {flag: marked.copy() for flag, marked in track.marks.items()}
        touched = np.zeros(points.shape[:2], bool)
        sizes = np.maximum(track.boxes[:, 2:].max(axis=1), 1e-6)
        for names in SIDE_GROUPS:
            left = np.array(
                [skeleton.joints.index(f"left_{n}") for n in names if f"left_{n}" in skeleton.joints], np.intp
            )
            if not len(left):
                continue
            right = np.array(skeleton.flip, np.intp)[left]
            for a, b in _runs(track.rows):
                exchange = _exchanges(points[a:b, left], points[a:b, right], sizes[a:b])
                rows = np.arange(a, b)[exchange]
                for values in (points, *marks.values()):
                    before = values[rows[:, None], left]
                    values[rows[:, None], left] = values[rows[:, None], right]
                    values[rows[:, None], right] = before
                touched[rows[:, None], left] = touched[rows[:, None], right] = True
        changed += int(touched.any(axis=1).sum())
        tracks.append(replace(track, keypoints=points, marks=marks).marked("repaired", touched))
    return replace(recording, tracks=tuple(tracks)), changed


def _exchanges(left: Array, right: Array, sizes: Array) -> npt.NDArray[np.bool_]:
    """In which frames (N,) to swap left and right (N, J, 3). sizes: (N,) longer box sides in pixels."""
    count = len(left)
    # (2, N, 2, J, 3). First axis: as in the file, swapped.
    both = np.stack([np.stack([left, right], 1), np.stack([right, left], 1)])
    weight = np.minimum(left[:, :, 2], right[:, :, 2])  # (N, J)
    best = np.zeros((count, 2))
    came = np.zeros((count, 2), int)
    best[0] = (0.0, EXCHANGED)
    for t in range(1, count):
        w = np.sqrt(weight[t] * weight[t - 1])
        for now in (0, 1):
            options = []
            for before in (0, 1):
                steps = np.linalg.norm(both[now, t, :, :, :2] - both[before, t - 1, :, :, :2], axis=2)
                steps = np.fmin(steps / sizes[t], FARTHEST) * w  # for a missing joint, w is 0
                options.append(
                    best[t - 1, before] + steps.mean() + (TURN * w.mean() if now != before else 0.0)
                )
            came[t, now] = int(np.argmin(options))
            best[t, now] = min(options) + EXCHANGED * now
    state = int(np.argmin(best[-1]))
    states = np.zeros(count, bool)
    for t in range(count - 1, -1, -1):
        states[t] = bool(state)
        state = int(came[t, state])
    return states


def _runs(rows: npt.NDArray[np.intp]) -> list[tuple[int, int]]:
    """Split rows at gaps of more than a few frames. Returns (start, end) index pairs."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) > 5) + 1), len(rows)]
    return [(int(a), int(b)) for a, b in pairwise(cuts)]
