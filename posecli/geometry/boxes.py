"""Overlap of bounding boxes. All boxes are xyxy in pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.types import Array


def intersections(a: Array, b: Array) -> Array:
    """Intersection areas (N, M) in pixels^2 of boxes (N, 4) and (M, 4)."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared: Array = sides.prod(axis=-1)
    return shared


def areas(boxes: Array) -> Array:
    """Areas (N,) of boxes (N, 4) in pixels^2. Never 0, so that they can be divisors."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    found: Array = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)
    return found


def iou_matrix(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    shared = intersections(a, b)
    ratio: Array = shared / np.maximum(areas(a)[:, None] + areas(b)[None] - shared, 1e-9)
    return ratio


def shares_inside(boxes: Array, outer: Array) -> Array:
    """Share (N, M), 0 to 1, of each box (N, 4) that lies inside each box of `outer` (M, 4)."""
    shares: Array = intersections(boxes, outer) / areas(boxes)[:, None]
    return shares


def suppressed(boxes: Array, scores: Array, overlap: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression. Returns the rows of the boxes to keep, highest score first.

    A box (N, 4) is dropped if its IoU with a kept box of a higher score is more than `overlap`.
    """
    rows = np.argsort(-scores, kind="stable")
    kept = []
    while len(rows):
        best, rows = rows[0], rows[1:]
        kept.append(best)
        rows = rows[iou_matrix(boxes[best : best + 1], boxes[rows])[0] <= overlap]
    return np.array(kept, np.intp)
