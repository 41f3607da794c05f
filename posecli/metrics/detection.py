"""Recall and precision of a person detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.geometry.boxes import iou_matrix, shares_inside
from posecli.types import Array

TALL = 64.0  # pixels; people and detections up to this height are ignored


@dataclass(frozen=True)
class Matches:
    """The matched detections of one photo."""

    scores: Array  # (N,) scores of the detections that count
    right: Array  # (N,) bool, whether each one is correct
    people: int  # number of labelled people that count


def match_finds(
    finds: Array, scores: Array, people: Array, ignored: Array, threshold: float = 0.5
) -> Matches:
    """Match detections (N, 4) to labelled people (M, 4) one to one, highest score first, at IoU >= threshold.

    Boxes are xyxy in pixels. People up to TALL pixels high are ignored, and so are detections matched to them. An
    unmatched detection is ignored if it is up to TALL pixels high, or if more than half of it lies in an `ignored`
    region (a crowd).
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    finds, scores = np.asarray(finds, np.float64).reshape(-1, 4)[order], np.asarray(scores)[order]
    people, ignored = people.reshape(-1, 4), ignored.reshape(-1, 4)
    tall = people[:, 3] - people[:, 1] > TALL
    overlaps = iou_matrix(finds, people)
    covered = shares_inside(finds, ignored).max(axis=1, initial=0.0)
    free = np.ones(len(people), bool)
    kept, right = [], []
    for i in range(len(finds)):
        # Prefer a person that counts.
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
    """(recall, precision) over all photos, for detections with a score of at least `confidence`."""
    scores = np.concatenate([m.scores for m in matches]) if matches else np.zeros(0)
    right = np.concatenate([m.right for m in matches]) if matches else np.zeros(0, bool)
    people = sum(m.people for m in matches)
    chosen = scores >= confidence
    hits = int((right & chosen).sum())
    return hits / max(people, 1), hits / max(int(chosen.sum()), 1)
