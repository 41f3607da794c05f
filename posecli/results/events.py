"""Finds steps, jumps and repetitions in the joints of a result. No network runs.

Times are those of frames, so an event is accurate to about one frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from posecli.draw.skeleton import Mark
from posecli.errors import PoseError
from posecli.lists import listed
from posecli.results.check import check, replace_flagged
from posecli.results.feet import NEAR
from posecli.results.jumps import flights
from posecli.results.measure import measure
from posecli.results.recording import Recording, Track
from posecli.results.smooth import Smoothing, smooth
from posecli.results.steps import contacts
from posecli.types import IMPLAUSIBLE, Array

Kind = Literal["steps", "jumps", "repetitions"]
KINDS: tuple[Kind, ...] = ("steps", "jumps", "repetitions")
CUTOFF = 6.0  # Hz: low-pass filter of the joints' paths
RANGE = 25.0  # degrees: smallest range of a repetition, without --below
HYSTERESIS = 0.2  # of that range: a repetition ends this far above the limit
SHOWN = 0.5  # seconds that a mark stays in the video

_BODY = tuple(f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "hip", "ankle"))
JOINTS = {"steps": _BODY, "jumps": _BODY, "repetitions": ()}  # what each kind needs


@dataclass(frozen=True)
class Event:
    """One event of one person."""

    track: int
    kind: Kind
    side: str  # left, right, or "" where it is the whole body
    start: float  # seconds; of a step the moment the foot comes down
    end: float
    values: dict[str, float] = field(default_factory=dict)  # by the name of the CSV's column


def events(
    recording: Recording, kind: Kind, *, angle: str = "knee", below: float | None = None
) -> list[Event]:
    """The events of all people, sorted by person and time.

    angle, below: of repetitions: which angle falls below how many degrees and comes back; None: the middle of its range.
    Steps and jumps with implausible ankles (see `check`) are left out. People who lack a joint in every frame have no
    events. Raises PoseError for results without tracking, and for joints
    that the skeleton does not have.
    """
    _check_possible(recording, kind)
    return _found(*_steady(recording), kind, angle, below)


def asked_events(recording: Recording, text: str) -> dict[Kind, list[Event]]:
    """By kind: what a list such as "steps,jumps" or "repetitions:elbow" asks for, the angle after a colon. Raises
    PoseError."""
    kinds = kinds_of(text)
    for kind in kinds:
        _check_possible(recording, kind)
    if not kinds:
        return {}
    steady, checked = _steady(recording)
    return {kind: _found(steady, checked, kind, angle or "knee", None) for kind, angle in kinds.items()}


def kinds_of(text: str) -> dict[Kind, str]:
    """The kinds of such a list, each with its angle or ""; raises PoseError."""
    found: dict[Kind, str] = {}
    for part in listed(text):
        kind, colon, angle = part.partition(":")
        if kind not in KINDS or (colon and kind != "repetitions"):
            raise PoseError(f"{part} is not a kind of event; write {', '.join(KINDS)} or repetitions:elbow.")
        found[kind] = angle
    return found


def counted(found: Mapping[Kind, Sequence[Event]]) -> list[tuple[Event, int]]:
    """Each event with its number among the same kind of the same person, from 1."""
    counts: Counter[tuple[int, str]] = Counter()
    numbered = []
    for event in (e for of_kind in found.values() for e in of_kind):
        counts[event.track, event.kind] += 1
        numbered.append((event, counts[event.track, event.kind]))
    return numbered


def title(event: Event, count: int, degree: str = "°") -> str:
    """Such as "step 3" or "jump 1, 0.31 m"."""
    text = f"{event.kind[:-1]} {count}"
    if event.kind == "jumps" and np.isfinite(event.values["height_m"]):
        return f"{text}, {event.values['height_m']:.2f} m"
    return f"{text}, lowest {event.values['lowest_deg']:.0f}{degree}" if event.kind == "repetitions" else text


def marks(found: Mapping[Kind, Sequence[Event]]) -> tuple[Mark, ...]:
    """What `draw` shows of events: a ring at the foot of a step, and a text with the count. How high a jump was, and how
    deep a repetition, is told at its end."""
    shown = []
    for event, count in counted(found):
        joint = f"{event.side}_ankle" if event.kind == "steps" else ""
        # The font of the video has no degree sign.
        shown.append(Mark(event.track, event.end, event.end + SHOWN, joint, title(event, count, " deg")))
        if event.end > event.start:
            shown.append(Mark(event.track, event.start, event.end, "", f"{event.kind[:-1]} {count}"))
    return tuple(shown)


def rows_of(found: Sequence[Event]) -> list[list[str]]:
    """The CSV's rows, head first."""
    columns = list(dict.fromkeys(name for e in found for name in e.values))
    rows = [["track", "kind", "side", "start", "end", *columns]]
    for e in found:
        values = [e.values[name] for name in columns]
        cells = ["" if np.isnan(v) else f"{v:.3f}" for v in values]
        rows.append([str(e.track), e.kind, e.side, f"{e.start:.3f}", f"{e.end:.3f}", *cells])
    return rows


def summary(recording: Recording, found: Sequence[Event]) -> list[str]:
    """A sentence for each person that something was found of."""
    lines = []
    for number in dict.fromkeys(e.track for e in found):
        own = [e for e in found if e.track == number]
        name = recording.names.get(number, f"person {number}")
        lines.append(f"{name}: {_told(own)}")
    return lines


def _told(own: Sequence[Event]) -> str:
    count, kind = len(own), own[0].kind
    if kind == "steps":
        left = sum(e.side == "left" for e in own)
        text = f"{count} steps, {left} left and {count - left} right"
        steps = [b.start - a.start for a, b in pairwise(own)]
        return text + (f", {60 / np.median(steps):.0f} a minute" if steps and np.median(steps) > 0 else "")
    if kind == "jumps":
        heights = [e.values["height_m"] for e in own if np.isfinite(e.values["height_m"])]
        best = f", the highest {max(heights):.2f} m by its flight time" if heights else ", height unknown"
        return f"{count} {'jump' if count == 1 else 'jumps'}{best}"
    first, last = own[0].values, own[-1].values
    text = f"{count} {'repetition' if count == 1 else 'repetitions'}, lowest {min(e.values['lowest_deg'] for e in own):.0f}°"
    if count > 1:
        text += f", from first to last {last['lowest_deg'] - first['lowest_deg']:+.0f}° and {last['seconds'] - first['seconds']:+.2f} s"
    return text


# ---------------------------------------------------------------- kinds


def _check_possible(recording: Recording, kind: Kind) -> None:
    """Raises PoseError for results without tracking, or without a joint that this kind needs."""
    for joint in JOINTS[kind]:
        if joint not in recording.joints:
            raise PoseError(f"{kind} need the joint {joint}; this result has {', '.join(recording.joints)}.")
    if any(t.number is None for t in recording.tracks):
        raise PoseError("This result was made with --no-tracking: nobody can be followed over time.")


def _found(steady: Recording, checked: Recording, kind: Kind, angle: str, below: float | None) -> list[Event]:
    """steady, checked: of `_steady`."""
    found: list[Event] = []
    for track in steady.tracks:
        columns = [steady.joints.index(j) for j in JOINTS[kind]]
        if len(track) < 3 or np.isnan(track.keypoints[:, columns, 0]).all(axis=0).any():
            continue
        if kind in ("steps", "jumps"):
            seen = _steps(steady, track) if kind == "steps" else _jumps(steady, track)
            found += [e for e in seen if _believed(checked, e)]
        else:
            found += _repetitions(steady, track, angle, below)
    return found


def _steps(recording: Recording, track: Track) -> list[Event]:
    found: list[Event] = []
    for side, time in contacts(recording, track):
        seconds = (
            time - found[-1].start if found else np.nan
        )  # since the step before, mostly the other foot's
        values = {"seconds": seconds, "steps_a_minute": 60 / seconds if seconds and seconds > 0 else np.nan}
        found.append(Event(track.number or 0, "steps", side, time, time, values))
    return found


def _jumps(recording: Recording, track: Track) -> list[Event]:
    return [
        Event(
            track.number or 0, "jumps", "", f.leaves, f.lands,
            {"flight_seconds": f.lands - f.leaves, "height_m": f.height},
        )
        for f in flights(recording, track)
    ]  # fmt: skip


def _repetitions(recording: Recording, track: Track, angle: str, below: float | None) -> list[Event]:
    """The angle, of both sides together, falls below a limit and comes back above it by a part of its range.

    One that has already begun in the first frame is not counted: the way down is not known.
    """
    times = recording.times[track.rows]
    columns = measure(recording, track, angles=[angle])
    sides = np.array([c.values for c in columns])
    if np.isnan(sides).all():
        return []
    values = np.nanmean(sides, axis=0)
    low, high = np.nanpercentile(values, [2, 98])
    if below is None and high - low < RANGE:
        return []
    limit = (low + high) / 2 if below is None else below
    back = limit + HYSTERESIS * max(high - limit, 0.0)
    found, first, was_up = [], None, False
    for row, value in enumerate(values):
        if first is None and was_up and value < limit:
            first = row
        elif first is not None and value > back:
            found.append(_repetition(track, times, values, first, row, back))
            first = None
        was_up |= bool(value >= limit)
    return found


def _repetition(track: Track, times: Array, values: Array, first: int, last: int, back: float) -> Event:
    """It begins where the angle left its upper part, and ends where it is there again."""
    start = first
    while start > 0 and values[start] < back:
        start -= 1
    lowest = first + int(np.nanargmin(values[first : last + 1]))
    told = {
        "lowest_deg": float(values[lowest]),
        "lowest_at": float(times[lowest]),
        "down_seconds": float(times[lowest] - times[start]),
        "up_seconds": float(times[last] - times[lowest]),
        "seconds": float(times[last] - times[start]),
    }
    return Event(track.number or 0, "repetitions", "", float(times[start]), float(times[last]), told)


# ---------------------------------------------------------------- parts


def _believed(checked: Recording, event: Event) -> bool:
    """Whether the ankles of a step or a jump are believed in half of its frames. checked: with the marks of `check`."""
    track = checked.track(event.track)
    wrong = track.marks.get(IMPLAUSIBLE)
    if wrong is None:
        return True
    times = checked.times[track.rows]
    first, last = np.searchsorted(times, [event.start - 1e-6, event.end + 1e-6])
    rows = slice(max(0, first - NEAR), last + NEAR)
    sides = (event.side,) if event.side else ("left", "right")
    columns = [checked.joints.index(f"{side}_ankle") for side in sides]
    return float(wrong[rows][:, columns].mean()) <= 0.5


def _steady(recording: Recording) -> tuple[Recording, Recording]:
    """Without what can't be believed, and filtered, where there are frames enough a second; and what `check` flagged."""
    checked, _ = check(recording)
    steady, _ = replace_flagged(checked)
    step = float(np.median(np.diff(steady.times))) if len(steady.times) > 1 else 1.0
    if 1 / step > 2.2 * CUTOFF:
        steady = smooth(steady, Smoothing("butterworth", cutoff=CUTOFF, fill=5))
    return steady, checked
