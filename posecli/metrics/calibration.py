"""Calibration of confidence: how reliable it is, the calibration error, and the curve that corrects it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posecli.types import Array

BINS = 15  # bins with equal counts


@dataclass(frozen=True)
class Reliability:
    """Reliability table with B bins: predicted confidence against the share of correct joints."""

    stated: Array  # (B,) mean predicted confidence
    right: Array  # (B,) share of correct joints: within 0.2 torso sizes
    count: npt.NDArray[np.integer]  # (B,) number of joints
    ece: float  # expected calibration error: mean of |right - stated|, weighted by count
    brier: float  # mean squared difference of confidence and outcome


def reliability(confidence: Array, right: npt.NDArray[np.bool_], bins: int = BINS) -> Reliability | None:
    """The reliability table of confidences (N,) and outcomes (N,). None if there are no joints."""
    if not len(confidence):
        return None
    order = np.argsort(confidence, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    stated = np.array([confidence[p].mean() for p in parts])
    share = np.array([right[p].mean() for p in parts])
    count = np.array([len(p) for p in parts])
    ece = float((count * np.abs(share - stated)).sum() / count.sum())
    return Reliability(stated, share, count, ece, float(((confidence - right) ** 2).mean()))


def fit_calibration(
    peaks: Array, right: npt.NDArray[np.bool_], points: int = 24, weights: Array | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Fit a rising curve from heatmap peaks (N,) to the share of correct joints. Returns its points (x, y).

    It uses isotonic regression (pool adjacent violators) over bins of equal weight. The curve starts at (0, 0).
    weights: (N,) of the joints. Default: all the same.
    """
    from scipy.optimize import isotonic_regression

    weights = np.ones(len(peaks)) if weights is None else weights
    order = np.argsort(peaks, kind="stable")
    below = np.cumsum(weights[order])
    ends = np.searchsorted(below, below[-1] * np.arange(1, points) / points, side="right")
    parts = [p for p in np.split(order, ends) if len(p)]
    x = np.array([np.average(peaks[p], weights=weights[p]) for p in parts])
    y = np.array([np.average(right[p], weights=weights[p]) for p in parts])
    rising = isotonic_regression(y, weights=np.array([weights[p].sum() for p in parts])).x
    x = np.concatenate([[0.0], np.maximum.accumulate(x + 1e-9 * np.arange(len(x)))])
    rising = np.concatenate([[0.0], rising])
    return tuple(round(float(v), 5) for v in x), tuple(round(float(v), 4) for v in rising)
