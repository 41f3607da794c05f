"""Matches the bounding boxes of a frame with those of earlier frames: ByteTrack (Zhang et al., ECCV 2022).

The matches are those of the ultralytics tracker of the same name, without its import, which takes seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count

import lap
import numpy as np
import numpy.typing as npt

from posecli.geometry.boxes import iou_matrix
from posecli.pipeline.kalman import corrected, first_state, predicted
from posecli.types import Array, Boxes

Rows = npt.NDArray[np.intp]

TRACKER = "bytetrack"
PATIENCE = Fraction(3, 2)  # seconds: a person who is hidden for longer gets a new track ID
LEAST_PATIENCE = 10  # frames
# Largest 1 - IoU of a match: in the first round, of boxes with low confidence, and of new people.
FARTHEST, FARTHEST_UNSURE, FARTHEST_NEWCOMER = 0.8, 0.5, 0.7
TWICE = 0.15  # a tracked and a lost person with a lower 1 - IoU are the same person


@dataclass(eq=False)
class _Track:
    """Somebody who is followed."""

    number: int
    state: Array  # (8,) and its covariance (8, 8), see `kalman`
    covariance: Array
    began: int  # frames, counted from 1
    seen: int
    row: int  # of their box in that frame
    known: bool  # seen twice, or in the first frame
    lost: bool = False
    gone: bool = False  # lost for longer than the patience

    @property
    def age(self) -> int:
        return self.seen - self.began

    @property
    def xyxy(self) -> Array:
        x, y, aspect, height = self.state[:4]
        wide = aspect * height
        return np.array([x - wide / 2, y - height / 2, x + wide / 2, y + height / 2])


class ByteTrack:
    """Give it each frame's boxes in turn; it says which of them are whose, by IDs with gaps."""

    def __init__(self, confidence: float, at_once: bool = False) -> None:
        """confidence: the detector's, from which a box is a person. at_once: who is in a single frame counts, too, as in
        photos that have nothing to do with each other; else a newcomer must be found again in the next frame."""
        self._confidence, self._at_once = confidence, at_once
        self._times: deque[Fraction] = deque()  # of the frames within the patience
        self._frame = 0
        self._numbers = count(1)
        self._tracked: list[_Track] = []  # seen in the last frame
        self._lost: list[_Track] = []

    def update(self, boxes: Boxes, time: Fraction) -> list[int | None]:
        """The ID of each box's person in the frame of a time, in seconds; None for a box that is not yet sure to be
        one."""
        self._times.append(time)
        while time - self._times[0] > PATIENCE:
            self._times.popleft()
        self._frame += 1
        whole = (boxes.xyxy[:, 2:] > boxes.xyxy[:, :2]).all(axis=1)
        sure = np.flatnonzero(whole & (boxes.scores >= self._confidence))
        low = least_confidence(self._confidence)
        unsure = np.flatnonzero(whole & (boxes.scores > low) & (boxes.scores < self._confidence))

        known = [t for t in self._tracked if t.known]
        newcomers = [t for t in self._tracked if not t.known]
        pool = known + self._lost
        _predict(pool)
        missed, left = self._seen(pool, boxes, sure, FARTHEST)
        missed, _ = self._seen([t for t in missed if not t.lost], boxes, unsure, FARTHEST_UNSURE)
        passed, left = self._seen(newcomers, boxes, left, FARTHEST_NEWCOMER)

        begun = [self._begin(boxes.xyxy[row], int(row)) for row in left]
        found = [t for t in self._lost if not t.lost]
        for track in missed:
            track.lost = True
        still = [t for t in self._lost + missed if t.lost and not t.gone]
        for track in self._lost:
            # As many frames as came within the patience, whatever rate the file tells.
            track.gone = track.gone or self._frame - track.seen > max(LEAST_PATIENCE, len(self._times))
        stay = [t for t in self._tracked if not t.lost and t not in passed]
        self._tracked, self._lost = _without_twins(stay + begun + found, still)

        ids: list[int | None] = [None] * len(boxes)
        for track in self._tracked:
            track.known = track.known or self._at_once
            if track.known:
                ids[track.row] = track.number
        return ids

    def _seen(
        self, tracks: Sequence[_Track], boxes: Boxes, rows: Rows, farthest: float
    ) -> tuple[list[_Track], Rows]:
        """Gives tracks the boxes that are theirs, of some rows; returns the tracks and the rows that are left."""
        if not tracks or not len(rows):
            return list(tracks), rows
        costs = 1 - iou_matrix(np.array([t.xyxy for t in tracks]), boxes.xyxy[rows])
        _, of_track, of_row = lap.lapjv(costs, extend_cost=True, cost_limit=farthest)
        for track, n in zip(tracks, of_track, strict=True):
            if n >= 0:
                box = _centred(boxes.xyxy[rows[n]])
                track.state, track.covariance = corrected(track.state, track.covariance, box)
                track.seen, track.row, track.known, track.lost = self._frame, int(rows[n]), True, False
        return [t for t, n in zip(tracks, of_track, strict=True) if n < 0], rows[of_row < 0]

    def _begin(self, box: Array, row: int) -> _Track:
        state, covariance = first_state(_centred(box))
        first = self._frame == 1
        return _Track(next(self._numbers), state, covariance, self._frame, self._frame, row, known=first)


def least_confidence(confidence: float) -> float:
    """Of boxes that the tracker follows somebody through, though they would not be enough to begin with."""
    return min(0.1, confidence / 2)


def _predict(tracks: Sequence[_Track]) -> None:
    """Where they are now; who is lost keeps the height."""
    if not tracks:
        return
    states = np.array([t.state for t in tracks])
    states[[t.lost for t in tracks], 7] = 0
    for track, state, covariance in zip(
        tracks, *predicted(states, np.array([t.covariance for t in tracks])), strict=True
    ):
        track.state, track.covariance = state, covariance


def _without_twins(tracked: list[_Track], lost: list[_Track]) -> tuple[list[_Track], list[_Track]]:
    """If a tracked and a lost person are in one place, the younger track is removed."""
    if not tracked or not lost:
        return tracked, lost
    ious = iou_matrix(np.array([t.xyxy for t in tracked]), np.array([t.xyxy for t in lost]))
    young: set[int] = set()
    for i, j in zip(*np.nonzero(1 - ious < TWICE), strict=True):
        young.add(lost[j].number if tracked[i].age > lost[j].age else tracked[i].number)
    return [t for t in tracked if t.number not in young], [t for t in lost if t.number not in young]


def _centred(box: Array) -> Array:
    """xyxy -> centre x and y, width / height, height."""
    wide, high = box[2] - box[0], box[3] - box[1]
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, wide / high, high])
