"""Boxes, xyxy in pixels: how much they overlap, and which lie in others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.types import Array


def intersections(a: Array, b: Array) -> Array:
    """Areas (N, M) that boxes (N, 4) and (M, 4) share."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared: Array = sides.prod(axis=-1)
    return shared


def areas(boxes: Array) -> Array:
    """(N,) of boxes (N, 4); at least a tiny one, to divide by."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    found: Array = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
    return found


def iou_matrix(a: Array, b: Array) -> Array:
    """Intersection over union of boxes (N, 4) and (M, 4): (N, M)."""
    shared = intersections(a, b)
    ratio: Array = shared / np.maximum(areas(a)[:, None] + areas(b)[None] - shared, 1e-9)
    return ratio


def shares_inside(boxes: Array, outer: Array) -> Array:
    """How much of each box (N, 4) lies in each of `outer` (M, 4): (N, M), from 0 to 1."""
    shares: Array = intersections(boxes, outer) / areas(boxes)[:, None]
    return shares


def suppressed(boxes: Array, scores: Array, overlap: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: the rows of boxes (N, 4) that overlap (IoU) no surer one that is kept by more than
    `overlap`; surest first."""
    rows = np.argsort(-scores, kind="stable")
    kept = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        kept.append(best)
        rows = rows[iou_matrix(boxes[best : best + 1], boxes[rows])[0] <= overlap]
    return np.array(kept, np.intp)
