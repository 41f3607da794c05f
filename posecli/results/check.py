"""Finds implausible joints: limbs that are too long, jumps, two limbs in one place, left/right swaps.

Each rule looks at one person over time. It flags a joint in a frame and gives the reason. It moves no joint,
and no network runs. scripts/score_check.py measures how many wrong joints the rules find, and how many
correct joints they flag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from posecli.metrics.angles import JOINT_ANGLES, included_angle
from posecli.metrics.video import pairs_of
from posecli.results.measure import Column, measure
from posecli.results.recording import Recording, Track, stretches
from posecli.types import IMPLAUSIBLE, Array, Flags

UNSURE = 0.4  # most joints with a lower confidence are wrong
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
FOOT = (("ankle", "heel"), ("ankle", "big_toe"))
# A limb looks shorter when it points towards the camera. Its full length is this percentile over time.
SEEN_WHOLE = 90
LONG_FOOT = 0.9  # maximum distance of heel or toe from the ankle, in full shank lengths
LONG = 1.35  # maximum limb length, in full lengths of that limb
JUMP = 0.5  # torso lengths from the median position in the window
JUMP_SECONDS = 0.25  # window around each frame
TURN = 90.0  # degrees between two frames
TURN_SPEED = 2500.0  # degrees per second; a sprinter's knee is slower
ONE_PLACE = 0.12  # torso lengths between the left and right joint; closer counts as one place
DOUBTFUL = 0.65  # of two limbs in one place, one is wrong below this confidence; above it, it is hidden
SWAP_GAIN = (
    0.5  # torso lengths by which swapping left and right must reduce the distance to the usual positions
)
SWAP_SECONDS = 0.5  # window around each frame
BEYOND_BOX = 0.15  # share of the longer box side
LONGEST = 1.0  # seconds, longest gap to interpolate
TORSO_SECONDS = 1.0  # window around each frame for the torso length


@dataclass(frozen=True)
class Finding:
    """One joint of one person: how often it is implausible, and when."""

    track: int
    joint: str
    share: float  # share of the person's frames
    spans: tuple[tuple[float, float], ...]  # (first frame, last frame) in seconds
    reasons: tuple[str, ...]


def check(recording: Recording) -> tuple[Recording, list[Finding]]:
    """Flag implausible joints. Returns (flagged recording, findings per person and joint)."""
    tracks, findings = [], []
    for track in recording.tracks:
        reasons = {} if track.number is None else implausible_joints(recording, track)
        found = np.zeros(track.keypoints.shape[:2], bool)
        for flags in reasons.values():
            found |= flags
        tracks.append(track.marked(IMPLAUSIBLE, found))
        findings += list(_findings(recording, track, found, reasons))
    return replace(recording, tracks=tuple(tracks)), findings


def plausible_angles(recording: Recording, track: Track, angles: Sequence[str]) -> list[Column]:
    """The angles of a track that `check` has flagged. NaN: a joint of the angle is implausible.

    Raises PoseError for angles that the skeleton does not have.
    """
    # The confidence of an angle is the lowest of its joints: here 0 if one is implausible, otherwise 1.
    believed = track.keypoints.copy()
    believed[..., 2] = ~track.marks.get(IMPLAUSIBLE, _none(track))
    told = measure(recording, track, angles=angles)
    sure = measure(recording, replace(track, keypoints=believed), angles=angles)
    return [
        replace(c, values=np.where(s.confidence == 1, c.values, np.nan))
        for c, s in zip(told, sure, strict=True)
    ]


def implausible_joints(recording: Recording, track: Track) -> dict[str, Flags]:
    """Implausible joints of a track: one boolean array (N, K) per reason."""
    torso = _torso(recording, track)
    return {
        "low confidence": (track.keypoints[..., 2] < UNSURE) & ~track.missing,
        "limb too long": _too_long(recording, track, torso),
        "jump": _jumps(recording, track, torso),
        "turns too fast": _turns(recording, track),
        "two limbs in one place": _in_one_place(recording, track, torso),
        "left/right swap": _side_swaps(recording, track, torso),
        "outside its box": _outside(track),
    }


def replace_implausible(recording: Recording) -> tuple[Recording, int]:
    """Interpolate implausible joints between their neighbours in time, and flag them `replaced`.

    Returns (recording, number of joints not replaced). A joint is not replaced if the gap between its
    neighbours is longer than LONGEST seconds or one of them is missing. It keeps the flag `implausible`.
    """
    return replace_flagged(check(recording)[0])


def replace_flagged(recording: Recording) -> tuple[Recording, int]:
    """As `replace_implausible`, of a recording that `check` has flagged."""
    tracks, left = [], 0
    for track in recording.tracks:
        points = track.keypoints.copy()
        found = track.marks.get(IMPLAUSIBLE, _none(track))
        replaced = _none(track)
        times = recording.times[track.rows]
        for part in stretches(track.rows):
            for k in np.flatnonzero(found[part].any(axis=0)):
                sure = np.flatnonzero(~found[part, k] & ~track.missing[part, k])
                for a, b in pairwise(sure):
                    if b - a > 1 and times[part][b] - times[part][a] <= LONGEST:
                        replaced[part.start + a + 1 : part.start + b, k] = True
                rows = np.flatnonzero(replaced[part, k]) + part.start
                if not len(rows):
                    continue
                for axis in (0, 1):
                    points[rows, k, axis] = np.interp(
                        times[rows], times[part][sure], track.keypoints[part, k, axis][sure]
                    )
        left += int((found & ~replaced).sum())
        marks = {**track.marks, IMPLAUSIBLE: found & ~replaced}
        stays = [bool(row.any()) for row in marks[IMPLAUSIBLE]]
        flags = tuple(
            tuple(f for f in row if f != IMPLAUSIBLE or s) for row, s in zip(track.flags, stays, strict=True)
        )
        tracks.append(replace(track, keypoints=points, marks=marks, flags=flags).marked("replaced", replaced))
    return replace(recording, tracks=tuple(tracks)), left


# ---------------------------------------------------------------- rules


def _medians(values: Array, window: int | tuple[int, ...]) -> Array:
    """Running median over a window around each value."""
    from scipy.ndimage import median_filter  # imported late: scipy slows down the start of `run`

    found: Array = median_filter(values, window, mode="nearest")
    return found


def _torso(recording: Recording, track: Track) -> Array:
    """Torso length (N,) in pixels: the longer diagonal from a shoulder to the opposite hip, smoothed over time.

    A quarter of the longer box side if the skeleton has no shoulders or hips.
    """
    side = track.boxes[:, 2:].max(axis=1)
    place = {name: n for n, name in enumerate(recording.joints)}
    lengths = [
        _length(track, place[f"{a}_shoulder"], place[f"{b}_hip"])
        for a, b in (("left", "right"), ("right", "left"))
        if f"{a}_shoulder" in place and f"{b}_hip" in place
    ]
    if not lengths or not len(track):
        quarter: Array = np.maximum(side / 4, 1.0)
        return quarter
    longer: Array = np.fmax.reduce(lengths)
    longer = np.where(np.isfinite(longer), longer, side / 4)
    window = _window(recording, track, TORSO_SECONDS)
    steady: Array = np.maximum(_medians(longer, window), side / 10)
    return steady


def _too_long(recording: Recording, track: Track, torso: Array) -> Flags:
    found = _none(track)
    for inner, outer in _pairs(recording.joints, LIMBS):
        length = _length(track, inner, outer) / torso
        sure = np.minimum(track.keypoints[:, inner, 2], track.keypoints[:, outer, 2]) >= UNSURE
        if not sure.any():
            continue
        whole = np.nanpercentile(length[sure], SEEN_WHOLE)
        found[:, outer] |= length > LONG * whole
        # The visible length of a foot varies a lot with its direction, so it is compared with the shank.
        for ankle, end in _pairs(recording.joints, FOOT):
            if ankle == outer:
                found[:, end] |= _length(track, ankle, end) / torso > LONG_FOOT * whole
    return found


def _jumps(recording: Recording, track: Track, torso: Array) -> Flags:
    """Joints that lie far from their median position over the window for one frame, and then come back."""
    found = _none(track)
    window = _window(recording, track, JUMP_SECONDS)
    for part in stretches(track.rows):
        if part.stop - part.start < window:
            continue
        points = track.keypoints[part, :, :2]
        usual = _medians(np.nan_to_num(points), (window, 1, 1))
        off = np.linalg.norm(points - usual, axis=2) / torso[part, None]
        # A fast movement also takes a joint far from the median. It is a jump only if the joint is also far
        # from its position in the previous and in the next frame.
        steps = np.linalg.norm(np.diff(points, axis=0), axis=2) / torso[part][1:, None]
        back = np.zeros(off.shape, bool)
        back[1:-1] = np.minimum(steps[:-1], steps[1:]) > JUMP / 2
        found[part] |= (off > JUMP) & back
    return found


def _turns(recording: Recording, track: Track) -> Flags:
    """Ankles and wrists whose knee or elbow bends faster than is possible."""
    found = _none(track)
    times = recording.times[track.rows]
    for name in ("knee", "elbow"):
        for side in ("left", "right"):
            names = [f"{side}_{joint}" for joint in JOINT_ANGLES[name]]
            if not all(n in recording.joints for n in names):
                continue
            columns = [recording.joints.index(n) for n in names]
            angle = included_angle(*(track.keypoints[:, c, :2] for c in columns))
            turn, seconds = np.abs(np.diff(angle)), np.maximum(np.diff(times), 1e-6)
            fast = (turn > TURN) & (turn / seconds > TURN_SPEED) & (np.diff(track.rows) == 1)
            for row in np.flatnonzero(fast):
                # Of the two frames, the one that differs more from its other neighbour is wrong.
                found[row + _odd_one(angle, int(row)), columns[2]] = True
    return found


def _odd_one(angle: Array, row: int) -> int:
    """0 if frame `row` fits its neighbour worse, 1 if the next frame does."""
    before = abs(angle[row] - angle[row - 1]) if row > 0 else 0.0
    after = abs(angle[row + 2] - angle[row + 1]) if row + 2 < len(angle) else 0.0
    return int(after >= before)


def _in_one_place(recording: Recording, track: Track, torso: Array) -> Flags:
    """If both legs or both arms lie in one place: the one with the lower confidence, if that is below DOUBTFUL."""
    found = _none(track)
    for middle, end in (("knee", "ankle"), ("elbow", "wrist")):
        names = [f"{side}_{joint}" for joint in (middle, end) for side in ("left", "right")]
        if not all(n in recording.joints for n in names):
            continue
        at = [recording.joints.index(n) for n in names]
        together = np.logical_and.reduce(
            [_length(track, at[i], at[i + 1]) < ONE_PLACE * torso for i in (0, 2)]
        )
        left, right = (track.keypoints[:, columns, 2].mean(axis=1) for columns in (at[::2], at[1::2]))
        for own, other, columns in ((left, right, at[::2]), (right, left, at[1::2])):
            found[:, columns] |= (together & (own <= other) & (own < DOUBTFUL))[:, None]
    # Flag the foot of a flagged leg too, if both feet lie in one place.
    for ankle, joint in _pairs(recording.joints, FOOT):
        same = _length(track, joint, recording.skeleton.flip[joint]) < ONE_PLACE * torso
        found[:, joint] |= found[:, ankle] & same
    return found


def _side_swaps(recording: Recording, track: Track, torso: Array) -> Flags:
    """Left and right joints that lie closer to their median positions after a swap of left and right."""
    found = _none(track)
    window = _window(recording, track, SWAP_SECONDS)
    pairs = [(left, right) for left, right in pairs_of(recording.skeleton) if left < right]
    for part in stretches(track.rows):
        if part.stop - part.start < window:
            continue
        points = np.nan_to_num(track.keypoints[part, :, :2])
        usual = _medians(points, (window, 1, 1))
        for left, right in pairs:
            stays = _gap(points[:, left], usual[:, left]) + _gap(points[:, right], usual[:, right])
            turns = _gap(points[:, left], usual[:, right]) + _gap(points[:, right], usual[:, left])
            found[part, left] |= stays - turns > SWAP_GAIN * torso[part]
            found[part, right] |= stays - turns > SWAP_GAIN * torso[part]
    return found


def _outside(track: Track) -> Flags:
    corner, size = track.boxes[:, None, :2], track.boxes[:, None, 2:]
    margin = BEYOND_BOX * size.max(axis=2, keepdims=True)
    points = track.keypoints[..., :2]
    beyond: Flags = ((points < corner - margin) | (points > corner + size + margin)).any(axis=2)
    return beyond


# ---------------------------------------------------------------- parts


def _none(track: Track) -> Flags:
    return np.zeros(track.keypoints.shape[:2], bool)


def _gap(a: Array, b: Array) -> Array:
    distance: Array = np.linalg.norm(a - b, axis=1)
    return distance


def _length(track: Track, a: int, b: int) -> Array:
    return _gap(track.keypoints[:, a, :2], track.keypoints[:, b, :2])


def _pairs(joints: tuple[str, ...], limbs: tuple[tuple[str, str], ...]) -> Iterator[tuple[int, int]]:
    for side in ("left", "right"):
        for one, other in limbs:
            if f"{side}_{one}" in joints and f"{side}_{other}" in joints:
                yield joints.index(f"{side}_{one}"), joints.index(f"{side}_{other}")


def _window(recording: Recording, track: Track, seconds: float) -> int:
    """Number of frames in so many seconds, rounded to an odd number, at least 3."""
    times = recording.times[track.rows]
    step = float(np.median(np.diff(times))) if len(times) > 1 else seconds
    return max(3, 2 * round(seconds / max(step, 1e-6) / 2) + 1)


def _findings(
    recording: Recording, track: Track, found: Flags, reasons: dict[str, Flags]
) -> Iterator[Finding]:
    times = recording.times[track.rows]
    for k in np.flatnonzero(found.any(axis=0)):
        spans = []
        for part in stretches(track.rows):
            edges = np.diff(np.concatenate([[0], found[part, k].astype(int), [0]]))
            for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
                spans.append((float(times[part][first]), float(times[part][last])))
        own = tuple(reason for reason, flags in reasons.items() if flags[:, k].any())
        share = float(found[:, k].mean())
        yield Finding(track.number or 0, recording.joints[k], share, tuple(spans), own)
