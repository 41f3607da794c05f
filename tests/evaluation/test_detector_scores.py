"""`eval --detector`, with a fake detector whose detections are known."""

import json
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.evaluation.detector import score_detector
from posecli.types import Boxes

# A person at 10, 10, 90, 190, found with a high score. Another at 110, 10, 190, 190, found with a score of 0.3.
# And a false positive.
FINDS = Boxes(
    np.array([[10, 10, 90, 190], [110, 10, 190, 190], [0, 100, 200, 200.0]]), np.array([0.9, 0.3, 0.6])
)


@dataclass
class Finder:
    confidence: float = 0.5

    def find(self, _: object, confidence: float) -> Boxes:
        return FINDS.take(FINDS.scores >= confidence)


@pytest.fixture
def annotations(tmp_path):
    """Photo 1 has boxes for both people, photo 2 only for the second. Photo 47 is in dev and has the first."""
    (tmp_path / "images").mkdir()
    photos = [
        {"id": 1, "file_name": "1.png", "source": "coco", "boxes": "all"},
        {"id": 2, "file_name": "2.png", "source": "lspet", "boxes": "main"},
        {"id": 47, "file_name": "47.png", "source": "coco", "boxes": "all"},
    ]
    boxes = [
        (1, [10, 10, 80, 180]),
        (1, [110, 10, 80, 180]),
        (2, [110, 10, 80, 180]),
        (47, [10, 10, 80, 180]),
    ]
    for photo in photos:
        cv2.imwrite(str(tmp_path / "images" / photo["file_name"]), np.zeros((200, 200, 3), np.uint8))
    people = [
        {"id": n, "image_id": i, "bbox": box, "category_id": 1, "iscrowd": 0}
        for n, (i, box) in enumerate(boxes)
    ]
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"images": photos, "annotations": people, "categories": []}))
    return path


def test_photos_with_all_boxes_give_precision_and_the_others_the_share_found(annotations) -> None:
    scores = score_detector(annotations, Finder())
    coco, lspet = scores["all_boxes"]["coco"], scores["main_people"]["lspet"]
    assert (coco["photos"], coco["people"]) == (2, 3)
    assert (coco["recall"], coco["precision"]) == (pytest.approx(2 / 3), pytest.approx(2 / 4))
    at_quarter = next(p for p in coco["curve"] if p["confidence"] == 0.25)
    assert (at_quarter["recall"], at_quarter["precision"]) == (1.0, pytest.approx(3 / 6))
    assert (lspet["people"], lspet["found"]) == (1, 0.0)
    assert [p["found"] for p in lspet["curve"] if p["confidence"] in (0.25, 0.3, 0.35)] == [1.0, 1.0, 0.0]


def test_dev_is_scored_by_itself(annotations) -> None:
    scores = score_detector(annotations, Finder(), dev=True)
    assert scores["all_boxes"]["coco"]["people"] == 1
    assert scores["main_people"] == {}
    document = json.loads(annotations.read_text())
    document["images"] = document["images"][:2]
    annotations.write_text(json.dumps(document))
    with pytest.raises(PoseError, match="dev"):
        score_detector(annotations, Finder(), dev=True)
