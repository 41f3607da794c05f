"""Tracks people from frame to frame and decides who is shown. One class holds all of its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from posecli.geometry.boxes import areas, shares_inside
from posecli.pipeline.choices import Choices
from posecli.pipeline.contracts import Tracker
from posecli.pipeline.tracker import ByteTrack
from posecli.types import Array, Boxes, Chosen, Followed, Frame, Person, Seen

CARRY_CONFIDENCE = 0.3  # joints below this do not move a carried box
CARRY_MARGIN = 0.12  # of the joints' extent, on each side: boxes also contain hands, feet and hair
INSIDE = 0.8  # a box with at least this share inside another, much larger box is nested
SAME_JOINT = 0.08  # of the box's longer side: joints nearer than this are the same
SAME_SHARE = 0.6  # share of the confident joints that must be the same for two boxes to be one person
LEAST_JOINTS = 0.15  # a box with a lower mean confidence of all joints is not a person
# Lowest detection confidence times mean confidence of all joints for a new person, and the same for a box inside the box
# of a person who is shown: mostly that is an arm or a leg of the same person.
BELIEVED, BELIEVED_NESTED = 0.09, 0.3
NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


class People:
    """The people of a source, frame by frame: `follow` the boxes, then `show` the people.

    Track IDs count from 1 in the order in which people are first shown.
    """

    def __init__(self, choices: Choices, chosen: Chosen | None = None, still: bool = False) -> None:
        """chosen: people who were tracked in an earlier pass. still: the source is photos, so a person may be in a
        single frame."""
        self._confidence, self._most = choices.box_confidence, choices.max_people
        self._chosen = chosen
        self._tracking = choices.tracking or chosen is not None
        self._tracker: Tracker | None = (
            ByteTrack(self._confidence, at_once=still) if choices.tracking and chosen is None else None
        )
        self._track_ids: dict[int, int] = (
            {n: n for n in chosen.numbers} if chosen else {}
        )  # by the tracker's IDs
        self._shown: tuple[Person, ...] = ()  # in the last frame
        self._waiting = Boxes.none()  # possible people: the tracker waits before it accepts a new one

    def follow(self, frame: Frame, finds: Boxes | None) -> Followed:
        """Which of the finds are people, and whose. None between two looks at a live source: everybody is looked for
        around the joints of the frame before. May be called some frames ahead of `show`."""
        if finds is None:
            finds = self._carried(frame)
        if self._chosen is not None:
            return Followed(frame, finds, finds, list(self._chosen.ids.get(frame.index, [])))
        if self._tracker is None:
            return Followed(frame, finds, finds, [None] * len(finds))
        ids = self._tracker.update(finds, frame.time)
        tracked = np.array([i is not None for i in ids], bool)
        self._waiting = finds.take(~tracked & (finds.scores >= self._confidence))
        return Followed(frame, finds, finds.take(tracked), [i for i in ids if i is not None])

    def show(self, followed: Followed, keypoints: Array) -> tuple[tuple[Person, ...], list[int], Seen]:
        """The people who are shown, surest first, the rows of their boxes, and what is needed to `replay` this
        frame. keypoints: (N, K, 3) of followed.boxes."""
        boxes = followed.boxes
        known = [i is None or i in self._track_ids for i in followed.ids]
        rows = shown_rows(boxes, keypoints, self._most, known)
        people = tuple(Person(None, float(boxes.scores[i]), boxes.xyxy[i], keypoints[i]) for i in rows)
        if self._tracking:
            people = tuple(self._named(followed.ids[i], p) for i, p in zip(rows, people, strict=True))
        self._shown = people
        return (
            people,
            rows,
            Seen(followed.frame.index, followed.frame.time, followed.finds, tuple(rows), people),
        )

    def replay(self, seen: Seen) -> None:
        """Go to where a frame left everything, in a run that ended early, without its picture."""
        followed = self.follow(Frame(seen.index, seen.time, NO_PICTURE), seen.boxes)
        for row, person in zip(seen.shown, seen.people, strict=True):
            if person.track is not None and (i := followed.ids[row]) is not None:
                self._track_ids[i] = person.track
        self._shown = seen.people

    def _named(self, tracker_id: int | None, person: Person) -> Person:
        """The person with their track ID."""
        assert tracker_id is not None
        number = self._track_ids.get(tracker_id) or max(self._track_ids.values(), default=0) + 1
        self._track_ids[tracker_id] = number
        return replace(person, track=number)

    def _carried(self, frame: Frame) -> Boxes:
        """Where people of the last frame are looked for in this one; newcomers who wait, where they were."""
        height, width = frame.image.shape[:2]
        around = [_around_joints(p.keypoints, p.box) for p in self._shown]
        xyxy = np.concatenate([np.array(around, np.float32).reshape(-1, 4), self._waiting.xyxy])
        xyxy = np.clip(xyxy, 0, [width, height, width, height]).astype(np.float32)
        scores = np.concatenate([[p.score for p in self._shown], self._waiting.scores]).astype(np.float32)
        return Boxes(xyxy, scores).take((xyxy[:, 2:] - xyxy[:, :2] >= 2).all(axis=1))


def shown_rows(
    boxes: Boxes, keypoints: Array, most: int | None = None, known: Sequence[bool] | None = None
) -> list[int]:
    """Which boxes are shown, surest first: each person once, and not those in which the network finds hardly a joint.

    Two boxes of one person (a whole one and one of the upper body, say) give the same joints: the surer one is
    shown. known: (N,) whose person was shown before; the others must be surer. None: all, as in photos.
    """
    joints = keypoints[..., 2].mean(axis=1) if len(boxes) else np.zeros(0)
    believed = boxes.scores * joints
    kept: list[int] = []
    for i in np.argsort(-believed, kind="stable"):
        if joints[i] < LEAST_JOINTS or any(_same_person(i, j, boxes, keypoints) for j in kept):
            continue
        if known is None or known[i] or believed[i] >= _needed(boxes.xyxy, i, kept):
            kept.append(int(i))
    return kept[:most]


def _needed(xyxy: Array, i: int, kept: Sequence[int]) -> float:
    """How sure a newcomer must be in box i, beside those who are shown."""
    box, others = xyxy[i : i + 1], xyxy[list(kept)]
    nested = (shares_inside(box, others)[0] >= INSIDE) & (areas(box)[0] < 0.75 * areas(others))
    return BELIEVED_NESTED if nested.any() else BELIEVED


def _same_person(i: int, j: int, boxes: Boxes, keypoints: Array) -> bool:
    """Whether most of box i's sure joints lie on the same joints of box j."""
    sure = keypoints[i, :, 2] >= CARRY_CONFIDENCE
    if not sure.any():
        return False
    size = float((boxes.xyxy[j, 2:] - boxes.xyxy[j, :2]).max())
    gaps = np.linalg.norm(keypoints[i, sure, :2] - keypoints[j, sure, :2], axis=1)
    return bool((gaps <= SAME_JOINT * size).mean() >= SAME_SHARE)


def _around_joints(keypoints: Array, box: Array) -> Array:
    """The box (4,) around joints (K, 3) that are sure; `box` where they are too few."""
    points = keypoints[keypoints[:, 2] >= CARRY_CONFIDENCE, :2]
    if len(points) < 5:
        return box
    low, high = points.min(axis=0), points.max(axis=0)
    margin = CARRY_MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin + 1])
