"""Scores of the shipped weights on 40 held-out photos, to notice changes in crops, decoding or weights.

The model card has the scores on all photos. These are only for comparison.
"""

import json

import numpy as np
import pytest

from posecli.data.read import read_people
from posecli.engines.load import load_detector, load_estimator
from posecli.evaluation.detector import score_detector
from posecli.evaluation.keypoints import pck_by_source, predict

pytestmark = pytest.mark.models

COCO = (
    20000994,
    20001436,
    20001908,
    20002175,
    20002662,
    20003440,
    20005563,
    20006244,
    20007055,
    20007587,
    20008366,
    20008457,
    20008937,
    20009746,
    20011632,
    20012298,
    20012522,
    20012998,
    20013168,
    20013474,
)
LSPET = (
    1000953,
    1001219,
    1001321,
    1001334,
    1001346,
    1001940,
    1001949,
    1001950,
    1002256,
    1002724,
    1003252,
    1003289,
    1003615,
    1003631,
    1005931,
    1005932,
    1008161,
    1008162,
    1008175,
    1008183,
)


@pytest.fixture(scope="module")
def people(shared):
    """The people of those photos."""
    everybody = read_people(f"coco:{shared}/data/people/val.json")
    chosen = everybody.take(np.isin(everybody.image_ids, COCO + LSPET))
    assert len(set(chosen.image_ids.tolist())) == 40
    return chosen


@pytest.mark.parametrize(
    ("model", "flip_test", "coco", "lspet"),
    [
        ("small", False, 0.827, 0.737),
        ("small", True, 0.863, 0.751),
        ("base", True, 0.868, 0.751),
    ],
)
def test_the_networks_score_what_they_scored(people, model, flip_test, coco, lspet) -> None:
    estimator = load_estimator(model, "cpu", flip_test=flip_test, backend="torch")
    found = pck_by_source(people, predict(people, estimator))
    assert found["coco"] == pytest.approx(coco, abs=0.004)
    assert found["lspet"] == pytest.approx(lspet, abs=0.004)


def test_the_detector_scores_what_it_scored(shared, tmp_path) -> None:
    document = json.loads((shared / "data" / "people" / "val.json").read_text(encoding="utf-8"))
    document["images"] = [i for i in document["images"] if i["id"] in COCO]
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] in COCO]
    path = tmp_path / "some.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    scores = score_detector(
        path, load_detector(device="cpu", backend="torch"), shared / "data" / "people" / "images"
    )
    assert scores["all_boxes"]["coco"]["recall"] == pytest.approx(0.818, abs=0.004)
    assert scores["all_boxes"]["coco"]["precision"] == pytest.approx(0.923, abs=0.004)
