"""The detector runs on some frames only. This interpolates the bounding boxes of the frames between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import lap
import numpy as np

from posecli import defaults
from posecli.geometry.boxes import iou_matrix
from posecli.types import Boxes, Frame, Image

LOOK_SECONDS = Fraction(24, 100)  # from one look of the detector to the next
MOST_BETWEEN = 60  # frames from one look to the next: they wait in memory
SAME = 0.5  # IoU from which two boxes, some frames apart, may be of one person

Find = Callable[[Image], Boxes]


class Looks:
    """Which frames the detector looks at: about four a second, by the frames' own times, or one of `every`.

    Detection starts again with each written segment, so that a resumed run detects on the same frames.
    """

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._number, self._time = 0, Fraction(0)  # of the last look

    def due(self, number: int, time: Fraction) -> bool:
        """Whether the detector looks at frame `number`; frames are asked for in order."""
        in_segment = number % defaults.SEGMENT_FRAMES
        if self._every is not None:
            return in_segment % self._every == 0
        since, passed = number - self._number, time - self._time
        due = in_segment == 0 or since >= MOST_BETWEEN or not 0 <= passed < LOOK_SECONDS
        if due:
            self._number, self._time = number, time
        return due


def found_in_all(
    frames: Iterable[Frame], find: Find, looks: Looks, sure: float, first: int = 0
) -> Iterator[tuple[Frame, Boxes]]:
    """Each frame with the people in it.

    find: the detector. Where two of its looks do not agree about who is there, it looks also in the middle between
    them, and so on. sure: the score from which a find must be in both. first: the number of the first frame.
    """
    block: list[Frame] = []
    boxes = Boxes.none()
    for number, frame in enumerate(frames, first):
        due = looks.due(number, frame.time)
        if not block:
            block, boxes = [frame], find(frame.image)
        elif due:
            then = find(frame.image)
            yield from zip(block, filled([*block, frame], boxes, then, find, sure), strict=False)
            block, boxes = [frame], then
        else:
            block.append(frame)
    if len(block) > 1:
        yield from zip(block, filled(block, boxes, find(block[-1].image), find, sure), strict=True)
    elif block:
        yield block[0], boxes


def filled(frames: Sequence[Frame], begin: Boxes, end: Boxes, find: Find, sure: float) -> list[Boxes]:
    """The people in all `frames`; begin and end: those in the first and the last."""
    pairs = same_people(begin, end)
    between = len(frames) - 2
    if between <= 0 or agree(begin, end, pairs, sure):
        return [begin, *(on_the_way(f, frames, begin, end, pairs) for f in frames[1:-1]), end]
    half = len(frames) // 2
    middle = find(frames[half].image)
    return [
        *filled(frames[: half + 1], begin, middle, find, sure)[:-1],
        *filled(frames[half:], middle, end, find, sure),
    ]


def same_people(begin: Boxes, end: Boxes) -> list[tuple[int, int]]:
    """(row of begin, row of end) of boxes that are one person."""
    overlaps = iou_matrix(begin.xyxy, end.xyxy)
    if not overlaps.size:
        return []
    _, partner, _ = lap.lapjv(1 - overlaps, extend_cost=True)
    return [(i, int(j)) for i, j in enumerate(partner) if j >= 0 and overlaps[i, j] >= SAME]


def agree(begin: Boxes, end: Boxes, pairs: Sequence[tuple[int, int]], sure: float) -> bool:
    """Whether each confident person of one detection is also in the other."""
    here, there = {i for i, _ in pairs}, {j for _, j in pairs}
    gone = any(begin.scores[i] >= sure for i in set(range(len(begin))) - here)
    came = any(end.scores[j] >= sure for j in set(range(len(end))) - there)
    return not gone and not came


def on_the_way(
    frame: Frame, frames: Sequence[Frame], begin: Boxes, end: Boxes, pairs: Sequence[tuple[int, int]]
) -> Boxes:
    """Where those who are in the first and in the last of `frames` are in one between them, surest first."""
    length = float(frames[-1].time - frames[0].time)
    share = float(frame.time - frames[0].time) / length if length > 0 else 0.5
    a, b = np.array(pairs, int).reshape(-1, 2).T
    xyxy = (1 - share) * begin.xyxy[a] + share * end.xyxy[b]
    scores = (1 - share) * begin.scores[a] + share * end.scores[b]
    boxes = Boxes(xyxy.astype(np.float32), scores.astype(np.float32))
    return boxes.take(np.argsort(-boxes.scores, kind="stable"))
