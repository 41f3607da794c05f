"""Finds jumps in the joints of one person. The camera must not move. The ground is the lowest place of the feet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posecli.results.feet import NEAR, SOLE, foot_paths, path, peaks, sure_sole, torso_length
from posecli.results.recording import Recording, Track
from posecli.types import Array, Flags

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


@dataclass(frozen=True)
class Soles:
    """The lowest of both heels and both big toes."""

    lowest: Array  # (N,) downwards, in torso lengths
    sure: Flags  # (N,) whether all four are


def flights(recording: Recording, track: Track) -> list[Flight]:
    """The lower foot leaves the place where it was lowest before, and comes down to where it is lowest afterwards. The
    height comes from the flight time t alone: g t^2 / 8. It is nan where take-off and landing are not level, and where
    it is much more than the ankles rise. The ankles find the jump; where heels and big toes are sure, they tell when it
    begins and ends: an ankle rises before the toe leaves the ground, and sinks after the toe is back on it. Who only rises on
    the toes does not jump."""
    times, torso = recording.times[track.rows], torso_length(recording, track)
    lower = np.maximum(*(path(recording, track, f"{side}_ankle")[:, 1] for side in ("left", "right"))) / torso
    soles = _soles(recording, track, torso)
    tops = peaks(times, -lower, FLIGHT)
    found = []
    for n, top in enumerate(tops):
        first = tops[n - 1] if n else 0
        last = tops[n + 1] if n + 1 < len(tops) else len(lower) - 1
        before = first + int(np.argmax(lower[first : top + 1]))
        after = top + int(np.argmax(lower[top : last + 1]))
        if before == 0 or after == len(lower) - 1:  # the clip begins, or ends, in the air
            continue
        leaves = _touch(times, lower, soles, range(top, before, -1))
        lands = _touch(times, lower, soles, range(top, after))
        if leaves is None or lands is None:
            continue
        seconds, height = lands - leaves, GRAVITY * (lands - leaves) ** 2 / 8
        rise = TORSO_METRES * (max(lower[before], lower[after]) - lower[top])
        if FLIGHT_SECONDS[0] <= seconds <= FLIGHT_SECONDS[1]:
            told = abs(lower[before] - lower[after]) <= LEVEL and height <= HIGHER * rise
            found.append(Flight(leaves, lands, height if told else np.nan))
    return found


def _soles(recording: Recording, track: Track, torso: float) -> Soles | None:
    feet = {side: foot_paths(recording, track, side) for side in ("left", "right")}
    if not all(part in parts for parts in feet.values() for part in SOLE):
        return None
    lowest = np.maximum.reduce([parts[part][:, 1] for parts in feet.values() for part in SOLE]) / torso
    return Soles(lowest, np.logical_and(*(sure_sole(recording, track, side) for side in feet)))


def _touch(times: Array, ankles: Array, soles: Soles | None, rows: range) -> float | None:
    """Seconds at which the lower foot leaves the ground, or touches it; rows: from the top of the jump to where the ankle is
    lowest. None where heels or toes surely are on the ground even at the top."""
    row, time = _crossing(times, ankles, rows, ankles[rows.stop] - LEAVES)
    if soles is None:
        return time
    # When the ankle passes, the toe is on the ground: it leaves later, and lands before.
    height = soles.lowest[max(0, row - NEAR) : row + NEAR + 1].max() - LEAVES
    stands = bool(soles.lowest[rows.start] >= height)
    other, sole_time = (rows.start, None) if stands else _crossing(times, soles.lowest, rows, height)
    between = slice(max(0, min(row, other) - NEAR), max(row, other) + NEAR + 1)
    return sole_time if soles.sure[between].all() else time


def _crossing(times: Array, lower: Array, rows: range, height: float) -> tuple[int, float]:
    """Where and when the foot passes a height, on the way from the top along `rows`."""
    for row in rows:
        there = row + rows.step
        if lower[there] >= height:
            share = float((height - lower[row]) / max(lower[there] - lower[row], 1e-9))
            return there, float(times[row] + np.clip(share, 0, 1) * (times[there] - times[row]))
    return rows.stop, float(times[rows.stop])
