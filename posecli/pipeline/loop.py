"""A frame's whole way: source -> detect -> track -> crop -> network -> decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from posecli import defaults
from posecli.defaults import BOX_CONFIDENCE
from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.pipeline.interpolation import found_in_all
from posecli.pipeline.second_look import CARRY_CONFIDENCE, around_joints, is_inside, look_again
from posecli.pipeline.tracker import Tracker
from posecli.prefetch import ahead, room
from posecli.skeletons import SKELETONS, convert_keypoints
from posecli.sources.open import Source
from posecli.sources.photos import PhotoSequence
from posecli.types import Array, Boxes, Chosen, Flags, Frame, FramePoses, Image, Person, Seen

TOGETHER = 4  # frames whose people go through the network in one batch
DETECT_SECONDS = 0.25  # between two looks of the detector
SAME_JOINT = 0.08  # of the box's longer side: joints nearer than this are the same
SAME_SHARE = 0.6  # of the sure joints that must be the same for two boxes to be one person
LEAST_JOINTS = 0.15  # mean confidence of all joints below which a box holds nobody
# Box score times mean confidence of all joints from which somebody who was not seen before is believed,
# and where the box lies in that of somebody who is shown, mostly that one's own leg or arm, or holds it,
# mostly two people in one box.
BELIEVED, BELIEVED_NESTED = 0.09, 0.3
HELD = 0.7  # of somebody's box that lies in another, from which that one holds it
SHOWN_BEFORE = 1.5  # how much surer a newcomer must be to take somebody's place

T = TypeVar("T")
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Choices:
    """What is done with each frame."""

    box_confidence: float = BOX_CONFIDENCE
    max_people: int | None = None
    detect_every: int | None = None  # frames; None: by the source's rate
    tracking: bool = True
    select: str | None = None  # largest, longest, centre or numbers: nobody else goes through the network
    select_of: str | None = None  # the result whose numbers are meant; None: of a first pass of the detector
    skeleton: str | None = None  # None: the model's own
    start: float | None = None  # seconds of the source's time
    end: float | None = None
    stride: int = 1
    duration: float | None = None  # seconds after the first frame
    keep_heatmaps: bool = False


def poses(
    source: Source,
    detector: Detector,
    estimator: Estimator,
    choices: Choices,
    before: Iterable[Seen] = (),
    chosen: Chosen | None = None,
) -> Iterator[FramePoses]:
    """Everybody in every frame of a source, in order.

    chosen: people who were looked for and followed before; nobody else is looked at.

    before: what was seen in the first frames by a run that ended early; this one goes on after them and
    gives what the unbroken run would have given.
    """
    tracker = make_tracker(source.rate, choices) if chosen is None else Tracker.of(chosen.numbers)
    people: tuple[Person, ...] = ()
    waiting = Boxes.none()
    done, span = 0, None
    for seen in before:
        done, span = done + 1, (span[0] if span else seen.index, seen.index)
        waiting, people = replay(seen, tracker, choices, chosen), seen.people
    frames = fetched(source, chosen_frames(source, choices, span))
    looked: Iterator[tuple[Frame, Boxes | None]]
    if chosen is not None:
        looked = ((f, chosen.boxes_at(f.index)) for f in frames)
    else:
        looked = looked_at(source, frames, detector, choices, done)
    for group in groups(looked, 1 if source.paced else TOGETHER, done):
        given = [carried(people, waiting, f) if boxes is None else boxes for f, boxes in group]
        followed = []
        for (frame, _), finds in zip(group, given, strict=True):
            if chosen is not None:
                boxes, ids = finds, chosen.ids.get(frame.index, [])
            else:
                boxes, ids, waiting = follow(finds, tracker, frame.image, choices.box_confidence)
            followed.append((frame, finds, boxes, ids))
        joints = estimator.estimate_with_maps(
            [f.image for f, _ in group], [b.xyxy for _, _, b, _ in followed], keep=choices.keep_heatmaps
        )
        for (frame, finds, theirs, ids), (first, first_maps) in zip(followed, joints, strict=True):
            boxes, keypoints, maps = look_again(
                estimator, frame.image, theirs, finds, recall(tracker, ids, theirs), first, first_maps
            )
            kept = chosen_people(boxes, keypoints, ids, tracker, choices.max_people)
            people = tuple(Person(None, float(boxes.scores[i]), boxes.xyxy[i], keypoints[i]) for i in kept)
            twins = twins_of(kept, boxes, keypoints)
            people, joined = named(people, kept, twins, ids, tracker)
            shown_maps = tuple(maps[i] for i in kept) if maps else ()
            seen = Seen(frame.index, finds, tuple(kept), people, joined)
            yield FramePoses(frame, in_skeleton(people, estimator, choices), shown_maps, seen)


def looked_at(
    source: Source, frames: Iterable[Frame], detector: Detector, choices: Choices, done: int = 0
) -> Iterator[tuple[Frame, Boxes | None]]:
    """Frames with what the detector finds in them, also what it is not sure of. done: frames that came before.

    None in frames of a live source between two looks, which wait for nothing.
    """
    # Trackers follow somebody through boxes that would not be enough to begin with.
    low = min(0.1, choices.box_confidence / 2) if choices.tracking else choices.box_confidence
    find = replace(detector, confidence=low).find
    every = choices.detect_every or seldom_enough(source, choices)
    if source.paced:  # there is no looking ahead: between looks, boxes follow the last poses
        return ((f, find(f.image) if n % every == 0 else None) for n, f in enumerate(frames, done))
    return ahead(
        found_in_all(frames, find, every, choices.box_confidence, done), room(source.width, source.height)
    )


def replay(seen: Seen, tracker: Tracker | None, choices: Choices, chosen: Chosen | None = None) -> Boxes:
    """Bring the tracker to where a frame left it; returns the boxes that wait for a second frame."""
    if chosen is not None:
        ids, waiting = chosen.ids.get(seen.index, []), Boxes.none()
    else:
        # ByteTrack looks at boxes alone; a tracker that looks at pictures would need them here.
        _, ids, waiting = follow(seen.boxes, tracker, NO_PICTURE, choices.box_confidence)
    if tracker is not None:
        tracker.step()
        for row, person in zip(seen.shown, seen.people, strict=True):
            if (backend_id := ids[row]) is not None:
                tracker.show(backend_id, person)
        for row, number in seen.twins:
            tracker.join(ids[row], number)
    return waiting


def recall(tracker: Tracker | None, ids: Sequence[int | None], boxes: Boxes) -> list[Person | None]:
    """On to the next frame: the people of these boxes as they were shown before, where they were; for a newcomer,
    somebody lost who was within the box, which may be that one and a shadow."""
    if tracker is None:
        return [None] * len(ids)
    tracker.step()
    before = [tracker.before(i) for i in ids]
    lost = tracker.lost(ids)
    for i, person in enumerate(before):
        if person is None:
            before[i] = next((p for p in lost if is_inside(p.box[None], boxes.xyxy[i])[0]), None)
    return before


def named(
    people: tuple[Person, ...],
    kept: Sequence[int],
    twins: Sequence[tuple[int, int]],
    ids: Sequence[int | None],
    tracker: Tracker | None,
) -> tuple[tuple[Person, ...], tuple[tuple[int, int], ...]]:
    """People with their numbers, and (row, number) of the boxes that hold somebody shown in another.

    kept: the rows of the people's boxes; twins: (row, row of the box that is shown); ids: the tracker's.
    """
    if tracker is None:
        return people, ()
    people = tuple(tracker.name([i for k in kept if (i := ids[k]) is not None], people))
    numbers = {k: p.track or 0 for k, p in zip(kept, people, strict=True)}
    joined = tuple((row, numbers[k]) for row, k in twins)
    for row, number in joined:
        tracker.join(ids[row], number)
    return people, joined


def seldom_enough(source: Source, choices: Choices) -> int:
    """How many frames one look of the detector is good for. Photos need not have to do with each other."""
    if isinstance(source, PhotoSequence):
        return 1
    return max(1, round(source.rate / choices.stride * DETECT_SECONDS))


def groups(items: Iterable[T], size: int, first: int) -> Iterator[list[T]]:
    """Items in lists of `size`, never across a segment; first: the first item's number."""
    group: list[T] = []
    for number, item in enumerate(items, first):
        if len(group) == size or (group and number % defaults.SEGMENT_FRAMES == 0):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def make_tracker(rate: Fraction, choices: Choices) -> Tracker | None:
    return Tracker.create(rate / choices.stride, choices.box_confidence) if choices.tracking else None


def follow(
    boxes: Boxes, tracker: Tracker | None, image: Image, confidence: float = BOX_CONFIDENCE
) -> tuple[Boxes, list[int | None], Boxes]:
    """The boxes that are people, the tracker's ids of them, and boxes that wait for a second frame: the
    tracker does not take a newcomer at its first word."""
    ids: list[int | None] = [None] * len(boxes)
    if tracker is None:
        return boxes, ids, Boxes.none()
    ids = tracker.update(boxes, image)
    tracked = np.array([i is not None for i in ids], bool)
    waiting = boxes.take(~tracked & (boxes.scores >= confidence))
    return boxes.take(tracked), [i for i in ids if i is not None], waiting


def chosen_people(
    boxes: Boxes,
    keypoints: Array,
    ids: list[int | None] | None = None,
    tracker: Tracker | None = None,
    most: int | None = None,
) -> list[int]:
    """Which boxes are shown, surest first: each person once, and not those where nobody is.

    Two boxes of one person (a whole one and one of the upper body, say) give the same joints: the one
    that was shown before stays, or the surer one. A box in which the network finds hardly a joint is
    none of a person. In a video newcomers must be surer than people who were shown before.
    """
    joints = keypoints[..., 2].mean(axis=1) if len(boxes) else np.zeros(0)
    believed = boxes.scores * joints
    known = np.ones(len(boxes), bool)  # photos have no before
    surety = believed
    if tracker is not None and ids is not None:
        known = known_people(believed, ids, tracker)
        surety = believed * np.where(known, SHOWN_BEFORE, 1.0)
    kept: list[int] = []
    for i in np.argsort(-surety, kind="stable"):
        if joints[i] < LEAST_JOINTS or any(same_person(i, j, boxes, keypoints) for j in kept):
            continue
        if known[i] or believed[i] >= (BELIEVED_NESTED if nested(i, kept, known, boxes.xyxy) else BELIEVED):
            kept.append(int(i))
    return kept[:most]


def known_people(believed: Array, ids: Sequence[int | None], tracker: Tracker) -> Flags:
    """Which boxes are of people who were shown before; of two that mean one person, the one more believed."""
    known, taken = np.zeros(len(ids), bool), set()
    for i in np.argsort(-believed, kind="stable"):
        number = tracker.number(ids[i])
        known[i] = number is not None and number not in taken
        taken.add(number)
    return known


def nested(i: int, kept: Sequence[int], known: Flags, xyxy: Array) -> bool:
    """Whether box i lies in that of somebody who is shown, or holds most of it."""
    shown = known.copy()
    shown[list(kept)] = True
    shown[i] = False
    inside = any(is_inside(xyxy[i : i + 1], other)[0] for other in xyxy[shown])
    return inside or bool(is_inside(xyxy[shown], xyxy[i], HELD).any())


def twins_of(kept: Sequence[int], boxes: Boxes, keypoints: Array) -> list[tuple[int, int]]:
    """(row, row of the shown box that holds the same person) of boxes that are not shown."""
    found = []
    for i in set(range(len(boxes))) - set(kept):
        same = next((k for k in kept if same_person(i, k, boxes, keypoints)), None)
        if same is not None:
            found.append((i, same))
    return found


def same_person(i: int, j: int, boxes: Boxes, keypoints: Array) -> bool:
    """Whether most of box i's sure joints lie on the same joints of box j."""
    sure = keypoints[i, :, 2] >= CARRY_CONFIDENCE
    if not sure.any():
        return False
    size = float((boxes.xyxy[j, 2:] - boxes.xyxy[j, :2]).max())
    gaps = np.linalg.norm(keypoints[i, sure, :2] - keypoints[j, sure, :2], axis=1)
    return bool((gaps <= SAME_JOINT * size).mean() >= SAME_SHARE)


def carried(people: tuple[Person, ...], waiting: Boxes, frame: Frame) -> Boxes:
    """Where people of the last frame are looked for in this one: around their joints; newcomers who wait
    for a second frame, where they were."""
    if not people and not len(waiting):
        return Boxes.none()
    height, width = frame.image.shape[:2]
    around = np.array([around_joints(p.keypoints, p.box) for p in people], np.float32).reshape(-1, 4)
    xyxy = np.concatenate([around, waiting.xyxy]).astype(np.float32)
    xyxy = np.clip(xyxy, 0, [width, height, width, height])
    scores = np.concatenate([[p.score for p in people], waiting.scores]).astype(np.float32)
    kept = (xyxy[:, 2] - xyxy[:, 0] >= 2) & (xyxy[:, 3] - xyxy[:, 1] >= 2)
    return Boxes(xyxy, scores).take(kept)


def in_skeleton(people: tuple[Person, ...], estimator: Estimator, choices: Choices) -> tuple[Person, ...]:
    """People with the joints that were asked for."""
    own = estimator.spec.bones
    if choices.skeleton is None or choices.skeleton == own.name:
        return people
    target = SKELETONS[choices.skeleton]
    return tuple(replace(p, keypoints=convert_keypoints(p.keypoints, own, target)) for p in people)


def chosen_frames(source: Source, choices: Choices, done: tuple[int, int] | None = None) -> Iterator[Frame]:
    """Frames from `start` to before `end`, every `stride`-th of them.

    done: the indices of the first and the last frame that were given before; those after come.
    """
    number = 0 if done is None else done[1] + 1 - done[0]
    began: float | None = None
    for frame in source.frames(0 if done is None else done[1] + 1):
        # As floats: 0.2 means the frame at 1/5 s, though the nearest float lies above it.
        if choices.end is not None and float(frame.time) >= choices.end:
            return
        if choices.start is not None and float(frame.time) < choices.start:
            continue
        began = float(frame.time) if began is None else began
        if choices.duration is not None and float(frame.time) - began >= choices.duration:
            return
        if number % choices.stride == 0:
            yield frame
        number += 1


def fetched(source: Source, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames read ahead by a thread; of a source that comes in real time, the newest."""
    if not source.paced:
        return ahead(frames, room(source.width, source.height))

    def drop() -> None:
        source.trouble.dropped += 1

    return ahead(frames, 1, drop)
