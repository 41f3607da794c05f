"""PCK, PCKh and PDJ: the share of joints that lie close enough to the truth, and the means that papers report.

Distances and normalisers are in the same pixels. A joint is correct if its distance is at most alpha times the
normaliser, unless a benchmark says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from posecli.types import Array, Flags

Normaliser = Literal["diagonal", "lsp", "bbox", "head"]
LIMB_JOINTS = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)


def distances(predicted: Array, truth: Array) -> Array:
    """Distances (N, K) in pixels between points (N, K, 2)."""
    gap: Array = np.linalg.norm(np.asarray(predicted)[..., :2] - np.asarray(truth)[..., :2], axis=-1)
    return gap


def torso_sizes(
    truth: Array, labelled: Flags, joints: Sequence[str], which: Literal["diagonal", "lsp", "other"]
) -> Array:
    """Torso sizes (N,) in pixels. NaN if the joints are not labelled or the torso has no length.

    lsp: left shoulder to right hip. other: right shoulder to left hip. diagonal: the longer one of these two,
    as far as they are labelled.
    """
    pairs = {
        "lsp": [("left_shoulder", "right_hip")],
        "other": [("right_shoulder", "left_hip")],
        "diagonal": [("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")],
    }[which]
    sizes = np.full(len(truth), -1.0)
    for a, b in pairs:
        if a not in joints or b not in joints:
            continue
        i, j = joints.index(a), joints.index(b)
        length = np.linalg.norm(truth[:, i] - truth[:, j], axis=-1)
        sizes = np.maximum(sizes, np.where(labelled[:, i] & labelled[:, j], length, -1.0))
    return np.where(sizes > 1e-6, sizes, np.nan)


def box_sizes(boxes: Array) -> Array:
    """Longer side (N,) of each box (N, 4) xyxy, in pixels."""
    sizes: Array = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return sizes


def within(gaps: Array, sizes: Array, alpha: float, strict: bool = False) -> Flags:
    """Whether each joint (N, K) lies within alpha times its person's size (N,). False if the size is NaN."""
    limit = alpha * np.asarray(sizes)[:, None]
    with np.errstate(invalid="ignore"):
        right: Flags = (gaps < limit) if strict else (gaps <= limit)
    return right


def counted(labelled: Flags, sizes: Array) -> Flags:
    """The joints (N, K) that count: labelled, of a person whose size is known."""
    known: Flags = labelled & np.isfinite(sizes)[:, None]
    return known


def pooled(right: Flags, count: Flags) -> float | None:
    """The share of correct joints among all that count. None if there are none."""
    total = int(count.sum())
    return float((right & count).sum() / total) if total else None


def per_joint(right: Flags, count: Flags) -> Array:
    """The share (K,) of correct predictions for each joint. NaN if the joint never counts."""
    totals = count.sum(axis=0)
    return np.where(totals > 0, (right & count).sum(axis=0) / np.maximum(totals, 1), np.nan)


def joint_columns(joints: Sequence[str], chosen: Sequence[str]) -> list[int]:
    """The indices in `joints` of the chosen joints. Unknown ones are skipped."""
    return [joints.index(name) for name in chosen if name in joints]


def groups(shares: Array, joints: Sequence[str], names: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Means over named groups of joints, such as left and right wrist."""
    return {
        name: float(np.mean([shares[joints.index(j)] for j in members])) for name, members in names.items()
    }


LIMB_GROUPS = {
    part: (f"right_{part}", f"left_{part}") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
# The head is the head top in MPII, and the mean of neck and head top in LSP.
MPII_GROUPS = {"head": ("head_top",), **LIMB_GROUPS}
LSP_GROUPS = {"head": ("neck", "head_top"), **LIMB_GROUPS}


def mpii_means(right: Flags, count: Flags, joints: Sequence[str]) -> dict[str, float]:
    """The different means of PCKh in use for MPII. On the same predictions they differ by up to 1.4 points.

    HRNet, Simple Baselines and the total of the leaderboard use pooled_without_trunk.
    """
    limbs = [k for k, joint in enumerate(joints) if joint not in ("pelvis", "thorax")]
    shares = per_joint(right, count)
    return {
        "pooled_all": pooled(right, count) or 0.0,
        "pooled_without_trunk": pooled(right[:, limbs], count[:, limbs]) or 0.0,
        "mean_without_trunk": float(np.nanmean(shares[limbs])),
        "mean_all": float(np.nanmean(shares)),
        "mean_of_groups": float(np.mean(list(groups(shares, joints, MPII_GROUPS).values()))),
    }


def curve(
    gaps: Array, sizes: Array, labelled: Flags, top: float = 0.5, steps: int = 50
) -> tuple[Array, Array]:
    """(alphas, pooled PCK) from 0 to `top`: the curve of PDJ for torso sizes, of PCKh for head sizes."""
    count = counted(labelled, sizes)
    alphas = np.linspace(0.0, top, steps + 1)
    return alphas, np.array([pooled(within(gaps, sizes, a), count) or 0.0 for a in alphas])


def joint_curves(gaps: Array, sizes: Array, labelled: Flags) -> tuple[Array, Array]:
    """(alphas (A,), shares of each joint (K, A)) from 0.05 to 0.5. With `lsp` torso sizes this is DeepPose's PDJ."""
    count = counted(labelled, sizes)
    alphas = np.linspace(0.05, 0.5, 10)
    return alphas, np.stack([per_joint(within(gaps, sizes, a), count) for a in alphas], axis=1)


def area_under(values: Array) -> float:
    """Mean height of an evenly sampled curve, by the trapezoidal rule."""
    return float(np.trapezoid(values) / (len(values) - 1))


def interval(
    hits: npt.NDArray[Any],
    totals: npt.NDArray[Any],
    photos: npt.NDArray[Any],
    seed: int = 0,
    draws: int = 1000,
) -> tuple[float, float] | None:
    """95 % bootstrap interval (low, high) of sum(hits) / sum(totals). None if there are no joints.

    hits, totals: (N,) counts of each person. photos: (N,) photo IDs. Whole photos are resampled, because people
    in one photo are not independent.
    """
    if not len(hits) or totals.sum() == 0:
        return None
    _, owner = np.unique(photos, return_inverse=True)
    photo_hits = np.bincount(owner, hits)
    photo_totals = np.bincount(owner, totals)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(photo_hits), (draws, len(photo_hits)))
    shares = photo_hits[picks].sum(axis=1) / np.maximum(photo_totals[picks].sum(axis=1), 1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
