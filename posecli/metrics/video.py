"""How steady tracks are, measured without labels: left/right swaps and jitter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posecli.skeletons import Skeleton
from posecli.types import Array, Flags

SLIP_GAIN = (
    0.15  # of the box's longer side, mean over the pair: by so much the exchanged path must be shorter
)
SURE = 0.3  # confidence of joints that count


def pairs_of(skeleton: Skeleton) -> list[tuple[int, int]]:
    """(left, right) joints."""
    return [
        (k, mirror)
        for k, (joint, mirror) in enumerate(zip(skeleton.joints, skeleton.flip, strict=True))
        if joint.startswith("left_") and mirror != k
    ]


def side_slips(keypoints: Array, sizes: Array, skeleton: Skeleton) -> int:
    """How often a pair of joints (keypoints (N, K, 3) of consecutive frames) changes places from one frame to the next:
    exchanged, both would have moved much less. sizes (N,): the box's longer side in pixels."""
    count = 0
    for left, right in pairs_of(skeleton):
        a, b = keypoints[:, left], keypoints[:, right]
        sure = (np.minimum(a[:, 2], b[:, 2]) >= SURE)[1:] & (np.minimum(a[:, 2], b[:, 2]) >= SURE)[:-1]
        straight = _step(a[:-1], a[1:]) + _step(b[:-1], b[1:])
        crossed = _step(a[:-1], b[1:]) + _step(b[:-1], a[1:])
        slipped: Flags = sure & (straight - crossed > 2 * SLIP_GAIN * sizes[1:])
        count += int(slipped.sum())
    return count


def jitter(tracks: Sequence[tuple[Array, Array]]) -> float:
    """Median over all joints and frames of how far a joint lies from the middle of its neighbours in time, in % of the
    box's longer side; NaN where no track has three frames. tracks: keypoints (N, K, 3) and sizes (N,) of each."""
    off = [np.zeros(0)]
    for keypoints, sizes in tracks:
        middle = (keypoints[:-2, :, :2] + keypoints[2:, :, :2]) / 2
        off.append((np.linalg.norm(keypoints[1:-1, :, :2] - middle, axis=2) / sizes[1:-1, None]).ravel())
    every = np.concatenate(off)
    return float(100 * np.median(every)) if len(every) else float("nan")


def _step(a: Array, b: Array) -> Array:
    distance: Array = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    return distance
