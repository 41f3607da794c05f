"""OKS and COCO's keypoint AP and AR. A test compares them with pycocotools to 1e-6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.types import Array

# Standard deviations of the annotators of COCO, in units of the square root of the person's area. The values for
# feet are from COCO-WholeBody. COCO has no neck and head_top. They use .079, as in CrowdPose, and .026, as the nose.
SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089, "neck": 0.079, "upper_neck": 0.079, "head_top": 0.026,
    "pelvis": 0.107, "thorax": 0.079, "heel": 0.066, "big_toe": 0.068, "small_toe": 0.066,
}  # fmt: skip
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_FINDS = 20  # predictions per photo
MEDIUM, LARGE = 32.0**2, 96.0**2
AREAS = {"all": (0.0, 1e10), "medium": (MEDIUM, LARGE), "large": (LARGE, 1e10)}


def sigmas_of(joints: Sequence[str]) -> Array:
    """Sigmas (K,) of joints by name. Raises PoseError for a joint without a published sigma."""
    parts = [j.removeprefix("left_").removeprefix("right_") for j in joints]
    unknown = [j for j, part in zip(joints, parts, strict=True) if part not in SIGMAS]
    if unknown:
        raise PoseError(f"OKS is not defined for the joints {', '.join(unknown)}: they have no sigma.")
    return np.array([SIGMAS[part] for part in parts])


@dataclass(frozen=True)
class Truth:
    """The labelled people of one photo."""

    keypoints: Array  # (G, K, 2) pixels
    visible: npt.NDArray[np.integer]  # (G, K) 0: unlabelled
    boxes: Array  # (G, 4) x, y, w, h in pixels
    areas: Array  # (G,) pixels^2
    crowd: npt.NDArray[np.bool_]  # (G,)

    @property
    def ignored(self) -> npt.NDArray[np.bool_]:
        flags: npt.NDArray[np.bool_] = self.crowd | ((self.visible > 0).sum(axis=1) == 0)
        return flags


@dataclass(frozen=True)
class Finds:
    """The predicted people of one photo."""

    keypoints: Array  # (D, K, 2) pixels
    scores: Array  # (D,)
    # (D,) pixels^2, areas of the boxes, if the results have boxes; None: computed from the joints
    areas: Array | None = None


def oks(finds: Array, truth: Truth, sigmas: Array) -> Array:
    """Object keypoint similarity (D, G) between predictions (D, K, 2) and the people of a photo.

    For people without labelled joints, the distance to their box counts. The box is first extended by its own width
    and height on every side.
    """
    variances = (2 * sigmas) ** 2
    result = np.zeros((len(finds), len(truth.keypoints)))
    for g in range(len(truth.keypoints)):
        labelled = truth.visible[g] > 0
        if labelled.any():
            gap = ((finds - truth.keypoints[g]) ** 2).sum(axis=2)  # (D, K)
        else:
            x, y, w, h = truth.boxes[g]
            low, high = np.array([x - w, y - h]), np.array([x + 2 * w, y + 2 * h])
            over = np.maximum(0, low - finds) + np.maximum(0, finds - high)
            gap = (over**2).sum(axis=2)
            labelled = np.ones(len(sigmas), bool)
        exponent = gap / variances / (truth.areas[g] + np.spacing(1)) / 2
        result[:, g] = np.exp(-exponent[:, labelled]).mean(axis=1)
    return result


def average_precision(photos: Sequence[tuple[Truth, Finds]], sigmas: Array) -> dict[str, float | None]:
    """AP, AP50, AP75, APM, APL and AR over all photos. None if there is nobody of that size."""
    out: dict[str, float | None] = {}
    matched = [_similarities(truth, finds, sigmas) for truth, finds in photos]
    for name, area in AREAS.items():
        precision, recall = _accumulate([_match(*m, area) for m in matched])
        if name == "all":
            out["ap"], out["ap50"], out["ap75"] = _mean(precision), _mean(precision[0]), _mean(precision[5])
            out["ar"] = _mean(recall)
        else:
            out[f"ap_{name}"] = _mean(precision)
    return out


def _similarities(truth: Truth, finds: Finds, sigmas: Array) -> tuple[Truth, Array, Array, Array]:
    """(truth, scores, areas, OKS (D, G)) of the best MAX_FINDS predictions, highest score first."""
    order = np.argsort(-finds.scores, kind="mergesort")[:MAX_FINDS]
    keypoints = finds.keypoints[order]
    extent = keypoints.max(axis=1) - keypoints.min(axis=1) if len(keypoints) else np.zeros((0, 2))
    areas = extent.prod(axis=1) if finds.areas is None else finds.areas[order]
    return truth, finds.scores[order], areas, oks(keypoints, truth, sigmas)


def _match(
    truth: Truth, scores: Array, find_areas: Array, similarity: Array, area: tuple[float, float]
) -> tuple[Array, npt.NDArray[np.bool_], npt.NDArray[np.bool_], int]:
    """(scores, matched (T, D), ignored (T, D), number of people that count) for one photo and area range."""
    out_of_range = (truth.areas < area[0]) | (truth.areas > area[1])
    ignored = truth.ignored | out_of_range
    people = np.argsort(ignored, kind="mergesort")  # ignored people last
    shape = (len(THRESHOLDS), len(scores))
    hit, skip = np.zeros(shape, bool), np.zeros(shape, bool)
    for t, threshold in enumerate(THRESHOLDS):
        taken = np.zeros(len(people), bool)
        for d in range(len(scores)):
            best, chosen = min(float(threshold), 1 - 1e-10), -1
            for g in people:
                if taken[g] and not truth.crowd[g]:
                    continue
                if chosen >= 0 and not ignored[chosen] and ignored[g]:
                    break
                if similarity[d, g] >= best:
                    best, chosen = similarity[d, g], int(g)
            if chosen >= 0:
                taken[chosen] = hit[t, d] = True
                skip[t, d] = ignored[chosen]
    far = (find_areas < area[0]) | (find_areas > area[1])
    skip |= ~hit & far
    return scores, hit, skip, int((~ignored).sum())


def _accumulate(
    photos: Sequence[tuple[Array, npt.NDArray[np.bool_], npt.NDArray[np.bool_], int]],
) -> tuple[Array, Array]:
    """(precision (T, R), recall (T,)). NaN if nobody counts."""
    people = sum(p[3] for p in photos)
    precision = np.full((len(THRESHOLDS), len(RECALLS)), np.nan)
    recall = np.full(len(THRESHOLDS), np.nan)
    if people == 0:
        return precision, recall
    order = np.argsort(-np.concatenate([p[0] for p in photos]), kind="mergesort")
    hit = np.concatenate([p[1] for p in photos], axis=1)[:, order]
    skip = np.concatenate([p[2] for p in photos], axis=1)[:, order]
    for t in range(len(THRESHOLDS)):
        right, wrong = np.cumsum(hit[t] & ~skip[t]), np.cumsum(~hit[t] & ~skip[t])
        reached = right / people
        recall[t] = reached[-1] if len(reached) else 0.0
        exact = right / (right + wrong + np.spacing(1))
        falling = np.maximum.accumulate(exact[::-1])[::-1]
        places = np.searchsorted(reached, RECALLS, side="left")
        precision[t] = [falling[p] if p < len(falling) else 0.0 for p in places]
    return precision, recall


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
