"""Where a box will be: a Kalman filter of constant speed, as ByteTrack and SORT have it.

A state is (x, y, a, h) of a box and their changes a frame: its centre, width / height, and height, in pixels.
"""

from __future__ import annotations

import numpy as np

from posecli.types import Array

PLACE, SPEED = 1 / 20, 1 / 160  # standard deviations, in heights
ASPECT, ASPECT_SPEED, ASPECT_SEEN = (
    1e-2,
    1e-5,
    1e-1,
)  # standard deviations of a: of the state and of what is seen
STEP = np.eye(8) + np.eye(8, k=4)  # a frame on: each value and its change


def first_state(box: Array) -> tuple[Array, Array]:
    """(8,) and its covariance (8, 8) of somebody who is seen for the first time. box: (x, y, a, h)."""
    box = np.asarray(box, np.float64)
    height = box[3]
    place, speed = 2 * PLACE * height, 10 * SPEED * height
    deviations = [place, place, ASPECT, place, speed, speed, ASPECT_SPEED, speed]
    return np.concatenate([box, np.zeros(4)]), np.diag(np.square(deviations))


def predicted(states: Array, covariances: Array) -> tuple[Array, Array]:
    """States (N, 8) and covariances (N, 8, 8) a frame later."""
    heights = states[:, 3]
    place, speed, one = PLACE * heights, SPEED * heights, np.ones_like(heights)
    deviations = [place, place, ASPECT * one, place, speed, speed, ASPECT_SPEED * one, speed]
    grown = STEP @ covariances @ STEP.T
    grown[:, range(8), range(8)] += np.square(deviations).T
    return states @ STEP.T, grown


def corrected(state: Array, covariance: Array, box: Array) -> tuple[Array, Array]:
    """State and covariance after a box (x, y, a, h) was seen."""
    place = PLACE * state[3]
    seen = covariance[:4, :4] + np.diag(np.square([place, place, ASPECT_SEEN, place]))
    gain = np.linalg.solve(seen, covariance[:, :4].T).T
    return state + (box - state[:4]) @ gain.T, covariance - gain @ seen @ gain.T
