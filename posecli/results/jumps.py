"""Finds jumps in the joints of one person. The camera must not move. The ground is the lowest place of the feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.results.feet import path, peaks, torso_length
from posecli.results.recording import Recording, Track
from posecli.types import Array

GRAVITY = 9.81  # m/s2
FLIGHT = 0.15  # torso lengths: smallest height of the lower foot in a jump
LEAVES = 0.06  # torso lengths: height of a foot at take-off and landing
FLIGHT_SECONDS = (0.1, 1.5)  # shortest and longest flight; a jump from a roof of two metres lasts 1.2 s
LEVEL = 0.25  # torso lengths between take-off and landing height: above it, g t^2 / 8 is not valid
TORSO_METRES = 0.5  # of an adult, about
HIGHER = 1.5  # a flight time that gives more than this times the rise of the ankles is wrong


@dataclass(frozen=True)
class Flight:
    """One jump."""

    leaves: float  # seconds
    lands: float  # seconds
    height: float  # metres, or nan


def flights(recording: Recording, track: Track) -> list[Flight]:
    """The lower foot leaves the place where it was lowest before, and comes down to where it is lowest afterwards. The
    height comes from the flight time t alone: g t^2 / 8. It is nan where take-off and landing are not level, and where
    it is much more than the ankles rise."""
    times, torso = recording.times[track.rows], torso_length(recording, track)
    lower = np.maximum(*(path(recording, track, f"{side}_ankle")[:, 1] for side in ("left", "right"))) / torso
    tops = peaks(times, -lower, FLIGHT)
    found = []
    for n, top in enumerate(tops):
        first = tops[n - 1] if n else 0
        last = tops[n + 1] if n + 1 < len(tops) else len(lower) - 1
        before = first + int(np.argmax(lower[first : top + 1]))
        after = top + int(np.argmax(lower[top : last + 1]))
        if before == 0 or after == len(lower) - 1:  # the clip begins, or ends, in the air
            continue
        leaves = _crossing(times, lower, range(top, before, -1), lower[before] - LEAVES)
        lands = _crossing(times, lower, range(top, after), lower[after] - LEAVES)
        seconds, height = lands - leaves, GRAVITY * (lands - leaves) ** 2 / 8
        rise = TORSO_METRES * (max(lower[before], lower[after]) - lower[top])
        if FLIGHT_SECONDS[0] <= seconds <= FLIGHT_SECONDS[1]:
            told = abs(lower[before] - lower[after]) <= LEVEL and height <= HIGHER * rise
            found.append(Flight(leaves, lands, height if told else np.nan))
    return found


def _crossing(times: Array, lower: Array, rows: range, height: float) -> float:
    """When the foot passes a height, on the way from the top along `rows`."""
    for row in rows:
        there = row + rows.step
        if lower[there] >= height:
            share = float((height - lower[row]) / max(lower[there] - lower[row], 1e-9))
            return float(times[row] + np.clip(share, 0, 1) * (times[there] - times[row]))
    return float(times[rows.stop])
