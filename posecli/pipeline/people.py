"""Who is who from frame to frame, and who is shown. One class owns all that is remembered."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from posecli.pipeline.choices import Choices
from posecli.pipeline.second_look import CARRY_CONFIDENCE, around_joints
from posecli.pipeline.tracker import ByteTrack, patience
from posecli.types import Array, Boxes, Chosen, Followed, Frame, Person, Seen

SAME_JOINT = 0.08  # of the box's longer side: joints nearer than this are the same
SAME_SHARE = 0.6  # of the sure joints that must be the same for two boxes to be one person
LEAST_JOINTS = 0.15  # mean confidence of all joints below which a box holds nobody
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)  # ByteTrack looks at boxes alone


class People:
    """The people of a source, frame after frame: `follow` boxes, then `show` whom they hold.

    Track IDs count from 1 in the order in which people are first shown.
    """

    def __init__(self, rate: Fraction, choices: Choices, chosen: Chosen | None = None) -> None:
        """rate: of the source, in frames a second; chosen: people who were followed before, in an earlier pass."""
        rate = rate / choices.stride
        self._confidence, self._most = choices.box_confidence, choices.max_people
        self._chosen = chosen
        self._tracking = choices.tracking or chosen is not None
        self._tracker = ByteTrack(rate, self._confidence) if choices.tracking and chosen is None else None
        self._patience = patience(rate)
        self._track_ids: dict[int, int] = (
            {n: n for n in chosen.numbers} if chosen else {}
        )  # by the tracker's IDs
        self._last: dict[int, tuple[int, Person]] = {}  # track ID -> the frame and how that person was shown
        self._frame = 0
        self._shown: tuple[Person, ...] = ()  # in the last frame
        self._waiting = Boxes.none()  # that may be people: the tracker does not believe a newcomer at once

    def follow(self, frame: Frame, finds: Boxes | None) -> Followed:
        """Which of the finds are people, and whose. None between two looks at a live source: everybody is looked for
        around the joints of the frame before. May be called some frames ahead of `show`."""
        if finds is None:
            finds = self._carried(frame)
        if self._chosen is not None:
            return Followed(frame, finds, finds, list(self._chosen.ids.get(frame.index, [])))
        if self._tracker is None:
            return Followed(frame, finds, finds, [None] * len(finds))
        ids = self._tracker.update(finds, frame.image)
        tracked = np.array([i is not None for i in ids], bool)
        self._waiting = finds.take(~tracked & (finds.scores >= self._confidence))
        return Followed(frame, finds, finds.take(tracked), [i for i in ids if i is not None])

    def before(self, followed: Followed) -> list[Person | None]:
        """Each box's person as last shown, unless that is too long ago. Goes on to the frame of `followed`."""
        self._frame += 1
        self._last = {n: seen for n, seen in self._last.items() if self._frame - seen[0] <= self._patience}
        numbers = [None if i is None else self._track_ids.get(i) for i in followed.ids]
        return [None if n is None or n not in self._last else self._last[n][1] for n in numbers]

    def show(self, followed: Followed, keypoints: Array) -> tuple[tuple[Person, ...], list[int], Seen]:
        """The people who are shown, surest first, the rows of their boxes, and what is needed to `replay` this
        frame. keypoints: (N, K, 3) of followed.boxes."""
        boxes = followed.boxes
        rows = shown_rows(boxes, keypoints, self._most)
        people = tuple(Person(None, float(boxes.scores[i]), boxes.xyxy[i], keypoints[i]) for i in rows)
        if self._tracking:
            people = tuple(self._named(followed.ids[i], p) for i, p in zip(rows, people, strict=True))
        self._shown = people
        return people, rows, Seen(followed.frame.index, followed.finds, tuple(rows), people)

    def replay(self, seen: Seen) -> None:
        """Go to where a frame left everything, in a run that ended early, without its picture."""
        followed = self.follow(Frame(seen.index, Fraction(0), NO_PICTURE), seen.boxes)
        self.before(followed)
        for row, person in zip(seen.shown, seen.people, strict=True):
            if person.track is not None and (i := followed.ids[row]) is not None:
                self._remember(i, person)
        self._shown = seen.people

    def _named(self, tracker_id: int | None, person: Person) -> Person:
        """The person with their track ID."""
        assert tracker_id is not None
        number = self._track_ids.get(tracker_id) or max(self._track_ids.values(), default=0) + 1
        person = replace(person, track=number)
        self._remember(tracker_id, person)
        return person

    def _remember(self, tracker_id: int, person: Person) -> None:
        assert person.track is not None
        self._track_ids[tracker_id] = person.track
        self._last[person.track] = (self._frame, person)

    def _carried(self, frame: Frame) -> Boxes:
        """Where people of the last frame are looked for in this one; newcomers who wait, where they were."""
        height, width = frame.image.shape[:2]
        around = [around_joints(p.keypoints, p.box) for p in self._shown]
        xyxy = np.concatenate([np.array(around, np.float32).reshape(-1, 4), self._waiting.xyxy])
        xyxy = np.clip(xyxy, 0, [width, height, width, height]).astype(np.float32)
        scores = np.concatenate([[p.score for p in self._shown], self._waiting.scores]).astype(np.float32)
        return Boxes(xyxy, scores).take((xyxy[:, 2:] - xyxy[:, :2] >= 2).all(axis=1))


def shown_rows(boxes: Boxes, keypoints: Array, most: int | None = None) -> list[int]:
    """Which boxes are shown, surest first: each person once, and not those in which the network finds hardly a joint.

    Two boxes of one person (a whole one and one of the upper body, say) give the same joints: the surer one is
    shown.
    """
    joints = keypoints[..., 2].mean(axis=1) if len(boxes) else np.zeros(0)
    kept: list[int] = []
    for i in np.argsort(-boxes.scores * joints, kind="stable"):
        if joints[i] >= LEAST_JOINTS and not any(_same_person(i, j, boxes, keypoints) for j in kept):
            kept.append(int(i))
    return kept[:most]


def _same_person(i: int, j: int, boxes: Boxes, keypoints: Array) -> bool:
    """Whether most of box i's sure joints lie on the same joints of box j."""
    sure = keypoints[i, :, 2] >= CARRY_CONFIDENCE
    if not sure.any():
        return False
    size = float((boxes.xyxy[j, 2:] - boxes.xyxy[j, :2]).max())
    gaps = np.linalg.norm(keypoints[i, sure, :2] - keypoints[j, sure, :2], axis=1)
    return bool((gaps <= SAME_JOINT * size).mean() >= SAME_SHARE)
