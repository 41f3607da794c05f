"""Manual corrections of a result: track IDs, left/right swaps and joints."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.results.recording import Recording, Track
from posecli.types import Array

Mask = npt.NDArray[np.bool_]
FILL_SECONDS = 1.0  # maximum gap between two corrections of a joint that is interpolated


@dataclass(frozen=True)
class Span:
    """A range in seconds, or in frames of the source. `start` and `end` are included; None: no limit."""

    start: float | None = None
    end: float | None = None
    frames: bool = False

    def rows(self, recording: Recording, track: Track) -> Mask:
        """Which rows (N,) of a track lie in the range."""
        times = (recording.frames if self.frames else recording.times)[track.rows]
        # Times in a file are rounded to 6 decimals, so allow for that.
        inside = np.ones(len(times), bool)
        if self.start is not None:
            inside &= times >= self.start - 1e-6
        if self.end is not None:
            inside &= times <= self.end + 1e-6
        return inside


def parse_span(text: str) -> Span:
    """Parse '12.3-12.9', '30-', '-5' or '7' (one moment) as seconds, and '#120-#130' as frames.

    Raises PoseError for any other text.
    """
    frames = "#" in text
    plain = text.strip().replace("#", "")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)?(-)?(\d+(?:\.\d+)?)?", plain)
    if not plain or found is None or plain == "-":
        raise PoseError(
            f"{text!r} is not a range of time; write seconds such as 12.3-12.9, 30- or -5, or frames such as #120-#130."
        )
    start, dash, end = found.groups()
    if not dash:
        return Span(float(start), float(start), frames)
    span = Span(None if start is None else float(start), None if end is None else float(end), frames)
    if span.start is not None and span.end is not None and span.end < span.start:
        raise PoseError(f"{text!r} ends before it begins.")
    return span


def swap_ids(recording: Recording, one: int, other: int, span: Span = Span()) -> Recording:
    """Swap the track IDs of two people within the span."""
    a, b = recording.track(one), recording.track(other)
    in_a, in_b = span.rows(recording, a), span.rows(recording, b)
    _must_touch(np.concatenate([in_a, in_b]), f"{one} and {other}", span)
    return _with(
        recording,
        {one: joined(one, a.take(~in_a), b.take(in_b)), other: joined(other, b.take(~in_b), a.take(in_a))},
    )


def swap_sides(recording: Recording, number: int, span: Span = Span()) -> Recording:
    """Swap the left and right joints of a person within the span."""
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
    """Mark a joint as unreliable: its position stays and its confidence becomes 0."""
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


def move(
    recording: Recording, number: int, joint: str, moment: Span, place: tuple[float, float]
) -> Recording:
    """Move a joint in one frame to `place`, x and y in pixels. Its confidence becomes 1.

    If two corrections of the same joint are at most FILL_SECONDS apart, the frames between them are
    interpolated on a smooth curve (monotone cubic of Fritsch and Carlson). They are also flagged
    "interpolated". Raises PoseError if the person has no such joint or is not in the frame.
    """
    if joint not in recording.joints:
        raise PoseError(f"This result has no joint {joint}; it has {', '.join(recording.joints)}.")
    track, k = recording.track(number), recording.joints.index(joint)
    row = _nearest_row(recording, track, moment)
    points = track.keypoints.copy()
    points[row, k] = (*place, 1.0)
    at = np.zeros(points.shape[:2], bool)
    at[row, k] = True
    filled = marks_of(track, "interpolated")[:, k].copy()
    filled[row] = False
    anchors = np.flatnonzero(marks_of(track, "corrected")[:, k] & ~filled | at[:, k])
    times = recording.times[track.rows]
    chain = _chain(anchors, times, row)
    between = np.zeros(points.shape[:2], bool)
    if len(chain) > 1:
        from scipy.interpolate import PchipInterpolator  # imported late: scipy slows down the start of `run`

        inner = np.setdiff1d(np.arange(chain[0], chain[-1] + 1), chain)
        curve = PchipInterpolator(times[chain], points[chain, k, :2])
        points[inner, k, :2], points[inner, k, 2] = curve(times[inner]), 1.0
        between[inner, k] = True
    track = replace(track, keypoints=points)
    if "interpolated" in track.marks:
        kept = track.marks["interpolated"].copy()
        kept[row, k] = False
        track = replace(track, marks={**track.marks, "interpolated": kept})
    done = track.marked("corrected", at | between).marked("interpolated", between)
    return _with(recording, {number: done})


def _chain(anchors: npt.NDArray[np.intp], times: Array, row: int) -> npt.NDArray[np.intp]:
    """The run of corrections that contains `row`, with gaps of at most FILL_SECONDS between them."""
    parts = np.split(anchors, np.flatnonzero(np.diff(times[anchors]) > FILL_SECONDS) + 1)
    return next(part for part in parts if row in part)


def _nearest_row(recording: Recording, track: Track, moment: Span) -> int:
    """The row of a track at a moment. Raises PoseError if the person is not in that frame."""
    if moment.start is None or moment.start != moment.end:
        raise PoseError("--move needs one frame, such as @4.000 or @#120.")
    values = (recording.frames if moment.frames else recording.times)[track.rows]
    row = int(np.abs(values - moment.start).argmin())
    step = (
        0.5
        if moment.frames
        else float(np.median(np.diff(recording.times)))
        if len(recording.times) > 1
        else 1.0
    )
    if abs(float(values[row]) - moment.start) > 0.51 * step + 1e-6:
        where = f"frame {moment.start:.0f}" if moment.frames else f"{moment.start:g} s"
        raise PoseError(f"Person {track.number} is not there in {where}.")
    return row


def delete(recording: Recording, number: int, span: Span = Span()) -> Recording:
    """Remove a person within the span. Frames without people stay."""
    track = recording.track(number)
    rows = span.rows(recording, track)
    _must_touch(rows, str(number), span)
    return _with(recording, {number: track.take(~rows)})


def merge(recording: Recording, numbers: list[int]) -> Recording:
    """Merge several track IDs into the first one. Raises PoseError if two of them are in the same frame."""
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
    """Name a person. The track ID does not change."""
    recording.track(number)
    return _named(recording, {**recording.names, number: name})


def choose(recording: Recording, which: str) -> list[int]:
    """The track IDs for a selection. Raises PoseError if the text is no selection or matches nobody.

    largest: the person with the largest box area, summed over the recording.
    longest: the person in the most frames.
    centre: the person nearest to the middle of the frame on average. People seen for less than a tenth of
    the longest time do not count.
    1,4: track IDs.
    x,y@seconds: the person whose box contains that pixel at that time. Separate several by semicolons.
    """
    people = [t for t in recording.tracks if t.number is not None]
    if not people:
        raise PoseError("This result has no track IDs to select.")
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
        # A very short track may be a false detection.
        best = max((t for t in people if which != "centre" or len(t) >= longest / 10), key=rules[which])
        return [best.number or 0]
    if "@" in which:
        return list(dict.fromkeys(_at_point(recording, people, part) for part in which.split(";")))
    try:
        numbers = [int(part) for part in which.split(",")]
    except ValueError:
        raise PoseError(
            f"{which!r} is not a selection; write {', '.join(rules)}, track IDs such as 1,4, or a place such as 320,240@1.5."
        ) from None
    return [recording.track(n).number or 0 for n in numbers]


def _at_point(recording: Recording, people: list[Track], text: str) -> int:
    """The track ID of the person at x,y@seconds: the smallest box that contains this pixel at this time.

    Raises PoseError if there is none.
    """
    found = re.fullmatch(r"\s*(-?[\d.]+),(-?[\d.]+)@([\d.]+)\s*", text)
    if found is None:
        raise PoseError(f"{text!r} is not a place; write x,y@seconds, such as 320,240@1.5.")
    x, y, time = (float(v) for v in found.groups())
    hits = []
    for track in people:
        i = int(np.abs(recording.times[track.rows] - time).argmin())
        left, top, width, height = track.boxes[i]
        if (
            abs(recording.times[track.rows[i]] - time) <= 0.5
            and left <= x <= left + width
            and top <= y <= top + height
        ):
            hits.append((width * height, track.number or 0))
    if not hits:
        raise PoseError(f"Nobody is at {x:g},{y:g} at {time:g} s.")
    return min(hits)[1]


def _must_touch(touched: Mask, who: str, span: Span) -> None:
    if not touched.any():
        start = "the beginning" if span.start is None else f"{span.start:g} s"
        end = "the end" if span.end is None else f"{span.end:g} s"
        raise PoseError(f"{who} is not there from {start} to {end}, so there is nothing to change.")


def joined(number: int, *parts: Track) -> Track:
    """Join parts of tracks into one track, sorted by time."""
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
    """Which joints (N, K) have a flag."""
    return track.marks.get(flag, np.zeros(track.keypoints.shape[:2], bool))


def _with(recording: Recording, changed: dict[int, Track | None] | dict[int, Track]) -> Recording:
    """Replace some tracks of a recording. Tracks that are None or empty are removed."""
    tracks = [changed.get(t.number, t) if t.number is not None else t for t in recording.tracks]
    return replace(recording, tracks=tuple(t for t in tracks if t is not None and len(t)))


def _named(recording: Recording, names: dict[int, str]) -> Recording:
    header = recording.header.copy()
    header.pop("names", None)
    if names:
        header["names"] = {str(n): name for n, name in sorted(names.items())}
    return replace(recording, header=header)


# ---------------------------------------------------------------- as text


class BadEdit(PoseError):
    """A text that does not describe a valid edit."""


KINDS = ("select", "swap-ids", "swap-sides", "move", "blank", "delete", "merge", "rename")


def edited(recording: Recording, edits: Sequence[tuple[str, str]]) -> Recording:
    """Apply edits in order and record them in the header.

    edits: (kind, text) pairs in the syntax of the options of `posecli edit`. KINDS lists the kinds.
    Raises PoseError.
    """
    for kind, text in edits:
        recording = _applied(recording, kind, text)
    done = recording.header["options"].get("edits", [])
    return recording.with_options(edits=[*done, *(f"{kind} {text}" for kind, text in edits)])


def _applied(recording: Recording, kind: str, text: str) -> Recording:
    if kind == "select":
        chosen = choose(recording, text)
        for track in recording.tracks:
            if track.number is not None and track.number not in chosen:
                recording = delete(recording, track.number)
        return recording
    if kind == "merge":
        return merge(recording, [_number(part, kind, text) for part in text.split(",")])
    if kind == "rename":
        who, _, name = text.partition("=")
        if not name.strip():
            raise BadEdit(f"--rename {text} needs a track ID and a name, such as 2=Anna.")
        return rename(recording, _number(who, kind, text), name.strip())
    text, _, place = text.partition("=") if kind == "move" else (text, "", "")
    who, at, stretch = text.partition("@")
    span = parse_span(stretch) if at else Span()
    if kind == "swap-ids":
        one, comma, other = who.partition(",")
        if not comma or one == other:
            raise BadEdit(f"--swap-ids {text} needs two track IDs, such as 1,2 or 1,2@30-.")
        return swap_ids(recording, _number(one, kind, text), _number(other, kind, text), span)
    if kind in ("blank", "move"):
        who, colon, joint = who.partition(":")
        if not colon:
            raise BadEdit(f"--{kind} {text} needs a joint, such as 2:left_wrist@5.")
        if kind == "blank":
            return blank(recording, _number(who, kind, text), joint, span)
        found = re.fullmatch(r"(-?[\d.]+),(-?[\d.]+)", place)
        if found is None:
            raise BadEdit(f"--move {text}={place} needs a position, such as 2:left_knee@4.000=312.5,208.")
        return move(recording, _number(who, kind, text), joint, span, (float(found[1]), float(found[2])))
    if kind == "swap-sides":
        return swap_sides(recording, _number(who, kind, text), span)
    if kind == "delete":
        return delete(recording, _number(who, kind, text), span)
    raise BadEdit(f"There is no change {kind!r}; there are {', '.join(KINDS)}.")


def _number(text: str, kind: str, whole: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadEdit(f"--{kind} {whole}: {text!r} is no track ID.") from None
