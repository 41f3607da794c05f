"""Classifies the errors of wrong joints.

The classes follow Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation",
ICCV 2017 (arXiv 1707.05388). They use a similarity. Here the distance is in torso sizes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.metrics.pck import counted, distances, within
from posecli.types import Array, Flags

# The first class that fits counts, in this order (with the names in the paper):
# right: within the distance.
# near: within twice the distance (jitter).
# other side: on the same joint of the other side. other joint: on another joint of the person (both: inversion).
# other person: on the same joint of another person in the photo (swap).
# elsewhere: anywhere else, or not found (miss).
KINDS = ("right", "near", "other side", "other joint", "other person", "elsewhere")
NOT_COUNTED = -1


def kinds_of(
    found: Array,
    truth: Array,
    labelled: Flags,
    sizes: Array,
    photos: npt.NDArray[np.integer],
    flip: npt.NDArray[np.integer],
    alpha: float = 0.2,
) -> npt.NDArray[np.integer]:
    """The kind of error of each joint (N, K), as an index into KINDS. NOT_COUNTED for joints that do not count.

    found, truth: (N, K, 2 or 3) pixels; NaN: not found.
    labelled: (N, K).
    sizes: (N,) torso diagonals in pixels; NaN: unknown.
    photos: (N,) photo IDs.
    flip: (K,) index of each joint's mirror joint.
    """
    n, k = labelled.shape
    count = counted(labelled, sizes)
    gaps = np.nan_to_num(distances(found, truth), nan=np.inf)
    # (N, K, K): distance from each predicted joint to every labelled joint of the same person.
    to_all = np.linalg.norm(found[:, :, None, :2] - truth[:, None, :, :2], axis=3)
    limit = alpha * sizes[:, None]
    with np.errstate(invalid="ignore"):
        on_joint = (to_all <= limit[..., None]) & labelled[:, None]
        on_person = np.zeros((n, k), bool)
        for i in range(n):
            others = np.flatnonzero((photos == photos[i]) & (np.arange(n) != i))
            apart = np.linalg.norm(found[i, :, :2] - truth[others, :, :2], axis=2)  # (others, K)
            on_person[i] = ((apart <= alpha * sizes[i]) & labelled[others]).any(axis=0)
    own = np.arange(k)
    on_twin = on_joint[:, own, flip] & (flip != own)
    on_joint[:, own, own] = False
    tests = [
        within(gaps, sizes, alpha),
        within(gaps, sizes, 2 * alpha),
        on_twin,
        on_joint.any(axis=2),
        on_person,
    ]
    kinds = np.select(tests, range(len(tests)), default=len(tests))
    return np.where(count, kinds, NOT_COUNTED)


def shares(kinds: npt.NDArray[np.integer]) -> dict[str, float] | None:
    """The share of each kind among the joints that count. None if there are none."""
    total = int((kinds != NOT_COUNTED).sum())
    return {name: float((kinds == i).sum() / total) for i, name in enumerate(KINDS)} if total else None


def confidences(kinds: npt.NDArray[np.integer], stated: Array) -> dict[str, float]:
    """The mean predicted confidence of each kind. Kinds that do not occur are left out.

    stated: (N, K) predicted confidences.
    """
    known = np.isfinite(stated)
    means = {}
    for i, name in enumerate(KINDS):
        chosen = (kinds == i) & known
        if chosen.any():
            means[name] = float(stated[chosen].mean())
    return means
