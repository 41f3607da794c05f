"""Measures the steadiness of tracks without labels: left/right swaps and jitter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posecli.skeletons import Skeleton
from posecli.types import Array, Flags

SWAP_GAIN = 0.15  # share of the longer box side by which a swap must shorten the steps, mean over the pair
SURE = 0.3  # minimum confidence of joints


def pairs_of(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Joint indices (left, right) of all pairs."""
    return [
        (k, mirror)
        for k, (joint, mirror) in enumerate(zip(skeleton.joints, skeleton.flip, strict=True))
        if joint.startswith("left_") and mirror != k
    ]


def side_swaps(keypoints: Array, sizes: Array, skeleton: Skeleton) -> int:
    """Number of left/right swaps: pairs of joints that would move much less between two frames if they were swapped.

    keypoints: (N, K, 3) of consecutive frames. sizes: (N,) longer box sides in pixels.
    """
    count = 0
    for left, right in pairs_of(skeleton):
        a, b = keypoints[:, left], keypoints[:, right]
        sure = (np.minimum(a[:, 2], b[:, 2]) >= SURE)[1:] & (np.minimum(a[:, 2], b[:, 2]) >= SURE)[:-1]
        straight = _step(a[:-1], a[1:]) + _step(b[:-1], b[1:])
        crossed = _step(a[:-1], b[1:]) + _step(b[:-1], a[1:])
        swapped: Flags = sure & (straight - crossed > 2 * SWAP_GAIN * sizes[1:])
        count += int(swapped.sum())
    return count


def jitter(tracks: Sequence[tuple[Array, Array]]) -> float:
    """Jitter in % of the longer box side: the median distance of a joint from the midpoint of its neighbours in time.

    tracks: (keypoints (N, K, 3), longer box sides (N,) in pixels) of each. NaN if no track has three frames.
    """
    off = [np.zeros(0)]
    for keypoints, sizes in tracks:
        middle = (keypoints[:-2, :, :2] + keypoints[2:, :, :2]) / 2
        off.append((np.linalg.norm(keypoints[1:-1, :, :2] - middle, axis=2) / sizes[1:-1, None]).ravel())
    every = np.concatenate(off)
    return float(100 * np.median(every)) if len(every) else float("nan")


def _step(a: Array, b: Array) -> Array:
    distance: Array = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    return distance
