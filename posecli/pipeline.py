"""A frame's whole way: source -> detect -> track -> crop -> network -> decode."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from posecli.detect import Detector
from posecli.estimate import Estimator
from posecli.skeletons import SKELETONS, convert_keypoints
from posecli.sources.open import Source
from posecli.track import Tracker
from posecli.types import Array, Boxes, Frame, FramePoses, Person

AHEAD = 4  # frames decoded while others are worked on
CARRY_CONFIDENCE = 0.3  # joints below this do not move a carried box
CARRY_MARGIN = 0.12  # of the joints' extent, on each side: boxes hold hands, feet and hair too

T = TypeVar("T")


@dataclass(frozen=True)
class Choices:
    """What is done with each frame."""

    box_confidence: float = 0.25
    max_people: int | None = None
    detect_every: int = 1
    tracking: bool = True
    skeleton: str | None = None  # None: the model's own
    start: float | None = None  # seconds of the source's time
    end: float | None = None
    stride: int = 1
    keep_heatmaps: bool = False


def poses(source: Source, detector: Detector, estimator: Estimator, choices: Choices) -> Iterator[FramePoses]:
    """Everybody in every frame of a source, in order."""
    # Trackers follow somebody through boxes that would not be enough to begin with.
    low = min(0.1, choices.box_confidence / 2) if choices.tracking else choices.box_confidence
    detector = replace(detector, confidence=low)
    tracker = make_tracker(source.rate, choices)
    people: tuple[Person, ...] = ()
    for number, frame in enumerate(ahead(chosen_frames(source, choices), AHEAD)):
        if number % choices.detect_every == 0:
            boxes = detector.find(frame.image)
        else:
            boxes = carried(people, frame)
        boxes, numbers = follow(boxes, tracker, frame, choices)
        [(keypoints, maps)] = estimator.estimate_with_maps(
            [frame.image], [boxes.xyxy], keep=choices.keep_heatmaps
        )
        people = tuple(
            Person(track, float(score), box, points)
            for track, score, box, points in zip(numbers, boxes.scores, boxes.xyxy, keypoints, strict=True)
        )
        yield FramePoses(frame, in_skeleton(people, estimator, choices), maps)


def make_tracker(rate: Fraction, choices: Choices) -> Tracker | None:
    return Tracker.create(rate / choices.stride, choices.box_confidence) if choices.tracking else None


def follow(
    boxes: Boxes, tracker: Tracker | None, frame: Frame, choices: Choices
) -> tuple[Boxes, list[int | None]]:
    """The boxes that are people, and who they are."""
    numbers: list[int | None] = [None] * len(boxes)
    if tracker is not None:
        numbers = tracker.update(boxes, frame.image)
        known = np.array([n is not None for n in numbers], bool)
        boxes, numbers = boxes.take(known), [n for n in numbers if n is not None]
    order = np.argsort(-boxes.scores, kind="stable")[: choices.max_people]
    return boxes.take(order), [numbers[i] for i in order]


def carried(people: tuple[Person, ...], frame: Frame) -> Boxes:
    """Where people of the last frame are looked for in this one: around their joints."""
    if not people:
        return Boxes.none()
    height, width = frame.image.shape[:2]
    xyxy = np.array([_around_joints(p) for p in people], np.float32)
    xyxy = np.clip(xyxy, 0, [width, height, width, height])
    scores = np.array([p.score for p in people], np.float32)
    kept = (xyxy[:, 2] - xyxy[:, 0] >= 2) & (xyxy[:, 3] - xyxy[:, 1] >= 2)
    return Boxes(xyxy, scores).take(kept)


def in_skeleton(people: tuple[Person, ...], estimator: Estimator, choices: Choices) -> tuple[Person, ...]:
    """People with the joints that were asked for."""
    own = estimator.spec.bones
    if choices.skeleton is None or choices.skeleton == own.name:
        return people
    target = SKELETONS[choices.skeleton]
    return tuple(replace(p, keypoints=convert_keypoints(p.keypoints, own, target)) for p in people)


def chosen_frames(source: Source, choices: Choices) -> Iterator[Frame]:
    """Frames from `start` to before `end`, every `stride`-th of them."""
    number = 0
    for frame in source:
        if choices.end is not None and frame.time >= choices.end:
            return
        if choices.start is not None and frame.time < choices.start:
            continue
        if number % choices.stride == 0:
            yield frame
        number += 1


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """The same items, fetched by a thread up to `depth` before they are asked for."""
    box: queue.Queue[tuple[str, object]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stopped.is_set():
            try:
                box.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # raised again where the items are used
            put("error", error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = box.get()
            if kind == "end":
                return
            if kind == "error":
                raise value  # type: ignore[misc]
            yield value  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join(timeout=5)


def _around_joints(person: Person) -> Array:
    points = person.keypoints[person.keypoints[:, 2] >= CARRY_CONFIDENCE, :2]
    if len(points) < 5:
        return person.box
    low, high = points.min(axis=0), points.max(axis=0)
    margin = CARRY_MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin + 1])
