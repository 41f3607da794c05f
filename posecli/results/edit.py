"""Corrections of a result by hand: who is who, which side is which, what is not to be trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.recording import Recording, Track

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Span:
    """Seconds from `start` to `end`, both included; None: open."""

    start: float | None = None
    end: float | None = None

    def rows(self, recording: Recording, track: Track) -> Mask:
        """(N,) which of a track's rows lie in it."""
        times = recording.times[track.rows]
        # Times in a file have 6 decimals; what is asked for as 0.04 means the frame at 0.04.
        inside = np.ones(len(times), bool)
        if self.start is not None:
            inside &= times >= self.start - 1e-6
        if self.end is not None:
            inside &= times <= self.end + 1e-6
        return inside


def parse_span(text: str) -> Span:
    """'12.3-12.9', '30-', '-5', '7' (that moment) -> seconds; raises PoseError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)?(-)?(\d+(?:\.\d+)?)?", text.strip())
    if not text.strip() or found is None or text.strip() == "-":
        raise PoseError(f"{text!r} is no stretch of time; write seconds such as 12.3-12.9, 30- or -5.")
    start, dash, end = found.groups()
    if not dash:
        return Span(float(start), float(start))
    span = Span(None if start is None else float(start), None if end is None else float(end))
    if span.start is not None and span.end is not None and span.end < span.start:
        raise PoseError(f"{text!r} ends before it begins.")
    return span


def swap_ids(recording: Recording, one: int, other: int, span: Span = Span()) -> Recording:
    """Exchange two people's numbers; rows within the span alone."""
    a, b = recording.track(one), recording.track(other)
    in_a, in_b = span.rows(recording, a), span.rows(recording, b)
    _must_touch(np.concatenate([in_a, in_b]), f"{one} and {other}", span)
    return _with(
        recording,
        {one: joined(one, a.take(~in_a), b.take(in_b)), other: joined(other, b.take(~in_b), a.take(in_a))},
    )


def swap_sides(recording: Recording, number: int, span: Span = Span()) -> Recording:
    """Exchange left and right of a person."""
    track = recording.track(number)
    rows = span.rows(recording, track)
    _must_touch(rows, str(number), span)
    points = track.keypoints.copy()
    flip = recording.skeleton.flip
    points[rows] = points[rows][:, flip]
    marks = {flag: marked.copy() for flag, marked in track.marks.items()}
    for marked in marks.values():
        marked[rows] = marked[rows][:, flip]
    sided = np.array(flip) != np.arange(len(flip))
    changed = replace(track, keypoints=points, marks=marks).marked("corrected", rows[:, None] & sided)
    return _with(recording, {number: changed})


def blank(recording: Recording, number: int, joint: str, span: Span = Span()) -> Recording:
    """Say that a joint is not to be trusted: its place stays, its confidence becomes 0."""
    if joint not in recording.joints:
        raise PoseError(f"This result has no joint {joint}; it has {', '.join(recording.joints)}.")
    track = recording.track(number)
    rows = span.rows(recording, track)
    _must_touch(rows, str(number), span)
    points = track.keypoints.copy()
    chosen = np.zeros(points.shape[:2], bool)
    chosen[rows, recording.joints.index(joint)] = True
    points[chosen, 2] = 0.0
    return _with(recording, {number: replace(track, keypoints=points).marked("corrected", chosen)})


def delete(recording: Recording, number: int, span: Span = Span()) -> Recording:
    """Take a person out; frames without people stay."""
    track = recording.track(number)
    rows = span.rows(recording, track)
    _must_touch(rows, str(number), span)
    return _with(recording, {number: track.take(~rows)})


def merge(recording: Recording, numbers: list[int]) -> Recording:
    """Say that several numbers are one person, who keeps the first; raises PoseError where two of them are in one
    frame."""
    tracks = [recording.track(n) for n in numbers]
    seen: dict[int, int] = {}
    for track in tracks:
        for row in track.rows:
            if seen.setdefault(int(row), track.number or 0) != track.number:
                raise PoseError(
                    f"{seen[int(row)]} and {track.number} are both there at {recording.times[row]:.3f} s, so they are "
                    f"not one person; delete one of them there first: --delete {track.number}@…"
                )
    changed: dict[int, Track | None] = dict.fromkeys(numbers)
    changed[numbers[0]] = joined(numbers[0], *tracks)
    names = {n: name for n, name in recording.names.items() if n not in numbers[1:]}
    return _named(_with(recording, changed), names)


def rename(recording: Recording, number: int, name: str) -> Recording:
    """Call somebody something: the number stays."""
    recording.track(number)
    return _named(recording, {**recording.names, number: name})


def choose(recording: Recording, which: str) -> list[int]:
    """The numbers that `largest`, `longest`, `centre` or a list of numbers mean; raises PoseError.

    largest: the largest box, mean over the whole recording; longest: seen in the most frames; centre: nearest to
    the picture's middle, mean over time, of those who are seen for a tenth of whoever is seen longest.
    """
    people = [t for t in recording.tracks if t.number is not None]
    if not people:
        raise PoseError("Nobody in this result has a number to be chosen by.")
    source = recording.header["source"]
    middle = np.array([source["width"], source["height"]]) / 2
    rules: dict[str, Callable[[Track], float]] = {
        "largest": lambda t: float((t.boxes[:, 2] * t.boxes[:, 3]).sum()),
        "longest": lambda t: float(len(t)),
        "centre": lambda t: (
            -float(np.linalg.norm(t.boxes[:, :2] + t.boxes[:, 2:] / 2 - middle, axis=1).mean())
        ),
    }
    if which in rules:
        longest = max(len(t) for t in people)
        # What is seen for a moment may be nobody.
        best = max((t for t in people if which != "centre" or len(t) >= longest / 10), key=rules[which])
        return [best.number or 0]
    try:
        numbers = [int(part) for part in which.split(",")]
    except ValueError:
        raise PoseError(
            f"{which!r} chooses nobody; write {', '.join(rules)}, or numbers such as 1,4."
        ) from None
    return [recording.track(n).number or 0 for n in numbers]


def _must_touch(touched: Mask, who: str, span: Span) -> None:
    if not touched.any():
        start = "the beginning" if span.start is None else f"{span.start:g} s"
        end = "the end" if span.end is None else f"{span.end:g} s"
        raise PoseError(f"{who} is not there from {start} to {end}, so there is nothing to change.")


def joined(number: int, *parts: Track) -> Track:
    """Parts of tracks as one, in the order of time."""
    rows = np.concatenate([p.rows for p in parts])
    order = np.argsort(rows, kind="stable")
    flags = [f for p in parts for f in p.flags]
    return Track(
        number,
        rows[order],
        np.concatenate([p.keypoints for p in parts])[order],
        np.concatenate([p.boxes for p in parts])[order],
        np.concatenate([p.scores for p in parts])[order],
        tuple(flags[i] for i in order),
        np.concatenate([p.places for p in parts])[order],
        {
            flag: np.concatenate([marks_of(p, flag) for p in parts])[order]
            for flag in sorted({f for p in parts for f in p.marks})
        },
    )


def marks_of(track: Track, flag: str) -> Mask:
    """(N, K) which joints have a flag."""
    return track.marks.get(flag, np.zeros(track.keypoints.shape[:2], bool))


def _with(recording: Recording, changed: dict[int, Track | None] | dict[int, Track]) -> Recording:
    """A recording with some tracks replaced; what is None or empty goes."""
    tracks = [changed.get(t.number, t) if t.number is not None else t for t in recording.tracks]
    return replace(recording, tracks=tuple(t for t in tracks if t is not None and len(t)))


def _named(recording: Recording, names: dict[int, str]) -> Recording:
    header = recording.header.copy()
    header.pop("names", None)
    if names:
        header["names"] = {str(n): name for n, name in sorted(names.items())}
    return replace(recording, header=header)
