"""Compares one movement in two recordings. No network runs.

A pace maps each time of A to a time of B. It comes from events, from dynamic time warping, or from the two starts. Then
the angles are compared at each frame of A. Angles that are missing in A or B are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.check import believed_angles, check
from posecli.results.events import Event, Kind, events
from posecli.results.measure import MIRRORED, bare_name, measure
from posecli.results.recording import Recording, Track, only
from posecli.types import Array, Flags

FEWEST = 5  # frames of a person that can be compared
MOST = 4000  # samples of each side in the alignment: 16 million pairs
SLOWEST = 10.0  # samples a second: with fewer, a movement is not seen
RESTS = 15.0  # degrees: an angle that moves less says little about the pace
HURRY = 0.002  # cost of a step off the even pace: noise is not followed
STILL = 0.5  # degrees: the spread of an angle that has no correlation


@dataclass(frozen=True)
class Curves:
    """Angles of one person over time."""

    names: tuple[str, ...]  # K times, such as left_knee
    frames: npt.NDArray[np.intp]  # (N,) index in the source
    rows: npt.NDArray[np.intp]  # (N,) which of the recording's frames
    times: Array  # (N,) seconds
    values: Array  # (N, K) degrees; nan: missing, or not believed


@dataclass(frozen=True)
class Pace:
    """Maps times of A to times of B, with straight lines between knots. Times outside have no counterpart."""

    a: Array  # (Q,) seconds, rising
    b: Array  # (Q,) seconds, rising

    def at(self, times: Array) -> Array:
        """Times of B (N,) for times of A (N,), in seconds; nan outside."""
        outside = (times < self.a[0] - 1e-6) | (times > self.a[-1] + 1e-6)
        found: Array = np.where(outside, np.nan, np.interp(times, self.a, self.b))
        return found

    @property
    def seconds(self) -> tuple[float, float]:
        """How long what is compared takes in A and in B."""
        return float(self.a[-1] - self.a[0]), float(self.b[-1] - self.b[0])

    @property
    def furthest(self) -> tuple[float, float]:
        """(seconds, when in A): how much later B is than at an even pace from start to end, where that is most; earlier
        is negative."""
        late = self.b - np.interp(self.a, self.a[[0, -1]], self.b[[0, -1]])
        most = int(np.argmax(np.abs(late)))
        return float(late[most]), float(self.a[most])


@dataclass(frozen=True)
class Difference:
    """One angle of B against A's, over the frames of A in which both are known."""

    name: str
    share: float  # of A's frames
    mean: float  # degrees, B minus A
    absolute: float  # degrees, mean of the absolute difference
    largest: float  # degrees, B minus A where that is furthest from 0
    at: tuple[float, float]  # seconds in A and in B
    a: tuple[float, float]  # degrees, least and most of A's own frames
    b: tuple[float, float]
    correlation: float  # Pearson's; nan where an angle rests


@dataclass(frozen=True)
class Comparison:
    """B's angles at the frames of A."""

    names: tuple[str, ...]  # K times
    frames: npt.NDArray[np.intp]  # (N,) of A, index in the source
    rows: npt.NDArray[np.intp]  # (N,) of A, which of the recording's frames
    times: Array  # (N,) seconds in A
    times_b: Array  # (N,) seconds in B
    a: Array  # (N, K) degrees
    b: Array  # (N, K) degrees
    pace: Pace
    differences: tuple[Difference, ...]  # of the angles that could be compared
    gaps: tuple[tuple[float, float], ...]  # seconds of A: stretches in which no angle can be compared

    @property
    def absolute(self) -> float:
        """Mean absolute difference in degrees, of all angles and frames together."""
        return float(np.nanmean(np.abs(self.b - self.a)))


def longest_seen(recording: Recording) -> Track:
    """The person with the most frames. Raises PoseError where nobody is followed."""
    if not recording.tracks:
        raise PoseError(f"There is nobody in the result of {recording.header['source']['name']}.")
    if any(t.number is None for t in recording.tracks):
        raise PoseError(
            f"The result of {recording.header['source']['name']} was made with --no-tracking: nobody can be followed over time."
        )
    return max(recording.tracks, key=len)


def curves_of(
    recording: Recording,
    track: Track,
    angles: Sequence[str],
    *,
    start: float | None = None,
    end: float | None = None,
    mirror: bool = False,
) -> Curves:
    """The angles of one person, without implausible joints (see `check`).

    start, end: seconds. mirror: swap left and right, and the direction of leaning.
    Raises PoseError for angles that the skeleton does not have, and for too few frames.
    """
    [marked] = check(only(recording, [track.number or 0]))[0].tracks
    names = [c.name for c in measure(recording, marked, angles=angles)]
    asked = [_other_side(name) for name in names] if mirror else names
    signs = [-1 if mirror and bare_name(name) in MIRRORED else 1 for name in names]
    times = recording.times[track.rows]
    inside = (times >= (-np.inf if start is None else start)) & (times <= (np.inf if end is None else end))
    if inside.sum() < FEWEST:
        raise PoseError(
            f"Person {track.number} of {recording.header['source']['name']} is seen in {inside.sum()} frames of the part "
            f"that is compared; it takes {FEWEST}."
        )
    values = np.column_stack(
        [sign * c.values for c, sign in zip(believed_angles(recording, marked, asked), signs, strict=True)]
    )
    rows = track.rows[inside]
    return Curves(tuple(names), recording.frames[rows], rows, times[inside], values[inside])


def compare(a: Curves, b: Curves, pace: Pace) -> Comparison:
    """Compare B's angles with A's at each frame of A. B is interpolated between its frames, but not across gaps.

    Raises PoseError where no angle is known in both at any time.
    """
    inside = (a.times >= pace.a[0] - 1e-6) & (a.times <= pace.a[-1] + 1e-6)
    a = Curves(a.names, a.frames[inside], a.rows[inside], a.times[inside], a.values[inside])
    times_b = pace.at(a.times)
    matched = _between(b, times_b)
    # A lean is followed over 180 degrees: B may be whole turns away.
    both: Flags = np.isfinite(matched - a.values)
    turns = [
        360 * round(float(np.median((a.values - matched)[both[:, k], k])) / 360) if both[:, k].any() else 0
        for k in range(len(a.names))
    ]
    matched = matched + turns
    own = b.values[(b.times >= pace.b[0] - 1e-6) & (b.times <= pace.b[-1] + 1e-6)] + turns
    differences = tuple(
        _difference(a, times_b, matched, own, k) for k in range(len(a.names)) if both[:, k].any()
    )
    if not differences:
        raise PoseError(
            "None of these angles is known in both results at the same moment of the movement; name others with "
            "--angles, or another --align."
        )
    known: Flags = np.asarray(both.any(axis=1))
    return Comparison(
        a.names, a.frames, a.rows, a.times, times_b, a.values, matched, pace, differences, _gaps(a, known)
    )


def _gaps(a: Curves, known: Flags) -> tuple[tuple[float, float], ...]:
    """From the last frame that can be compared to the next one."""
    seen = np.flatnonzero(known)
    found = [(float(a.times[i]), float(a.times[k])) for i, k in pairwise(seen) if a.rows[k] - a.rows[i] > 1]
    if seen[0] > 0:
        found.insert(0, (float(a.times[0]), float(a.times[seen[0]])))
    if seen[-1] < len(a.times) - 1:
        found.append((float(a.times[seen[-1]]), float(a.times[-1])))
    return tuple(found)


def _difference(a: Curves, times_b: Array, matched: Array, own_b: Array, k: int) -> Difference:
    off = matched[:, k] - a.values[:, k]
    both = np.isfinite(off)
    one, other = a.values[both, k], matched[both, k]
    most = int(np.nanargmax(np.abs(off)))
    moves = min(one.std(), other.std()) >= STILL
    return Difference(
        a.names[k],
        float(both.mean()),
        float(off[both].mean()),
        float(np.abs(off[both]).mean()),
        float(off[most]),
        (float(a.times[most]), float(times_b[most])),
        _range(a.values[:, k]),
        _range(own_b[:, k]),
        float(np.corrcoef(one, other)[0, 1]) if moves else np.nan,
    )


# ---------------------------------------------------------------- paces


def from_start(a: Curves, b: Curves) -> Pace:
    """Both start together and play at their own speed, until the shorter one ends."""
    seconds = min(np.ptp(a.times), np.ptp(b.times))
    return Pace(a.times[0] + np.array([0, seconds]), b.times[0] + np.array([0, seconds]))


def by_events(
    a: tuple[Recording, Track, Curves],
    b: tuple[Recording, Track, Curves],
    kind: Kind,
    *,
    angle: str = "knee",
    mirror: bool = False,
) -> tuple[Pace, int, tuple[int, int]]:
    """The first event of A with the first of B, and so on; an even pace between. And how many pairs, and how many events
    each has.

    angle: of repetitions. mirror: a left step of A is a right one of B. Steps begin with the same foot.
    Raises PoseError where there is no pair, or only one moment.
    """
    found = [
        [
            e
            for e in events(only(recording, [track.number or 0]), kind, angle=angle)
            if e.start >= curves.times[0] and e.end <= curves.times[-1]
        ]
        for recording, track, curves in (a, b)
    ]
    counts = len(found[0]), len(found[1])
    pairs = list(_pairs(found[0], found[1], mirror))
    knots: list[tuple[float, float]] = []
    for one, other in pairs:
        for time_a, time_b in zip(_moments(one), _moments(other), strict=True):
            if not knots or (time_a > knots[-1][0] and time_b > knots[-1][1]):
                knots.append((time_a, time_b))
    if len(knots) < 2:
        raise PoseError(
            f"A has {counts[0]} and B has {counts[1]} {kind}: too few to align them; choose another --kind, or "
            f"--align dtw."
        )
    return Pace(*(np.array(times) for times in zip(*knots, strict=True))), len(pairs), counts


def _pairs(a: list[Event], b: list[Event], mirror: bool) -> Iterator[tuple[Event, Event]]:
    """First with first, from the first steps of one foot on, until a foot is missing."""
    sides = (
        {"left": "right", "right": "left", "": ""} if mirror else {"left": "left", "right": "right", "": ""}
    )
    if a and b and a[0].side != sides[b[0].side]:
        a, b = (a[1:], b) if len(a) > len(b) else (a, b[1:])
    for one, other in zip(a, b, strict=False):
        if one.side != sides[other.side]:
            return
        yield one, other


def _moments(event: Event) -> list[float]:
    if event.kind == "repetitions":
        return [event.start, event.values["lowest_at"], event.end]
    return [event.start] if event.kind == "steps" else [event.start, event.end]


def by_warping(a: Curves, b: Curves, window: float | None = None) -> Pace:
    """Dynamic time warping over all angles together, with the symmetric steps of slope constraint 1/2 of Sakoe and Chiba
    (Dynamic programming algorithm optimization for spoken word recognition, IEEE TASSP 26, 1978).

    Both are sampled from start to end in the same number of equal time steps. So the overall speed does not count, and
    the pace may locally be three times faster or slower. Each angle is centred on its range and divided by it, so the
    depth of a movement does not change the pace. Missing values do not count. window: largest time shift from an even
    pace, in seconds of A. Raises PoseError for
    parts that are too long.
    """
    seconds = float(np.ptp(a.times))
    count = min(max(len(a.times), len(b.times)), MOST)
    if (count - 1) / max(seconds, float(np.ptp(b.times))) < SLOWEST < _rate(a):
        raise PoseError(
            f"A part of {max(seconds, float(np.ptp(b.times))):.0f} s is too long to align; choose a shorter one with "
            f"--start-a, --end-a, --start-b and --end-b."
        )
    times_a, times_b = (np.linspace(c.times[0], c.times[-1], count) for c in (a, b))
    cost = _cost(_normal(_between(a, times_a)), _normal(_between(b, times_b)))
    if window is not None:
        reach = max(1.0, window / seconds * (count - 1))
        far = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) > reach
        cost[far] = np.inf
    i, j = _path(cost).T
    return Pace(times_a[i], times_b[j])


def _cost(a: Array, b: Array) -> Array:
    """(N, M) mean squared difference of the angles (N, K), (M, K) that both have; where they share none, what a good
    match usually costs."""
    total = np.zeros((len(a), len(b)), np.float32)
    known = np.zeros((len(a), len(b)), np.int16)
    for one, other in zip(a.T, b.T, strict=True):
        squared = np.subtract.outer(one.astype(np.float32), other.astype(np.float32)) ** 2
        there = np.isfinite(squared)
        total += np.where(there, squared, 0)
        known += there
    if not known.any():
        raise PoseError("None of these angles is known in both results; name others with --angles.")
    cost: Array = np.where(known > 0, total / np.maximum(known, 1), np.inf)
    nearest = cost.min(axis=1)
    cost[known == 0] = np.median(nearest[np.isfinite(nearest)])
    return cost


def _path(cost: Array) -> npt.NDArray[np.intp]:
    """(Q, 2) cells of a square cost (N, N) from the first to the last, each at most three rows for one column, or three
    columns for one row, after the one before."""
    # Of each way in: rows and columns back, in the order of the costs below.
    ways = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)]
    count = len(cost)
    nothing = np.full(count, np.inf)
    sums, costs = [nothing] * 4, [nothing] * 2  # of the diagonals before, the last one first
    chosen = np.zeros((2 * count - 1, count), np.int8)
    for d in range(2 * count - 1):
        rows = np.arange(max(0, d - count + 1), min(count - 1, d) + 1)
        here = nothing.copy()
        here[rows] = cost[rows, d - rows]
        before, two_before = costs
        candidates = np.stack(
            [
                _later(sums[1], 1) + 2 * here,
                _later(sums[2], 1) + 2 * before + here + HURRY,
                _later(sums[2], 2) + 2 * _later(before, 1) + here + HURRY,
                _later(sums[3], 1) + 2 * two_before + before + here + 2 * HURRY,
                _later(sums[3], 3) + 2 * _later(two_before, 2) + _later(before, 1) + here + 2 * HURRY,
            ]
        )
        chosen[d] = candidates.argmin(axis=0)
        best = candidates.min(axis=0) if d else np.where(np.arange(count) == 0, 2 * here, np.inf)
        sums, costs = [best, *sums[:3]], [here, before]
    i = j = count - 1
    path = [(i, j)]
    while i > 0 and j > 0:
        back_i, back_j = ways[chosen[i + j, i]]
        i, j = i - back_i, j - back_j
        path.append((i, j))
    return np.array(path[::-1], np.intp)


def _later(values: Array, rows: int) -> Array:
    return np.concatenate([np.full(rows, np.inf), values[:-rows]])[: len(values)]


# ---------------------------------------------------------------- parts


def _between(curves: Curves, at: Array) -> Array:
    """(N, K) values at any times (N,), on straight lines between frames that follow one another; nan elsewhere."""
    last = len(curves.times) - 2
    first = np.clip(np.searchsorted(curves.times, at, side="right") - 1, 0, last)
    share = (at - curves.times[first]) / np.maximum(np.diff(curves.times), 1e-9)[first]
    left, right = curves.values[first], curves.values[first + 1]
    found = left + share[:, None] * (right - left)
    apart = np.diff(curves.rows)[first] > 1
    found[apart] = np.nan
    # A frame's own time gives its own value, whatever is beside it.
    for on, values in ((np.abs(share) < 1e-6, left), (np.abs(share - 1) < 1e-6, right)):
        found[on] = values[on]
    found[~((share > -1e-6) & (share < 1 + 1e-6))] = np.nan
    return found


def _normal(values: Array) -> Array:
    """(N, K) in shares of each angle's own range, from its middle."""
    normal = np.full(values.shape, np.nan)
    for k, column in enumerate(values.T):
        if np.isfinite(column).any():
            low, high = np.nanpercentile(column, [2, 98])
            normal[:, k] = (column - (low + high) / 2) / max(high - low, RESTS)
    return normal


def _rate(curves: Curves) -> float:
    return 1 / max(float(np.median(np.diff(curves.times))), 1e-6)


def _range(values: Array) -> tuple[float, float]:
    known: Flags = np.isfinite(values)
    return (float(values[known].min()), float(values[known].max())) if known.any() else (np.nan, np.nan)


def _other_side(name: str) -> str:
    side, _, bare = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{bare}" if side in ("left", "right") else name
