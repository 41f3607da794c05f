"""Scores of networks with and without feet, on people with and without labelled feet."""

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from posecli.data.read import read_people
from posecli.evaluation.keypoints import predict, read_predictions, score, shared_feet
from posecli.evaluation.pages import worst_people
from posecli.skeletons import BODY19, BODY23, FEET, SKELETONS
from tests.support.recordings import standing_at


class Network:
    """A fake network that places all joints by the box, a little off their true positions."""

    def __init__(self, skeleton) -> None:
        self.spec = SimpleNamespace(bones=skeleton)

    def estimate(self, images, boxes):
        found = []
        for box in boxes[0]:
            points = standing_at(0, 0, skeleton=BODY23)
            points[:, :2] += np.random.default_rng(int(box[0])).normal(0, 6, (23, 2))
            points[:, 2] = np.random.default_rng(int(box[0]) + 1).random(23)
            points[:, :2] += box[:2] + (box[2:] - box[:2]) / 2 - (100, 100)
            found.append(points[: len(self.spec.bones.joints)])
        return [np.array(found, np.float32)]


def labels(folder, skeleton, feet: bool):
    """A COCO file of standing people, two per photo, and a person without joints.

    It has the joints of `skeleton`. Its feet can be labelled or not.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for n in range(6):
        cv2.imwrite(str(folder / "images" / f"{n}.png"), np.zeros((300, 700, 3), np.uint8))
        images.append({"id": n + 1, "file_name": f"{n}.png", "width": 700, "height": 300})
        for k, x in enumerate((40 + 11 * n, 330 + 7 * n, 560)):
            points = standing_at(x, 50, skeleton=skeleton)
            points[:, 2] = 2
            if not feet:
                points[19:] = 0
            if k == 2:
                points[:] = 0
            box = [x + 60, 40, 80, 210]
            annotations.append({
                "id": 10 * n + k + 1, "image_id": n + 1, "category_id": 1, "bbox": box, "area": 80.0 * 210, "iscrowd": 0,
                "keypoints": points.ravel().tolist(), "num_keypoints": int((points[:, 2] > 0).sum()),
            })  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    path = folder / f"{skeleton.name}_{feet}.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return read_people(f"coco:{path}", folder / "images")


def of_body19(document):
    """The scores of the joints that both skeletons have."""
    for part in (*document["sources"].values(), document["overall"]):
        for table in (part["per_joint"], part["pdj"]["per_joint"]):
            for joint in FEET:
                told = table.pop(joint, None)
                assert told is None or set(np.atleast_1d(told)) == {None}
    return document


@pytest.mark.parametrize("detected", [False, True], ids=["given boxes", "their own boxes"])
def test_feet_that_nobody_labelled_change_nothing(tmp_path, detected) -> None:
    finder = None
    if detected:
        boxes = np.array([[100, 42, 180, 248], [392, 40, 470, 252], [618, 41, 702, 250]], np.float32)
        found = SimpleNamespace(xyxy=boxes, scores=np.array([0.9, 0.8, 0.7], np.float32))
        finder = SimpleNamespace(find=lambda image: found)
    with_19, with_23 = labels(tmp_path, BODY19, False), labels(tmp_path, BODY23, False)
    plain = score(with_19, predict(with_19, Network(BODY19), finder))
    assert 0 < plain["overall"]["ap"] < 1
    assert 0 < plain["overall"]["pck"]["value"] < 1
    for people, skeleton in ((with_19, BODY23), (with_23, BODY19), (with_23, BODY23)):
        assert of_body19(score(people, predict(people, Network(skeleton), finder))) == plain


def test_coco_s_17_joints_are_scored_alone(tmp_path) -> None:
    people = labels(tmp_path, SKELETONS["coco17"], True)
    one, other = (score(people, predict(people, Network(s))) for s in (BODY19, BODY23))
    assert one == other
    assert list(one["overall"]["per_joint"]) == list(SKELETONS["coco17"].joints)


def test_labelled_feet_count_for_networks_that_place_them(tmp_path) -> None:
    people, plain = labels(tmp_path, BODY23, True), labels(tmp_path, BODY19, False)
    without, with_feet = (score(people, predict(people, Network(s))) for s in (BODY19, BODY23))
    assert of_body19(without) == score(plain, predict(plain, Network(BODY19)))
    joints = with_feet["overall"]["per_joint"]
    assert all(0 < joints[joint] <= 1 for joint in FEET)
    assert with_feet["overall"]["joints"] == len(people) * 23
    assert sum(with_feet["overall"]["mistakes"].values()) == pytest.approx(1)
    # In a comparison, both are scored on the joints that both have.
    shared = shared_feet(people, [BODY19, BODY23])
    for skeleton in (BODY19, BODY23):
        assert score(shared, predict(shared, Network(skeleton)))["overall"]["joints"] == len(people) * 19
    assert shared_feet(people, [BODY23]).visible.tolist() == people.visible.tolist()


def test_feet_that_a_network_does_not_place_make_nobody_the_worst(tmp_path) -> None:
    people, plain = labels(tmp_path, BODY23, True), labels(tmp_path, BODY19, False)
    expected = worst_people(plain, predict(plain, Network(BODY19)))
    assert worst_people(people, predict(people, Network(BODY19))) == expected


def test_files_of_one_skeleton_are_scored_against_labels_of_the_other(tmp_path) -> None:
    with_19, with_23 = labels(tmp_path, BODY19, False), labels(tmp_path, BODY23, True)
    for people, network, others in ((with_19, BODY19, with_23), (with_23, BODY23, with_19)):
        predicted = predict(people, Network(network))
        file = tmp_path / f"{network.name}.json"
        file.write_text(json.dumps([r for records in predicted.everybody.values() for r in records]))
        found = score(others, read_predictions(file, others))
        assert found["overall"]["pck"]["value"] == pytest.approx(
            score(with_19, predict(with_19, Network(BODY19)))["overall"]["pck"]["value"], abs=1e-3
        )
    nobody = replace(predicted, keypoints=np.full_like(predicted.keypoints, np.nan), everybody={})
    assert score(with_23, nobody)["overall"]["joints"] == len(with_23) * 23
