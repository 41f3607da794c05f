"""Which box of a frame belongs to which box of the frames before: ByteTrack, as ultralytics has it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from posecli.silence import import_ultralytics
from posecli.types import Array, Boxes, Image

TRACKER = "bytetrack"
PATIENCE_SECONDS = 1.5  # how long somebody may be hidden and keep the track ID
LEAST_PATIENCE = 10  # frames


class ByteTrack:
    """Give it each frame's boxes in turn; it says which of them are whose, by IDs with gaps."""

    def __init__(self, rate: Fraction, confidence: float) -> None:
        """rate: frames a second that will be given; confidence: the detector's, from which a box is a person."""
        import_ultralytics()
        import ultralytics
        from ultralytics.trackers.track import TRACKER_MAP
        from ultralytics.utils import YAML

        settings = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "trackers" / f"{TRACKER}.yaml")
        settings |= {
            "track_buffer": max(LEAST_PATIENCE, round(PATIENCE_SECONDS * rate)),
            "new_track_thresh": confidence,
            "track_high_thresh": confidence,
            "track_low_thresh": least_confidence(confidence),
            # Overlap times score would ask people whom the detector is not sure of for an overlap of 0.8.
            "fuse_score": False,
        }
        self._backend: Any = TRACKER_MAP[TRACKER](SimpleNamespace(**settings))

    def update(self, boxes: Boxes, image: Image) -> list[int | None]:
        """The ID of each box's person; None for a box that is not yet sure to be one."""
        tracked = self._backend.update(_Detections(boxes.xyxy, boxes.scores), image)
        ids: list[int | None] = [None] * len(boxes)
        for row in np.asarray(tracked).reshape(-1, 8):
            ids[int(row[7])] = int(row[4])
        return ids


def least_confidence(confidence: float) -> float:
    """Of boxes that the tracker follows somebody through, though they would not be enough to begin with."""
    return min(0.1, confidence / 2)


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
