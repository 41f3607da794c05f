"""Compares one movement in two recordings. No network runs.

A pace maps each time of recording A to a time of recording B. It comes from events, from dynamic time
warping, or from the two start times. The angles are then compared at each frame of A. An angle that is
missing in A or B is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.check import check, plausible_angles
from posecli.results.events import Event, Kind, events
from posecli.results.measure import MIRRORED, bare_name, measure
from posecli.results.recording import Recording, Track, only
from posecli.types import Array, Flags

MIN_FRAMES = 5  # minimum number of frames for a comparison
MAX_SAMPLES = 4000  # maximum number of samples per recording in the alignment: 16 million pairs
MIN_RATE = 10.0  # samples per second; a lower rate misses parts of the movement
MIN_RANGE = 15.0  # degrees; an angle with a smaller range gets less weight in the alignment
STEP_COST = 0.002  # cost of each step off the even pace, so that the path does not follow noise
MIN_SPREAD = 0.5  # degrees; below this standard deviation, no correlation is computed


@dataclass(frozen=True)
class Curves:
    """Angles of one person over time."""

    names: tuple[str, ...]  # K names, such as left_knee
    frames: npt.NDArray[np.intp]  # (N,) frame index in the source
    rows: npt.NDArray[np.intp]  # (N,) frame index in the recording
    times: Array  # (N,) seconds
    values: Array  # (N, K) degrees; NaN: missing or implausible


@dataclass(frozen=True)
class Pace:
    """Maps times of A to times of B by linear interpolation between knots. Times outside map to NaN."""

    a: Array  # (Q,) seconds, rising
    b: Array  # (Q,) seconds, rising

    def at(self, times: Array) -> Array:
        """Times of B (N,) for times of A (N,), in seconds. NaN outside the knots."""
        outside = (times < self.a[0] - 1e-6) | (times > self.a[-1] + 1e-6)
        found: Array = np.where(outside, np.nan, np.interp(times, self.a, self.b))
        return found

    @property
    def seconds(self) -> tuple[float, float]:
        """Duration in seconds of the compared part, in A and in B."""
        return float(self.a[-1] - self.a[0]), float(self.b[-1] - self.b[0])

    @property
    def furthest(self) -> tuple[float, float]:
        """(delay, time in A), both in seconds: the largest delay of B against an even pace. Negative: B is early."""
        late = self.b - np.interp(self.a, self.a[[0, -1]], self.b[[0, -1]])
        most = int(np.argmax(np.abs(late)))
        return float(late[most]), float(self.a[most])


@dataclass(frozen=True)
class Difference:
    """One angle, compared over the frames of A in which both recordings have it."""

    name: str
    share: float  # share of A's frames in which both recordings have the angle
    mean: float  # degrees, B minus A
    absolute: float  # degrees, mean of the absolute difference
    largest: float  # degrees, the largest difference B minus A by absolute value
    at: tuple[float, float]  # times of the largest difference in A and in B, in seconds
    a: tuple[float, float]  # degrees, minimum and maximum in A
    b: tuple[float, float]  # the same in B
    correlation: float  # Pearson correlation; NaN if the angle hardly moves in A or B


@dataclass(frozen=True)
class Comparison:
    """B's angles at the frames of A."""

    names: tuple[str, ...]  # K names
    frames: npt.NDArray[np.intp]  # (N,) frame index in A's source
    rows: npt.NDArray[np.intp]  # (N,) frame index in recording A
    times: Array  # (N,) seconds in A
    times_b: Array  # (N,) seconds in B
    a: Array  # (N, K) degrees
    b: Array  # (N, K) degrees
    pace: Pace
    differences: tuple[Difference, ...]  # one per angle that could be compared
    gaps: tuple[tuple[float, float], ...]  # (start, end) in seconds of A: no angle can be compared in between

    @property
    def absolute(self) -> float:
        """Mean absolute difference in degrees, over all angles and frames."""
        return float(np.nanmean(np.abs(self.b - self.a)))


def longest_seen(recording: Recording) -> Track:
    """The person with the most frames. Raises PoseError if the recording is empty or untracked."""
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
    """The angles of one person in degrees. Angles with implausible joints are NaN (see `check`).

    start, end: seconds. mirror: swap left and right, and the sign of lean angles.
    Raises PoseError for an angle that the skeleton does not have, and for too few frames.
    """
    [marked] = check(only(recording, [track.number or 0]))[0].tracks
    names = [c.name for c in measure(recording, marked, angles=angles)]
    asked = [_other_side(name) for name in names] if mirror else names
    signs = [-1 if mirror and bare_name(name) in MIRRORED else 1 for name in names]
    times = recording.times[track.rows]
    inside = (times >= (-np.inf if start is None else start)) & (times <= (np.inf if end is None else end))
    if inside.sum() < MIN_FRAMES:
        raise PoseError(
            f"Person {track.number} of {recording.header['source']['name']} is seen in {inside.sum()} frames of the part "
            f"that is compared; it takes {MIN_FRAMES}."
        )
    values = np.column_stack(
        [sign * c.values for c, sign in zip(plausible_angles(recording, marked, asked), signs, strict=True)]
    )
    rows = track.rows[inside]
    return Curves(tuple(names), recording.frames[rows], rows, times[inside], values[inside])


def compare(a: Curves, b: Curves, pace: Pace) -> Comparison:
    """Compare B's angles with A's at each frame of A. B is interpolated between its frames, but not across gaps.

    Raises PoseError if A and B have no angle in common at any time.
    """
    inside = (a.times >= pace.a[0] - 1e-6) & (a.times <= pace.a[-1] + 1e-6)
    a = Curves(a.names, a.frames[inside], a.rows[inside], a.times[inside], a.values[inside])
    times_b = pace.at(a.times)
    matched = _between(b, times_b)
    # Lean angles are unwrapped past 180 degrees, so A and B may differ by whole turns. Remove these.
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
    """Each gap as (last frame with an angle before it, first frame with an angle after it), in seconds."""
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
    moves = min(one.std(), other.std()) >= MIN_SPREAD
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
    """A and B start together and play at their own speed until the shorter one ends."""
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
    """Pair the events of A and B in order. Returns (pace, number of pairs, numbers of events in A and B).

    The pace is even between events. angle: the joint angle whose repetitions count. mirror: a left step of
    A matches a right step of B. The first pair of steps always has the same foot.
    Raises PoseError if the pairs give fewer than two points in time.
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
    """Pairs of events in order. Skips one first step if the feet differ. Stops when the feet no longer match."""
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
    """Dynamic time warping over all angles together.

    It uses the symmetric steps with slope constraint 1/2 of Sakoe and Chiba (Dynamic programming algorithm
    optimization for spoken word recognition, IEEE TASSP 26, 1978).

    A and B are sampled from start to end in the same number of equal time steps. So the overall speed does
    not matter, and the pace may locally be three times faster or slower. Each angle is centred on its range
    and divided by it, so the depth of a movement does not matter either. Missing values are ignored.

    window: largest time shift from an even pace, in seconds of A.
    Raises PoseError if the parts are too long to align.
    """
    seconds = float(np.ptp(a.times))
    count = min(max(len(a.times), len(b.times)), MAX_SAMPLES)
    if (count - 1) / max(seconds, float(np.ptp(b.times))) < MIN_RATE < _rate(a):
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
    """Mean squared difference (N, M) between the angles `a` (N, K) and `b` (M, K), over the angles that both have.

    Cells without a common angle get the median cost of a good match. Raises PoseError if no cell has one.
    """
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
    """The cheapest path (Q, 2) through a square cost matrix (N, N), from the first cell to the last.

    A step covers at most three rows for one column, or three columns for one row.
    """
    # Each possible step as (rows back, columns back), in the order of the candidates below.
    ways = [(1, 1), (1, 2), (2, 1), (1, 3), (3, 1)]
    count = len(cost)
    nothing = np.full(count, np.inf)
    sums, costs = [nothing] * 4, [nothing] * 2  # of the previous diagonals, the latest first
    chosen = np.zeros((2 * count - 1, count), np.int8)
    for d in range(2 * count - 1):
        rows = np.arange(max(0, d - count + 1), min(count - 1, d) + 1)
        here = nothing.copy()
        here[rows] = cost[rows, d - rows]
        before, two_before = costs
        candidates = np.stack(
            [
                _later(sums[1], 1) + 2 * here,
                _later(sums[2], 1) + 2 * before + here + STEP_COST,
                _later(sums[2], 2) + 2 * _later(before, 1) + here + STEP_COST,
                _later(sums[3], 1) + 2 * two_before + before + here + 2 * STEP_COST,
                _later(sums[3], 3) + 2 * _later(two_before, 2) + _later(before, 1) + here + 2 * STEP_COST,
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
    """Values (N, K) at the times `at` (N,), interpolated linearly between consecutive frames. NaN elsewhere."""
    last = len(curves.times) - 2
    first = np.clip(np.searchsorted(curves.times, at, side="right") - 1, 0, last)
    share = (at - curves.times[first]) / np.maximum(np.diff(curves.times), 1e-9)[first]
    left, right = curves.values[first], curves.values[first + 1]
    found = left + share[:, None] * (right - left)
    apart = np.diff(curves.rows)[first] > 1
    found[apart] = np.nan
    # At the exact time of a frame, use its own value even if the neighbouring value is missing.
    for on, values in ((np.abs(share) < 1e-6, left), (np.abs(share - 1) < 1e-6, right)):
        found[on] = values[on]
    found[~((share > -1e-6) & (share < 1 + 1e-6))] = np.nan
    return found


def _normal(values: Array) -> Array:
    """Values (N, K), centred on the middle of each angle's range and divided by the range."""
    normal = np.full(values.shape, np.nan)
    for k, column in enumerate(values.T):
        if np.isfinite(column).any():
            low, high = np.nanpercentile(column, [2, 98])
            normal[:, k] = (column - (low + high) / 2) / max(high - low, MIN_RANGE)
    return normal


def _rate(curves: Curves) -> float:
    return 1 / max(float(np.median(np.diff(curves.times))), 1e-6)


def _range(values: Array) -> tuple[float, float]:
    known: Flags = np.isfinite(values)
    return (float(values[known].min()), float(values[known].max())) if known.any() else (np.nan, np.nan)


def _other_side(name: str) -> str:
    side, _, bare = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{bare}" if side in ("left", "right") else name
