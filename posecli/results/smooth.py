"""Smooths a result: fills gaps, removes outliers, filters and resamples. Uses the real time of each frame.

`run` does none of this by default. It writes the joints as the network places them. Changed rows are flagged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.recording import Recording, Track, stretches
from posecli.types import Array, Flags, FramePoses

Method = Literal["none", "butterworth", "savgol", "one-euro"]
METHODS: tuple[Method, ...] = ("none", "butterworth", "savgol", "one-euro")
EVEN = 0.02  # frame intervals that vary by less than this share count as even
OUTLIER_WINDOW = 7  # frames; each point is compared with the median of this window
OUTLIER_SIGMAS = 3.0  # Hampel filter: standard deviations, estimated from the median deviation
OUTLIER_LEAST = 0.03  # share of the longer box side; smaller deviations are never outliers
MAD_TO_SIGMA = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


@dataclass(frozen=True)
class Smoothing:
    """What to do, in this order: remove outliers, fill gaps, filter."""

    method: Method = "butterworth"
    cutoff: float = 6.0  # butterworth: cut-off frequency in Hz
    order: int = 4  # butterworth: order of the forward and backward pass together
    window: float = 0.3  # savgol: window length in seconds
    min_cutoff: float = 1.0  # one-euro: cut-off frequency at rest, in Hz
    beta: float = 0.02  # one-euro: how much the cut-off rises with speed, per pixel/s
    fill: int = 0  # longest gap to fill, in frames
    unsure: float = 0.0  # joints with a lower confidence are filled like missing ones
    reject: bool = False  # fill outliers like missing joints


def smooth(recording: Recording, how: Smoothing) -> Recording:
    """Smooth the joints of every person.

    The confidence does not change. A filled joint gets the lower confidence of its two neighbours in time. A
    missing joint that is not filled stays missing. No filter works across a gap that was not filled.
    Raises PoseError for untracked results, and for a cut-off frequency of half the frame rate or more.
    """
    if any(t.number is None for t in recording.tracks):
        raise PoseError(
            "This result was made with --no-tracking: nobody can be followed, so nothing can be smoothed."
        )
    return replace(recording, tracks=tuple(_smoothed(recording.times, t, how) for t in recording.tracks))


def resample(recording: Recording, rate: float) -> Recording:
    """Resample the recording to `rate` rows per second by linear interpolation between frames.

    `frame` of a new row is the last frame of the source at or before its time. A person's gaps stay gaps:
    fill them first. Raises PoseError for a recording of a single frame.
    """
    times = recording.times
    step = _step(times)
    count = int(np.floor((times[-1] - times[0]) * rate + 1e-6)) + 1
    wanted = times[0] + np.arange(count) / rate
    before = np.searchsorted(times, wanted + 1e-9, side="right") - 1
    tracks = []
    for track in recording.tracks:
        at = times[track.rows]
        parts = []
        for stretch in (np.arange(len(track))[part] for part in stretches(track.rows)):
            first, last = at[stretch[0]], at[stretch[-1]]
            rows = np.flatnonzero((wanted >= first - 1e-6) & (wanted <= last + 1e-6))
            if len(rows):
                parts.append((stretch, rows))
        if not parts:
            continue
        keypoints, boxes, scores, flags, places, kept_rows = [], [], [], [], [], []
        for stretch, rows in parts:
            here, there = at[stretch], wanted[rows]
            keypoints.append(_along(here, track.keypoints[stretch], there))
            boxes.append(_along(here, track.boxes[stretch], there))
            scores.append(_along(here, track.scores[stretch], there))
            nearest = np.abs(here[None] - there[:, None]).argmin(axis=1)
            between = np.abs(here[nearest] - there) > 0.01 * step
            for n, moved in zip(nearest, between, strict=True):
                kept = track.flags[stretch[n]]
                flags.append(_flagged(kept, "interpolated") if moved else kept)
                places.append(track.places[stretch[n]])
                kept_rows.append(stretch[n])
        tracks.append(
            Track(
                track.number,
                np.concatenate([rows for _, rows in parts]).astype(np.intp),
                np.concatenate(keypoints),
                np.concatenate(boxes),
                np.concatenate(scores),
                tuple(flags),
                np.array(places, np.intp),
                {flag: marked[kept_rows] for flag, marked in track.marks.items()},
            )
        )
    return replace(
        recording,
        frames=recording.frames[before],
        times=wanted,
        flags=tuple(recording.flags[i] for i in before),
        photos=tuple(recording.photos[i] for i in before) if recording.photos else (),
        tracks=tuple(tracks),
    )


# ---------------------------------------------------------------- one person


def _smoothed(times: Array, track: Track, how: Smoothing) -> Track:
    track = _with_missing_rows(track, how.fill)
    keypoints, flags = track.keypoints.copy(), list(track.flags)
    bridged = np.zeros(keypoints.shape[:2], bool)
    at = times[track.rows]
    for stretch in (np.arange(len(track))[part] for part in stretches(track.rows)):
        filled = np.array(["interpolated" in track.flags[i] for i in stretch])
        for joint in range(keypoints.shape[1]):
            points = keypoints[stretch, joint]
            missing = np.isnan(points[:, 0])
            doubtful = filled | missing | (points[:, 2] < how.unsure)
            if how.reject:
                size = track.boxes[stretch, 2:].max(axis=1)
                doubtful |= outliers(points[:, :2], np.maximum(size * OUTLIER_LEAST, 1e-6), doubtful)
            points[:, :2], replaced = _bridged(at[stretch], points[:, :2], doubtful, how.fill)
            found = missing & replaced
            points[found, 2] = _lower_neighbour(points[:, 2], ~doubtful, found)
            for part in _runs(~np.isnan(points[:, 0])):
                points[part, :2] = _filtered(at[stretch][part], points[part, :2], how)
            keypoints[stretch, joint] = points
            bridged[stretch, joint] |= replaced
        if how.method != "none" and len(stretch) > 1:
            for i in stretch:
                flags[i] = _flagged(flags[i], "smoothed")
    return replace(track, keypoints=keypoints, flags=tuple(flags)).marked("interpolated", bridged)


def _lower_neighbour(confidence: Array, sure: Flags, wanted: Flags) -> Array:
    """For each wanted index, the lower confidence of the nearest sure index before it and after it."""
    places = np.flatnonzero(sure)
    after = np.searchsorted(places, np.flatnonzero(wanted))
    return np.minimum(confidence[places[after - 1]], confidence[places[after]])


def _runs(chosen: Flags) -> list[npt.NDArray[np.intp]]:
    """The indices of each run of consecutive True values."""
    places = np.flatnonzero(chosen)
    return [places[part] for part in stretches(places)]


def _with_missing_rows(track: Track, fill: int) -> Track:
    """Add interpolated rows where the person is missing for at most `fill` frames in a row."""
    gaps = np.diff(track.rows)
    wanted = np.flatnonzero((gaps > 1) & (gaps <= fill + 1))
    if not len(wanted):
        return track
    rows = np.concatenate([track.rows, *(np.arange(track.rows[i] + 1, track.rows[i + 1]) for i in wanted)])
    rows = np.sort(rows)
    old = np.isin(rows, track.rows)
    source = np.searchsorted(track.rows, rows, side="right") - 1
    keypoints = _along(track.rows, track.keypoints, rows)
    after = np.minimum(source + 1, len(track.rows) - 1)
    lower = np.minimum(track.keypoints[source, :, 2], track.keypoints[after, :, 2])
    keypoints[~old, :, 2] = lower[~old]
    return Track(
        track.number,
        rows,
        keypoints,
        _along(track.rows, track.boxes, rows),
        np.where(old, track.scores[source], np.minimum(track.scores[source], track.scores[after])),
        tuple(
            track.flags[s] if o else _flagged((), "interpolated") for s, o in zip(source, old, strict=True)
        ),
        track.places[source],
        {flag: marked[source] & old[:, None] for flag, marked in track.marks.items()},
    )


def outliers(points: Array, least: Array, doubtful: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark outliers (N,) among points (N, 2) with a Hampel filter.

    An outlier is more than OUTLIER_SIGMAS standard deviations and more than `least` (N,) pixels away from
    the median of the points around it. Doubtful points (N,) are ignored and never marked.
    """
    half = OUTLIER_WINDOW // 2
    found = np.zeros(len(points), bool)
    for i in range(len(points)):
        around = np.arange(max(0, i - half), min(len(points), i + half + 1))
        around = around[~doubtful[around]]
        if len(around) < 3 or doubtful[i]:
            continue
        middle = np.median(points[around], axis=0)
        distances = np.linalg.norm(points[around] - middle, axis=1)
        allowed = max(OUTLIER_SIGMAS * MAD_TO_SIGMA * float(np.median(distances)), float(least[i]))
        found[i] = np.linalg.norm(points[i] - middle) > allowed
    return found


def _bridged(
    times: Array, points: Array, doubtful: npt.NDArray[np.bool_], fill: int
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Interpolate up to `fill` doubtful points in a row. Returns (points (N, 2), which were replaced (N,)).

    Longer runs, and runs at either end, stay as they are.
    """
    replaced = np.zeros(len(points), bool)
    sure = np.flatnonzero(~doubtful)
    if not len(sure):
        return points, replaced
    for a, b in pairwise(sure):
        if 1 < b - a <= fill + 1:
            replaced[a + 1 : b] = True
    result = points.copy()
    result[replaced] = _along(times[sure], points[sure], times[replaced])
    return result, replaced


def _filtered(times: Array, points: Array, how: Smoothing) -> Array:
    """Filter points (N, 2) at times (N,) in seconds. Raises PoseError for a cut-off frequency that is too high."""
    if how.method == "none" or len(points) < 3:
        return points
    if how.method == "one-euro":
        return one_euro(times, points, how.min_cutoff, how.beta)
    step = _step(times)
    if how.method == "butterworth":
        rate = 1 / step
        if how.cutoff >= rate / 2:
            raise PoseError(
                f"A cut-off of {how.cutoff:g} Hz needs more than {2 * how.cutoff:g} frames a second; there are "
                f"{rate:.2f}."
            )
        # The filter runs forwards and backwards, so each pass has half the order. Two passes lower the
        # cut-off frequency, so it is raised first (Winter, Biomechanics and Motor Control of Human
        # Movement, 2.4.4).
        from scipy import signal  # imported late: scipy slows down the start of `run`

        half = max(how.order // 2, 1)
        analogue = np.tan(np.pi * how.cutoff / rate) / (2**0.5 - 1) ** (1 / (2 * half))
        sections = signal.butter(half, np.arctan(analogue) / np.pi * rate, fs=rate, output="sos")
        return _on_even_times(times, points, step, lambda p: _sosfiltfilt(sections, p))
    window = max(5, round(how.window / step) | 1)
    return _on_even_times(times, points, step, lambda p: _savgol(p, window))


def _sosfiltfilt(sections: Array, points: Array) -> Array:
    from scipy import signal

    pad = min(len(points) - 1, 6 * len(sections) + 3)
    found: Array = signal.sosfiltfilt(sections, points, axis=0, padtype="odd", padlen=pad)
    return found


def _savgol(points: Array, window: int) -> Array:
    window = min(window, len(points) - (len(points) + 1) % 2)
    if window < 5:
        return points
    from scipy import signal

    found: Array = signal.savgol_filter(points, window, 3, axis=0)
    return found


def _on_even_times(times: Array, points: Array, step: float, filtered: Callable[[Array], Array]) -> Array:
    """Apply a filter that needs even sampling.

    If the times are uneven, resample the points to even times, filter, and resample back.
    """
    if np.ptp(np.diff(times)) <= EVEN * step:
        return filtered(points)
    even = np.linspace(times[0], times[-1], max(3, round((times[-1] - times[0]) / step) + 1))
    return _along(even, filtered(_along(times, points, even)), times)


def one_euro(times: Array, points: Array, min_cutoff: float, beta: float, speed_cutoff: float = 1.0) -> Array:
    """One-Euro filter (Casiez, Roussel, Vogel, "1 € Filter", CHI 2012).

    It smooths slow movement strongly and fast movement little. It uses past points only.
    points: (N, 2) pixels. times: (N,) seconds. min_cutoff, speed_cutoff: Hz. beta: per pixel/s.
    """
    euro = OneEuro(min_cutoff, beta, speed_cutoff)
    return np.array([euro.step(float(t), p) for t, p in zip(times, points, strict=True)])


@dataclass
class OneEuro:
    """State of a One-Euro filter for one point (2,) or several points (K, 2). Each point has its own speed."""

    min_cutoff: float  # Hz
    beta: float  # per pixel/s
    speed_cutoff: float = 1.0  # Hz
    time: float = 0.0
    points: Array | None = None  # pixels, the last output
    speeds: Array | None = None  # pixels/s

    def step(self, time: float, points: Array) -> Array:
        """Filter the points of the next frame. time: seconds."""
        points = points.astype(np.float64)
        if self.points is None or self.speeds is None:
            self.time, self.points, self.speeds = time, points, np.zeros_like(points)
            return points
        step = max(time - self.time, 1e-6)
        a = _alpha(self.speed_cutoff, step)
        self.speeds = a * (points - self.points) / step + (1 - a) * self.speeds
        cutoff = self.min_cutoff + self.beta * np.linalg.norm(self.speeds, axis=-1, keepdims=True)
        b = _alpha(cutoff, step)
        self.time, self.points = time, b * points + (1 - b) * self.points
        return self.points


def _alpha(cutoff: float | Array, step: float) -> Any:
    tau = 1 / (2 * np.pi * cutoff)
    return 1 / (1 + tau / step)


class LiveSmoother:
    """Smooths live frames with a One-Euro filter per person, and flags them.

    The filter starts again for a person who was not in the previous frame.
    """

    def __init__(self, how: Smoothing) -> None:
        self.how = how
        self.filters: dict[int, OneEuro] = {}

    def through(self, frames: Iterable[FramePoses]) -> Iterator[FramePoses]:
        for poses in frames:
            yield self.smoothed(poses)

    def smoothed(self, poses: FramePoses) -> FramePoses:
        before, self.filters = self.filters, {}
        people = []
        for person in poses.people:
            if person.track is None:
                people.append(person)
                continue
            known = before.get(person.track)
            euro = known or OneEuro(self.how.min_cutoff, self.how.beta)
            self.filters[person.track] = euro
            keypoints = person.keypoints.copy()
            keypoints[:, :2] = euro.step(float(poses.frame.time), keypoints[:, :2])
            flags = person.flags if known is None else _flagged(person.flags, "smoothed")
            people.append(replace(person, keypoints=keypoints, flags=flags))
        return replace(poses, people=tuple(people))


# ---------------------------------------------------------------- small things


def _along(at: Array | npt.NDArray[np.intp], values: Array, wanted: Array | npt.NDArray[np.intp]) -> Array:
    """Linear interpolation: values (N, …) given at `at` (N,), returned at `wanted` (M,)."""
    flat = values.reshape(len(values), -1)
    columns = [np.interp(wanted, at, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(wanted), *values.shape[1:])


def _step(times: Array) -> float:
    """Median seconds between frames. Raises PoseError for a single frame."""
    if len(times) < 2:
        raise PoseError("A result of a single frame can't be smoothed or resampled.")
    return float(np.median(np.diff(times)))


def _flagged(flags: tuple[str, ...], flag: str) -> tuple[str, ...]:
    return flags if flag in flags else (*flags, flag)
