"""Finds steps, jumps and repetitions in the joints of a result. No network runs.

Times are those of frames, so an event is accurate to about one frame. For steps in place and for jumps, the camera must
not move. The ground of a jump is the lowest place of the feet.
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
from posecli.results.check import check, replace_implausible
from posecli.results.measure import measure
from posecli.results.recording import Recording, Track
from posecli.results.smooth import Smoothing, smooth
from posecli.types import IMPLAUSIBLE, Array, Flags

Kind = Literal["steps", "jumps", "repetitions"]
KINDS: tuple[Kind, ...] = ("steps", "jumps", "repetitions")
GRAVITY = 9.81  # m/s2
CUTOFF = 6.0  # Hz: low-pass filter of the joints' paths
STEP_SECONDS = 0.25  # shortest time between two contacts of one foot
SWING = 0.25  # torso lengths: shortest swing of a foot
LIFT = 0.12  # torso lengths: smallest lift of a foot
STOPS = 0.4  # of its swing speed: a slower foot is on the ground
STOP_SECONDS = 0.2  # longest time from the most forward place of a foot to its stop
SETTLES = 0.06  # seconds: a foot must be visible for this long after its stop
WALKS = 0.6  # torso lengths per second: a faster pelvis is walking
TOO_SOON = 0.6  # of the usual time between two contacts of a foot
DOWN = 0.1  # of the lift: a foot below this height is on the ground
FLIGHT = 0.15  # torso lengths: smallest height of the lower foot in a jump
LEAVES = 0.06  # torso lengths: height of a foot at take-off and landing
FLIGHT_SECONDS = (0.1, 1.5)  # shortest and longest flight; a jump from a roof of two metres lasts 1.2 s
LEVEL = 0.25  # torso lengths between take-off and landing height: above it, g t^2 / 8 is not valid
TORSO_METRES = 0.5  # of an adult, about
HIGHER = 1.5  # a flight time that gives more than this times the rise of the ankles is wrong
NEAR = 2  # frames around an event that must have plausible joints
RANGE = 25.0  # degrees: smallest range of a repetition, without --below
HYSTERESIS = 0.2  # of that range: a repetition ends this far above the limit
SHOWN = 0.5  # seconds that a mark stays in the video

SOLE = ("heel", "big_toe")  # the joints of a foot that touch the ground
SURE_SOLE = 0.8  # confidence from which heels and toes tell steps: they are placed less exactly than ankles
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
    for joint in JOINTS[kind]:
        if joint not in recording.joints:
            raise PoseError(f"{kind} need the joint {joint}; this result has {', '.join(recording.joints)}.")
    if any(t.number is None for t in recording.tracks):
        raise PoseError("This result was made with --no-tracking: nobody can be followed over time.")
    steady, checked = _steady(recording), check(recording)[0]
    found: list[Event] = []
    for track in steady.tracks:
        columns = [recording.joints.index(j) for j in JOINTS[kind]]
        if len(track) < 3 or np.isnan(track.keypoints[:, columns, 0]).all(axis=0).any():
            continue
        if kind in ("steps", "jumps"):
            seen = _steps(steady, track) if kind == "steps" else _jumps(steady, track)
            found += [e for e in seen if _believed(checked, e)]
        else:
            found += _repetitions(steady, track, angle, below)
    return found


def asked_events(recording: Recording, text: str) -> dict[Kind, list[Event]]:
    """By kind: what a list such as "steps,jumps" or "repetitions:elbow" asks for, the angle after a colon. Raises
    PoseError."""
    return {k: events(recording, k, angle=angle or "knee") for k, angle in kinds_of(text).items()}


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


def _steps(recording: Recording, track: Track) -> list[Event]:
    """A foot comes down soon after it was furthest ahead of the pelvis (Zeni et al. 2008), when it stops; of somebody who
    steps in place, or who walks towards the camera, where it reaches its lowest point. The ankle tells when the foot swings;
    heel and big toe tell better when it comes down."""
    times, torso = recording.times[track.rows], _torso(recording, track)
    pelvis = (_joint(recording, track, "left_hip") + _joint(recording, track, "right_hip")) / 2
    feet = {side: _joint(recording, track, f"{side}_ankle") for side in ("left", "right")}
    ahead = {side: (foot - pelvis)[:, 0] / torso for side, foot in feet.items()}
    sideways = np.mean([np.ptp(np.percentile(a, [5, 95])) for a in ahead.values()])
    upwards = np.mean([np.ptp(np.percentile(f[:, 1] / torso, [5, 95])) for f in feet.values()])
    found = []
    for side, foot in feet.items():
        parts, rests = _foot(recording, track, side), dict[str, list[int | None]]()
        if sideways > max(2 * upwards, 2 * SWING) or abs(pelvis[-1, 0] - pelvis[0, 0]) > 2 * torso:
            speed = np.gradient(pelvis[:, 0] / torso, times)
            forward = np.sign(pelvis[-1, 0] - pelvis[0, 0])
            swings = [row for row in _peaks(times, forward * ahead[side], SWING) if abs(speed[row]) > WALKS]
            for part, path in parts.items():
                along = forward * path[:, 0]
                ends = swings if part == "ankle" else _furthest(times, along - forward * pelvis[:, 0], swings)
                rests[part] = _put_down(times, along, ends)
        else:
            swings = _peaks(times, -foot[:, 1] / torso, LIFT)
            rests = {part: _landings(path[:, 1] / torso, swings) for part, path in parts.items()}
        rows = _one_a_stride(times, _first_rests(recording, track, side, rests))
        found += [Event(track.number or 0, "steps", side, float(times[r]), float(times[r])) for r in rows]
    found.sort(key=lambda e: e.start)
    return [_after(step, found[n - 1] if n else None) for n, step in enumerate(found)]


def _after(step: Event, before: Event | None) -> Event:
    """With the time since the other foot's step."""
    seconds = np.nan if before is None else step.start - before.start
    values = {"seconds": seconds, "steps_a_minute": 60 / seconds if seconds and seconds > 0 else np.nan}
    return Event(step.track, step.kind, step.side, step.start, step.end, values)


def _jumps(recording: Recording, track: Track) -> list[Event]:
    """The lower foot leaves the place where it was lowest before, and comes down to where it is lowest afterwards. The
    height comes from the flight time t alone: g t^2 / 8. It is nan where take-off and landing are not level, and where
    it is much more than the ankles rise."""
    times, torso = recording.times[track.rows], _torso(recording, track)
    feet = [_joint(recording, track, f"{side}_ankle")[:, 1] for side in ("left", "right")]
    lower = np.maximum(*feet) / torso
    tops = _peaks(times, -lower, FLIGHT)
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
            values = {"flight_seconds": seconds, "height_m": height if told else np.nan}
            found.append(Event(track.number or 0, "jumps", "", leaves, lands, values))
    return found


def _repetitions(recording: Recording, track: Track, angle: str, below: float | None) -> list[Event]:
    """The angle, of both sides together, falls below a limit and comes back above it by a part of its range."""
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
    found, first = [], None
    for row, value in enumerate(values):
        if first is None and value < limit:
            first = row
        elif first is not None and value > back:
            found.append(_repetition(track, times, values, first, row, back))
            first = None
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


def _steady(recording: Recording) -> Recording:
    """Without what can't be believed, and filtered, where there are frames enough a second."""
    recording, _ = replace_implausible(recording)
    step = float(np.median(np.diff(recording.times))) if len(recording.times) > 1 else 1.0
    if 1 / step <= 2.2 * CUTOFF:
        return recording
    return smooth(recording, Smoothing("butterworth", cutoff=CUTOFF, fill=5))


def _joint(recording: Recording, track: Track, name: str) -> Array:
    """(N, 2) pixels; a gap is bridged by a straight line."""
    points = track.keypoints[:, recording.joints.index(name), :2].copy()
    times = recording.times[track.rows]
    for axis in (0, 1):
        missing = np.isnan(points[:, axis])
        points[missing, axis] = np.interp(times[missing], times[~missing], points[~missing, axis])
    return points


def _foot(recording: Recording, track: Track, side: str) -> dict[str, Array]:
    """(N, 2) pixels of ankle, heel and big toe, by these names, as far as they are there."""
    columns = {part: f"{side}_{part}" for part in ("ankle", *SOLE) if f"{side}_{part}" in recording.joints}
    return {
        part: _joint(recording, track, joint)
        for part, joint in columns.items()
        if np.isfinite(track.keypoints[:, recording.joints.index(joint), 0]).any()
    }


def _first_rests(
    recording: Recording, track: Track, side: str, rests: dict[str, list[int | None]]
) -> list[int]:
    """Rows at which a foot comes down, of each swing that ends so: where heel and big toe are sure, the row of the one that
    rests first, else that of the ankle. rests: of each part of the foot the row of each swing."""
    found = rests["ankle"]
    if all(part in rests for part in SOLE):
        columns = [recording.joints.index(f"{side}_{part}") for part in SOLE]
        sure: Flags = np.asarray((track.keypoints[:, columns, 2] >= SURE_SOLE).all(axis=1))
        for n, ends in enumerate(zip(*(rests[part] for part in SOLE), strict=True)):
            rows = [row for row in ends if row is not None]
            if rows and sure[max(0, min(rows) - NEAR) : max(rows) + NEAR + 1].all():
                found[n] = min(rows)
    return [row for row in found if row is not None]


def _torso(recording: Recording, track: Track) -> float:
    """Pixels from shoulder to hip, crosswise, as it mostly is."""
    lengths = [
        np.linalg.norm(
            _joint(recording, track, f"{a}_shoulder") - _joint(recording, track, f"{b}_hip"), axis=1
        )
        for a, b in (("left", "right"), ("right", "left"))
    ]
    return max(float(np.median(np.maximum(*lengths))), 1.0)


def _peaks(times: Array, values: Array, prominence: float) -> list[int]:
    """Rows of the highest points that stand out by `prominence`, no closer than one foot can step."""
    from scipy.signal import find_peaks  # `run` does not wait for scipy

    frames = max(1, round(STEP_SECONDS / max(float(np.median(np.diff(times))), 1e-6)))
    rows, _ = find_peaks(values, prominence=prominence, distance=frames)
    return [int(row) for row in rows]


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


def _crossing(times: Array, lower: Array, rows: range, height: float) -> float:
    """When the foot passes a height, on the way from the top along `rows`."""
    for row in rows:
        there = row + rows.step
        if lower[there] >= height:
            share = float((height - lower[row]) / max(lower[there] - lower[row], 1e-9))
            return float(times[row] + np.clip(share, 0, 1) * (times[there] - times[row]))
    return float(times[rows.stop])
