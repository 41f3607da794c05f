"""Finds when feet come down, in the joints of one person. The camera must not move for steps in place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from posecli.results.feet import NEAR, SOLE, STEP_SECONDS, foot_paths, path, peaks, sure_sole, torso_length
from posecli.results.recording import Recording, Track
from posecli.types import Array, Flags

SWING = 0.25  # torso lengths: shortest swing of a foot
LIFT = 0.12  # torso lengths: smallest lift of a foot
STOPS = 0.4  # of its swing speed: a slower foot is on the ground
STOP_SECONDS = 0.2  # longest time from the most forward place of a foot to its stop
SETTLES = 0.06  # seconds: a foot must be visible for this long after its stop
WALKS = 0.6  # torso lengths per second: a faster pelvis is walking
TREADMILL = 1.0  # torso lengths: if the pelvis moves less, somebody who walks is on a treadmill
AGAINST = -0.5  # largest correlation of the feet of somebody who walks: they move against each other
TOO_SOON = 0.6  # of the usual time between two contacts of a foot
DOWN = 0.1  # of the lift: a foot below this height is on the ground


def contacts(recording: Recording, track: Track) -> list[tuple[str, float]]:
    """Side and seconds of each contact, by time. A foot comes down soon after it was furthest ahead of the pelvis (Zeni et
    al. 2008), when it stops; of somebody who steps in place, or who walks towards the camera, where it reaches its lowest
    point. On a treadmill it stops when it is furthest ahead, because the belt carries it back. The ankle tells when the foot swings; heel and big toe tell better when it comes down."""
    times, torso = recording.times[track.rows], torso_length(recording, track)
    pelvis = (path(recording, track, "left_hip") + path(recording, track, "right_hip")) / 2
    feet = {side: path(recording, track, f"{side}_ankle") for side in ("left", "right")}
    ahead = {side: (foot - pelvis)[:, 0] / torso for side, foot in feet.items()}
    sideways = np.mean([np.ptp(np.percentile(a, [5, 95])) for a in ahead.values()])
    upwards = np.mean([np.ptp(np.percentile(f[:, 1] / torso, [5, 95])) for f in feet.values()])
    across = sideways > max(2 * upwards, 2 * SWING) or abs(pelvis[-1, 0] - pelvis[0, 0]) > 2 * torso
    if across:
        forward, walks = _walk(recording, track, pelvis[:, 0] / torso, ahead)
    found = []
    for side, foot in feet.items():
        parts, rests = foot_paths(recording, track, side), dict[str, list[int | None]]()
        if across:
            swings = [row for row in peaks(times, forward * ahead[side], SWING) if walks[row]]
            for part, points in parts.items():
                along = forward * points[:, 0]
                ends = swings if part == "ankle" else _furthest(times, along - forward * pelvis[:, 0], swings)
                rests[part] = _put_down(times, along, ends)
        else:
            swings = peaks(times, -foot[:, 1] / torso, LIFT)
            rests = {part: _landings(points[:, 1] / torso, swings) for part, points in parts.items()}
        rows = _one_a_stride(times, _first_rests(recording, track, side, rests))
        found += [(side, float(times[row])) for row in rows]
    return sorted(found, key=lambda contact: contact[1])


def _walk(
    recording: Recording, track: Track, pelvis: Array, ahead: Mapping[str, Array]
) -> tuple[float, Flags]:
    """Of somebody seen from the side: the sign of the direction, and in which rows they walk, (N,). pelvis: (N,) x in torso
    lengths; ahead: (N,) of each foot, likewise, seen from the pelvis."""
    if np.ptp(pelvis) >= TREADMILL:
        speed = np.gradient(pelvis, recording.times[track.rows])
        return float(np.sign(pelvis[-1] - pelvis[0])), np.abs(speed) > WALKS
    with np.errstate(invalid="ignore"):  # a foot that never moves
        against = np.corrcoef(ahead["left"], ahead["right"])[0, 1] < AGAINST
    return _knees_point(recording, track), np.full(len(pelvis), against)


def _knees_point(recording: Recording, track: Track) -> float:
    """The sign of the direction that somebody faces: bent knees lie in front of the line from hip to ankle."""
    offsets = []
    for side in ("left", "right"):
        hip, knee, ankle = (
            path(recording, track, f"{side}_{joint}")[:, 0] for joint in ("hip", "knee", "ankle")
        )
        offsets.append(knee - (hip + ankle) / 2)
    return float(np.sign(np.mean(offsets)))


def _first_rests(
    recording: Recording, track: Track, side: str, rests: dict[str, list[int | None]]
) -> list[int]:
    """Rows at which a foot comes down, of each swing that ends so: where heel and big toe are sure, the row of the one that
    rests first, else that of the ankle. rests: of each part of the foot the row of each swing."""
    found = rests["ankle"]
    if all(part in rests for part in SOLE):
        sure = sure_sole(recording, track, side)
        for n, ends in enumerate(zip(*(rests[part] for part in SOLE), strict=True)):
            rows = [row for row in ends if row is not None]
            if rows and sure[max(0, min(rows) - NEAR) : max(rows) + NEAR + 1].all():
                found[n] = min(rows)
    return [row for row in found if row is not None]


def _furthest(times: Array, ahead: Array, rows: list[int]) -> list[int]:
    """Near each of some rows the one at which a part of the foot is furthest ahead."""
    reach = [np.searchsorted(times, times[row] + np.array([-STOP_SECONDS, STOP_SECONDS])) for row in rows]
    return [int(first + np.argmax(ahead[first:last])) for first, last in reach]


def _put_down(times: Array, along: Array, rows: list[int]) -> list[int | None]:
    """Of each row at which a foot is furthest ahead the one at which it stops; along: (N,) pixels the way it goes. None: a
    foot that is not seen to stop was not seen to come down."""
    speed = np.gradient(along, times)
    found: list[int | None] = []
    for row in rows:
        found.append(None)
        swing = speed[np.searchsorted(times, times[row] - STEP_SECONDS) : row + 1].max()
        for later in range(row, int(np.searchsorted(times, times[row] + STOP_SECONDS))):
            if speed[later] <= STOPS * swing:
                if times[-1] - times[later] >= SETTLES:
                    found[-1] = later
                break
    return found


def _one_a_stride(times: Array, rows: list[int]) -> list[int]:
    """Without contacts that follow the one before of the same foot much sooner than the others do."""
    usual = float(np.percentile(np.diff(times[rows]), 75)) if len(rows) > 2 else 0.0
    kept: list[int] = []
    for row in rows:
        if not kept or times[row] - times[kept[-1]] >= TOO_SOON * usual:
            kept.append(row)
    return kept


def _landings(heights: Array, lifted: list[int]) -> list[int | None]:
    """Of each row at which a foot is lifted the one at which it is down again; None where it was hardly lifted. heights:
    (N,) downwards, in torsos."""
    found: list[int | None] = []
    for n, row in enumerate(lifted):
        until = lifted[n + 1] if n + 1 < len(lifted) else len(heights)
        floor = heights[row:until].max()
        if floor - heights[row] < LIFT:
            found.append(None)
            continue
        down: Flags = heights[row:until] >= floor - DOWN * (floor - heights[row])
        found.append(int(row + np.argmax(down)))
    return found
