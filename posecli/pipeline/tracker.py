"""Who is who from frame to frame: one of ultralytics' trackers, with numbers of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from posecli.silence import import_ultralytics
from posecli.types import Array, Boxes, Image, Person

# Chosen by what was seen on clips: see `docs` of the change that chose it, and CHANGELOG.md.
TRACKER = "bytetrack"
PATIENCE_SECONDS = 1.5  # how long somebody may be hidden and keep the number
SURE_JOINT, LEAST_SURE = 0.4, 5  # joints that tell who somebody is, and how many of them it takes
NEAR = 0.12  # of the box's longer side: how far a joint may have moved
SAME_SHARE = 0.6  # of those joints


class _Detections:
    """Boxes in the form that ultralytics' trackers take."""

    def __init__(self, xyxy: Array, scores: Array) -> None:
        self.xyxy, self.conf = xyxy, scores
        self.cls = np.zeros(len(xyxy), np.float32)

    @property
    def xywh(self) -> Array:
        centre, size = (self.xyxy[:, :2] + self.xyxy[:, 2:]) / 2, self.xyxy[:, 2:] - self.xyxy[:, :2]
        return np.concatenate([centre, size], axis=1)

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: Any) -> _Detections:
        return _Detections(self.xyxy[rows], self.conf[rows])


@dataclass
class Tracker:
    """Give it each frame's boxes in turn; it says which of them are whose.

    Its ids are the backend's, with gaps; `name` gives those people who are shown 1, 2, 3, …
    """

    backend: Any
    patience: int = 30  # frames that somebody may be hidden and keep the number
    numbers: dict[int, int] = field(default_factory=dict)  # the backend's ids -> ours
    last: dict[int, tuple[int, Person]] = field(
        default_factory=dict
    )  # of late: our number -> (frame, person)
    frame: int = 0

    @staticmethod
    def create(rate: Fraction, confidence: float, name: str = TRACKER) -> Tracker:
        """rate: frames per second that will be given; confidence: the detector's threshold."""
        import_ultralytics()
        import ultralytics
        from ultralytics.trackers.track import TRACKER_MAP
        from ultralytics.utils import YAML

        settings = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "trackers" / f"{name}.yaml")
        settings |= {
            "track_buffer": max(10, round(PATIENCE_SECONDS * rate)),
            "new_track_thresh": confidence,
            "track_high_thresh": confidence,
            "track_low_thresh": min(0.1, confidence / 2),
            # Overlap times score would ask people whom the detector is not sure of for an overlap of 0.8.
            "fuse_score": False,
        }
        return Tracker(TRACKER_MAP[name](SimpleNamespace(**settings)), settings["track_buffer"])

    @staticmethod
    def of(numbers: Sequence[int]) -> Tracker:
        """For people who were followed before: their numbers are theirs, and nobody is looked for."""
        return Tracker(None, numbers={n: n for n in numbers})

    def update(self, boxes: Boxes, image: Image) -> list[int | None]:
        """The id of each box's person; None for a box that is not yet sure to be one. May be called some frames
        ahead of the rest."""
        tracked = self.backend.update(_Detections(boxes.xyxy, boxes.scores), image)
        ids: list[int | None] = [None] * len(boxes)
        for row in np.asarray(tracked).reshape(-1, 8):
            ids[int(row[7])] = int(row[4])
        return ids

    def step(self) -> None:
        """On to the next frame, before anybody in it is named or shown; keeps no more of the past than is
        asked for, however long the video."""
        self.frame += 1
        self.last = {n: seen for n, seen in self.last.items() if self.frame - seen[0] <= self.patience}

    def number(self, backend_id: int | None) -> int | None:
        """The number of this person, if shown before."""
        return None if backend_id is None else self.numbers.get(backend_id)

    def before(self, backend_id: int | None) -> Person | None:
        """This person as last shown, unless that is too long ago."""
        number = self.number(backend_id)
        seen = None if number is None else self.last.get(number)
        return None if seen is None else seen[1]

    def lost(self, ids: Sequence[int | None]) -> list[Person]:
        """People shown of late whom none of these means."""
        held = {self.number(i) for i in ids}
        return [p for n, (_, p) in self.last.items() if n not in held]

    def name(self, ids: Sequence[int], people: Sequence[Person]) -> list[Person]:
        """The people who are shown, the surest first, with their numbers from 1 on.

        The backend follows boxes, and takes somebody whose box jumps for a newcomer. Joints know better: a
        newcomer whose joints lie where those of somebody lost lay is that person.
        """
        taken: set[int] = set()
        named = []
        for backend_id, person in zip(ids, people, strict=True):
            number = self.number(backend_id)
            if number is None or number in taken:
                lost = [p for p in self.lost(ids) if p.track not in taken]
                number = next((p.track for p in lost if same_place(p, person)), None)
                if number is None:
                    number = max([*self.numbers.values(), *self.last, 0]) + 1
            taken.add(number)
            named.append(replace(person, track=number))
            self.show(backend_id, named[-1])
        return named

    def join(self, backend_id: int | None, number: int) -> None:
        """This box held somebody who was shown in another: from now on it means that person."""
        if backend_id is not None:
            self.numbers[backend_id] = number

    def show(self, backend_id: int, person: Person) -> None:
        """Remember who was shown as what, and where."""
        if person.track is not None:
            self.numbers[backend_id] = person.track
            self.last[person.track] = (self.frame, person)


def same_place(a: Person, b: Person) -> bool:
    """Whether most joints that both are sure of lie nearly where they lay."""
    sure = (a.keypoints[:, 2] >= SURE_JOINT) & (b.keypoints[:, 2] >= SURE_JOINT)
    if sure.sum() < LEAST_SURE:
        return False
    size = max(float((p.box[2:] - p.box[:2]).max()) for p in (a, b))
    gaps = np.linalg.norm(a.keypoints[sure, :2] - b.keypoints[sure, :2], axis=1)
    return bool((gaps <= NEAR * size).mean() >= SAME_SHARE)
