"""Our ByteTrack gives the IDs that ultralytics' gives."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from posecli.pipeline.tracker import LEAST_PATIENCE, ByteTrack, least_confidence
from posecli.types import Boxes

CONFIDENCE = 0.18


def theirs():
    """ultralytics' tracker, with the settings that ours has built in."""
    from posecli.silence import import_ultralytics

    ultralytics = import_ultralytics()
    from ultralytics.trackers.byte_tracker import BYTETracker
    from ultralytics.utils import YAML

    settings = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "trackers" / "bytetrack.yaml")
    settings |= {
        "track_buffer": LEAST_PATIENCE, "new_track_thresh": CONFIDENCE, "track_high_thresh": CONFIDENCE,
        "track_low_thresh": least_confidence(CONFIDENCE), "fuse_score": False,
    }  # fmt: skip
    return BYTETracker(SimpleNamespace(**settings))


class Results:
    """Boxes as their tracker takes them."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes, self.conf, self.cls = boxes, boxes.scores, np.zeros(len(boxes), np.float32)
        xyxy = boxes.xyxy
        self.xywh = np.concatenate([(xyxy[:, :2] + xyxy[:, 2:]) / 2, xyxy[:, 2:] - xyxy[:, :2]], axis=1)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows):
        return Results(self.boxes.take(rows))


def crowd(seed: int, frames: int = 300, people: int = 9):
    """Frames of people who walk through each other, are seen badly or not at all, and strangers seen once."""
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform(0, 400, (people, 2)), rng.normal(0, 3, (people, 2))
    size = rng.uniform([20, 60], [60, 160], (people, 2))
    for _ in range(frames):
        place += speed + rng.normal(0, 2, place.shape)
        speed += rng.normal(0, 0.5, speed.shape)
        speed[(place < -50) | (place > 450)] *= -0.8
        low = place + rng.normal(0, 2, place.shape)
        xyxy = np.concatenate([low, low + size * rng.uniform(0.9, 1.1, size.shape)], axis=1)
        scores = rng.uniform(0.02, 1, people) ** 0.7
        seen = rng.uniform(size=people) < 0.85
        if rng.uniform() < 0.1:
            seen[:] = False
        xyxy = np.concatenate(
            [xyxy[seen], rng.uniform(0, 100, (1, 2)) @ np.eye(2, 4) + [[300, 300, 350, 400]]]
        )
        yield Boxes(xyxy.astype(np.float32), np.append(scores[seen], rng.uniform()).astype(np.float32))


@pytest.mark.models
@pytest.mark.parametrize("seed", range(4))
def test_the_ids_are_ultralytics(seed) -> None:
    mine, other = ByteTrack(CONFIDENCE), theirs()
    times: list[Fraction] = []
    for number, boxes in enumerate(crowd(seed)):
        time = Fraction(number, 10)
        times = [t for t in [*times, time] if time - t <= Fraction(3, 2)]
        other.max_frames_lost = max(LEAST_PATIENCE, len(times))
        expected: list[int | None] = [None] * len(boxes)
        for row in np.asarray(other.update(Results(boxes))).reshape(-1, 8):
            expected[int(row[7])] = int(row[4])
        assert mine.update(boxes, time) == expected, f"frame {number}"
    assert max(i for i in expected if i is not None) > 9  # some were lost, and others began


def test_a_frame_without_boxes_and_boxes_without_area() -> None:
    tracker = ByteTrack(CONFIDENCE)
    flat = Boxes(np.array([[5, 5, 5, 9], [5, 5, 30, 90]], np.float32), np.array([0.9, 0.9], np.float32))
    assert tracker.update(flat, Fraction(0)) == [None, 1]
    assert tracker.update(Boxes.none(), Fraction(1, 10)) == []
    assert tracker.update(flat, Fraction(2, 10)) == [None, 1]
