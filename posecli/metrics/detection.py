"""Recall and precision of a person detector (DESIGN.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.types import Array

TALL = 64.0  # pixels: people up to this height count neither way


def iou_matrix(a: Array, b: Array) -> Array:
    """Intersection over union of (N, 4) and (M, 4) xyxy boxes: (N, M)."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    inside = overlap.prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    ratio: Array = inside / np.maximum(areas - inside, 1e-9)
    return ratio


@dataclass(frozen=True)
class Matches:
    """What became of the finds of one photo."""

    scores: Array  # (N,) of the finds that count
    right: Array  # (N,) bool
    people: int  # labelled people who count


def match_finds(
    finds: Array, scores: Array, people: Array, ignored: Array, threshold: float = 0.5
) -> Matches:
    """Match finds (N, 4) to labelled people (M, 4) one to one, by falling score, at IoU >= threshold.

    People up to TALL pixels high, `ignored` regions (crowds), finds matched to one of these and
    unmatched finds up to TALL pixels high count neither way. A find in a crowd region is one of
    which more than half lies inside it.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    finds, scores = np.asarray(finds, np.float64).reshape(-1, 4)[order], np.asarray(scores)[order]
    people, ignored = people.reshape(-1, 4), ignored.reshape(-1, 4)
    tall = people[:, 3] - people[:, 1] > TALL
    overlaps = iou_matrix(finds, people)
    covered = _covered(finds, ignored)
    free = np.ones(len(people), bool)
    kept, right = [], []
    for i in range(len(finds)):
        # Somebody who counts comes before somebody who does not.
        candidates = np.where(free, overlaps[i], 0.0)
        best = max(
            range(len(people)),
            key=lambda j: (candidates[j] >= threshold) * (1 + tall[j]) + candidates[j],
            default=-1,
        )
        if best >= 0 and candidates[best] >= threshold:
            free[best] = False
            if tall[best]:
                kept.append(scores[i])
                right.append(True)
        elif finds[i, 3] - finds[i, 1] > TALL and covered[i] <= 0.5:
            kept.append(scores[i])
            right.append(False)
    return Matches(np.array(kept, np.float64), np.array(right, bool), int(tall.sum()))


def recall_precision(matches: list[Matches], confidence: float) -> tuple[float, float]:
    """Recall and precision of all photos together, for finds scored at least `confidence`."""
    scores = np.concatenate([m.scores for m in matches]) if matches else np.zeros(0)
    right = np.concatenate([m.right for m in matches]) if matches else np.zeros(0, bool)
    people = sum(m.people for m in matches)
    chosen = scores >= confidence
    hits = int((right & chosen).sum())
    return hits / max(people, 1), hits / max(int(chosen.sum()), 1)


def _covered(finds: Array, regions: Array) -> Array:
    """(N,) the largest share of each find that lies inside one region."""
    if not len(regions):
        return np.zeros(len(finds))
    a, b = finds[:, None], regions[None]
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    area = np.maximum((finds[:, 2:] - finds[:, :2]).prod(axis=-1), 1e-9)
    share: Array = (overlap.prod(axis=-1) / area[:, None]).max(axis=1)
    return share
