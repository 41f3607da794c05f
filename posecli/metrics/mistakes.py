"""The kind of error of a wrong joint, after Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance
Pose Estimation", ICCV 2017 (arXiv 1707.05388), with distances in torsos in place of their similarity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.metrics.pck import counted, distances, within
from posecli.types import Array, Flags

# In the order in which they are tried: right; near, within twice the distance (their jitter); on the same joint of the
# other side, or on another joint (their inversion); on the same joint of somebody else in the photo (their swap);
# anywhere else, or not found (their miss).
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
    """(N, K) the row of KINDS for every joint that counts, else NOT_COUNTED.

    found and truth: (N, K, 2 or 3) pixels, NaN where nothing was found; labelled: (N, K); sizes: (N,) torso
    diagonals in pixels, NaN where unknown; photos: (N,) which photo each person is in; flip: (K,) each joint's
    partner on the other side.
    """
    n, k = labelled.shape
    count = counted(labelled, sizes)
    gaps = np.nan_to_num(distances(found, truth), nan=np.inf)
    # (N, K, K): from each found joint to every labelled joint of the same person.
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
    """The share of each kind among the joints that count; None if there are none."""
    total = int((kinds != NOT_COUNTED).sum())
    return {name: float((kinds == i).sum() / total) for i, name in enumerate(KINDS)} if total else None


def confidences(kinds: npt.NDArray[np.integer], stated: Array) -> dict[str, float]:
    """The mean confidence that joints of each kind were said with; kinds that do not occur are left out. stated: (N, K)."""
    known = np.isfinite(stated)
    means = {}
    for i, name in enumerate(KINDS):
        chosen = (kinds == i) & known
        if chosen.any():
            means[name] = float(stated[chosen].mean())
    return means
