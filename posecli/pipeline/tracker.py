"""Which box of a frame belongs to which box of the frames before: ByteTrack, as ultralytics has it."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from posecli.silence import import_ultralytics
from posecli.types import Array, Boxes

TRACKER = "bytetrack"
PATIENCE = Fraction(3, 2)  # seconds that somebody may be hidden and keep the track ID
LEAST_PATIENCE = 10  # frames
NO_PICTURE = np.zeros((1, 1, 3), np.uint8)  # ByteTrack looks at boxes alone


class ByteTrack:
    """Give it each frame's boxes in turn; it says which of them are whose, by IDs with gaps."""

    def __init__(self, confidence: float, at_once: bool = False) -> None:
        """confidence: the detector's, from which a box is a person. at_once: who is in a single frame counts, too, as in
        photos that have nothing to do with each other; else a newcomer must be found again in the next frame."""
        self._at_once = at_once
        import_ultralytics()
        import ultralytics
        from ultralytics.trackers.track import TRACKER_MAP
        from ultralytics.utils import YAML

        settings = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "trackers" / f"{TRACKER}.yaml")
        settings |= {
            "track_buffer": LEAST_PATIENCE,
            "new_track_thresh": confidence,
            "track_high_thresh": confidence,
            "track_low_thresh": least_confidence(confidence),
            # Overlap times score would ask people whom the detector is not sure of for an overlap of 0.8.
            "fuse_score": False,
        }
        self._backend: Any = TRACKER_MAP[TRACKER](SimpleNamespace(**settings))
        self._times: deque[Fraction] = deque()  # of the frames within the patience

    def update(self, boxes: Boxes, time: Fraction) -> list[int | None]:
        """The ID of each box's person in the frame of a time, in seconds; None for a box that is not yet sure to be
        one."""
        self._times.append(time)
        while time - self._times[0] > PATIENCE:
            self._times.popleft()
        # ByteTrack counts frames: as many as came within the patience, whatever rate the file tells.
        self._backend.max_frames_lost = max(LEAST_PATIENCE, len(self._times))
        tracked = self._backend.update(_Detections(boxes.xyxy, boxes.scores), NO_PICTURE)
        ids: list[int | None] = [None] * len(boxes)
        for row in np.asarray(tracked).reshape(-1, 8):
            ids[int(row[7])] = int(row[4])
        for newcomer in self._backend.tracked_stracks if self._at_once else ():
            if not newcomer.is_activated:
                newcomer.is_activated = True
                ids[int(newcomer.idx)] = int(newcomer.track_id)
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
