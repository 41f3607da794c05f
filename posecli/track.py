"""Who is who from frame to frame: one of ultralytics' trackers, with numbers of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from posecli.quiet import import_ultralytics
from posecli.types import Array, Boxes, Image

# Chosen by what was seen on clips: see `docs` of the change that chose it, and CHANGELOG.md.
TRACKER = "bytetrack"
PATIENCE_SECONDS = 1.5  # how long somebody may be hidden and keep the number


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

    Its ids are the backend's, with gaps; `number` gives those people who are shown 1, 2, 3, …
    """

    backend: Any
    numbers: dict[int, int] = field(default_factory=dict)  # the backend's ids -> ours

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
        }
        return Tracker(TRACKER_MAP[name](SimpleNamespace(**settings)))

    def update(self, boxes: Boxes, image: Image) -> list[int | None]:
        """The id of each box's person; None for a box that is not yet sure to be one."""
        tracked = self.backend.update(_Detections(boxes.xyxy, boxes.scores), image)
        ids: list[int | None] = [None] * len(boxes)
        for row in np.asarray(tracked).reshape(-1, 8):
            ids[int(row[7])] = int(row[4])
        return ids

    def known(self, backend_id: int) -> bool:
        """Whether this person has been shown before."""
        return backend_id in self.numbers

    def number(self, backend_id: int) -> int:
        """The number of a person who is shown, from 1 on."""
        return self.numbers.setdefault(backend_id, len(self.numbers) + 1)
