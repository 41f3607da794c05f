"""Annotation files of other tools, rebuilt from public bug reports. AP is compared with pycocotools."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from posecli.data.augment import Augmentation, random_crops
from posecli.data.read import read_people
from posecli.errors import PoseError
from posecli.evaluation.keypoints import coco_result, read_predictions, score
from posecli.skeletons import COCO17, Skeleton
from tests.support.coco import coco_document, theirs

COCO = Path(__file__).parents[1] / "data" / "reports" / "coco"


def people_of(name):
    return read_people(f"coco:{COCO / name}")


def changed(tmp_path, change, name="base.json"):
    """A changed copy of an annotation file. It refers to the same photos."""
    document = json.loads((COCO / name).read_text())
    change(document)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document))
    return read_people(f"coco:{path}", COCO / "images")


BASE = people_of("base.json")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dog_category_first.json", ""),
        ("labelstudio_backslash.json", ""),
        ("images_prefix.json", ""),
        ("string_ids.json", ""),
        (
            "names_with_dashes.json",
            "joint names have another spelling.*: 16, the first: left-eye is left_eye",
        ),
        ("no_ids.json", "annotations have no id of their own.*: 6, the first"),
        (
            "num_keypoints_0.json",
            "people have labelled joints though num_keypoints is 0.*: 6, the first: annotation 1 of photo 1",
        ),
    ],
)
def test_what_tools_write_otherwise_is_read_the_same_and_told(name, told) -> None:
    people = people_of(name)
    assert people.joints == COCO17.joints
    np.testing.assert_array_equal(people.keypoints, BASE.keypoints)
    assert people.photos == BASE.photos
    assert re.search(told, " ".join(people.warnings)) and bool(told) == bool(people.warnings)


@pytest.mark.parametrize("name", ["no_bbox.json", "bbox_null.json"])
def test_an_annotation_with_neither_joints_nor_box_is_left_out_and_told(name) -> None:
    people = people_of(name)
    assert len(people) == 5
    assert "annotations have neither joints nor a box (left out): 1, the first" in people.warnings[0]


def test_people_without_a_box_get_that_of_their_joints(tmp_path) -> None:
    def change(document):
        del document["annotations"][0]["bbox"]
        document["annotations"][1]["bbox"] = None
        document["annotations"][2]["bbox"] = []

    people = changed(tmp_path, change)
    assert len(people) == 6
    assert "people have no box" in people.warnings[0] and ": 3, the first" in people.warnings[0]
    points = people.keypoints[0]
    assert (people.boxes[0, :2] <= points.min(axis=0)).all()
    assert (people.boxes[0, 2:] >= points.max(axis=0)).all()


def test_nobody_left_says_who_was_left_out_and_why() -> None:
    with pytest.raises(PoseError, match=r"nobody with labelled joints\. Of 6 annotations 6 say iscrowd"):
        people_of("iscrowd_1.json")


def test_iscrowd_as_text_is_read_as_a_number(tmp_path) -> None:
    def change(document):
        for n, annotation in enumerate(document["annotations"]):
            annotation["iscrowd"] = str(int(n == 0))

    people = changed(tmp_path, change)
    assert len(people) == 5
    assert [a.crowd for a in people.ignored] == [True]


def test_annotations_of_other_categories_are_other_things(tmp_path) -> None:
    def change(document):
        document["annotations"][0]["category_id"] = 2
        document["annotations"][1]["category_id"] = "1"

    people = changed(tmp_path, change, "dog_category_first.json")
    assert len(people) == 5
    assert "annotations are of other categories than people (left out): 1, the first" in people.warnings[0]


def test_pairs_of_x_and_y_and_a_byte_order_mark_are_read(tmp_path) -> None:
    document = json.loads((COCO / "base.json").read_text())
    for annotation in document["annotations"]:
        annotation["keypoints"] = np.reshape(annotation["keypoints"], (-1, 3))[:, :2].ravel().tolist()
    path = tmp_path / "pairs.json"
    path.write_text("\ufeff" + json.dumps(document), encoding="utf-8")
    people = read_people(f"coco:{path}", COCO / "images")
    np.testing.assert_array_equal(people.keypoints, BASE.keypoints)
    assert "pairs of x and y" in people.warnings[0]


@pytest.mark.parametrize(
    "name", ["/data/upload/3/1.png", "C:\\work\\1.png", "images%2F1.png", "a/b/images/1.png"]
)
def test_photos_are_found_past_prefixes_that_exporters_write(tmp_path, name) -> None:
    people = changed(tmp_path, lambda d: d["images"][0].update(file_name=name))
    assert people.photos[0] == COCO / "images" / "1.png"


def test_photos_that_are_nowhere_are_said_before_any_work(tmp_path) -> None:
    def change(document):
        for image in document["images"]:
            image["file_name"] = "gone-" + image["file_name"]

    with pytest.raises(
        PoseError, match=r"None of the 3 photos .* the first: gone-1\.png; name their folder with"
    ):
        changed(tmp_path, change)


def test_photos_of_another_size_than_labelled_are_refused(tmp_path) -> None:
    with pytest.raises(PoseError, match=r"1\.png has 640x480 pixels, the file says 1280x960"):
        people_of("photos_made_smaller.json")
    with pytest.raises(
        PoseError, match=r"1\.png has 640x480 pixels, the file says 480x640, turned by a quarter"
    ):
        changed(tmp_path, lambda d: d["images"][0].update(width=480, height=640))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("left_foot_index", "left_big_toe"), ("RightHeel", "right_heel"),
        ("left-eye", "left_eye"), ("LeftEye", "left_eye"), ("Left Eye", "left_eye"), ("l_eye", "left_eye"),
        ("eye_R", "right_eye"), ("rightEye", "right_eye"), ("R-Eye", "right_eye"), ("nose", "nose"),
        ("left_big_toe", "left_big_toe"), ("Head", "head_top"), ("lower_back", "lower_back"),
    ],
)  # fmt: skip
def test_names_of_joints_are_matched_loosely(name, ours) -> None:
    from posecli.data.coco import spelt

    assert spelt(name) == ours


def test_half_a_skeleton_is_read_and_never_learned_from_its_mirror_image() -> None:
    people = people_of("one_side.json")
    half = Skeleton("half", people.joints, ())
    assert half.one_sided == [k for k, j in enumerate(people.joints) if j != "nose"]
    always = Augmentation(mirror=1.0)
    labels = random_crops(np.random.default_rng(0), people, np.arange(6), (64, 64), 1.2, half, always)
    assert np.flatnonzero(labels.inside.any(axis=0) | labels.outside.any(axis=0)).tolist() == [0]  # the nose


def as_file(tmp_path, document, results):
    truth, found = tmp_path / "ours.json", tmp_path / "found.json"
    truth.write_text(json.dumps(document))
    found.write_text(json.dumps(results))
    (tmp_path / "images").mkdir(exist_ok=True)
    for image in document["images"]:
        (tmp_path / "images" / image["file_name"]).touch()
    people = read_people(f"coco:{truth}")
    return score(people, read_predictions(found, people))["overall"]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("boxes", [False, True], ids=["by joints", "with boxes"])
def test_ap_and_ar_of_files_are_those_of_pycocotools(seed, boxes, tmp_path) -> None:
    """Includes photos without people, and results with boxes. COCOeval then uses the areas of the boxes."""
    document, results = coco_document(seed)
    for image in document["images"]:
        image.setdefault("file_name", f"{image['id']}.png")
        # Otherwise joints would be outside the picture and left out with a warning.
        image.update(width=4000, height=4000)
    empty = {"id": 900, "file_name": "900.png"}
    document["images"].append(empty)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        points = np.column_stack([rng.uniform(0, 300, (17, 2)), np.ones(17)])
        results.append({"image_id": 900, "category_id": 1, "keypoints": points.ravel().tolist(), "score": float(rng.random())})  # fmt: skip
    if boxes:
        for result in results:
            result["bbox"] = [0.0, 0.0, float(rng.uniform(5, 200)), float(rng.uniform(5, 200))]
    if not any(a["num_keypoints"] and not a["iscrowd"] for a in document["annotations"]):
        pytest.fail("a document without people scores nothing")
    mine, reference = as_file(tmp_path, document, results), theirs(document, results, tmp_path)
    names = ("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar")
    for name, value in zip(names, reference, strict=False):
        assert mine[name] == pytest.approx(value, abs=1e-6) or (mine[name] is None and value == -1), name


def test_ap_of_an_empty_photo_counts_what_is_found_there(tmp_path) -> None:
    people = people_of("empty_photo.json")
    found = read_predictions(COCO / "empty_photo_det.json", people)
    document = json.loads((COCO / "empty_photo.json").read_text())
    results = json.loads((COCO / "empty_photo_det.json").read_text())
    assert score(people, found)["overall"]["ap"] == pytest.approx(
        theirs(document, results, tmp_path)[0], abs=1e-6
    )


def test_another_category_with_the_same_joints_is_no_person(tmp_path) -> None:
    def change(document):
        document["categories"].append({**document["categories"][0], "id": 7, "name": "dog"})
        for annotation in document["annotations"][:2]:
            annotation["category_id"] = 7

    people = changed(tmp_path, change)
    assert len(people) == len(BASE) - 2
    assert any(
        "annotations are of other categories than people (left out): 2, the first" in w
        for w in people.warnings
    )


def test_predictions_of_another_category_are_left_out_and_ours_carry_the_file_s(tmp_path) -> None:
    def change(document):
        document["categories"][0]["id"] = 7
        for annotation in document["annotations"]:
            annotation["category_id"] = 7

    people = changed(tmp_path, change)
    found = [{**record, "category_id": 7} for record in json.loads((COCO / "det.json").read_text())]
    path = tmp_path / "det.json"
    path.write_text(json.dumps([*found, {**found[0], "category_id": 1}]))
    predicted = read_predictions(path, people)
    assert predicted.warnings == ("det.json: predictions of other categories than people (left out): 1.",)
    assert sum(len(records) for records in predicted.everybody.values()) == len(found)
    record = coco_result(1, np.zeros((17, 3)), 0.5, np.array([0.0, 0, 1, 1]), min(people.categories))
    assert record["category_id"] == 7


def test_photos_with_words_as_ids_are_refused_in_one_sentence(tmp_path) -> None:
    def change(document):
        for image in document["images"]:
            image["id"] = f"ph{image['id']}"
        for annotation in document["annotations"]:
            annotation["image_id"] = f"ph{annotation['image_id']}"

    with pytest.raises(PoseError, match=r"left out\): 3, the first: id 'ph1', .*need whole numbers as id"):
        changed(tmp_path, change)


def test_names_that_occur_twice_are_refused(tmp_path) -> None:
    def change(document):
        names = document["categories"][0]["keypoints"]
        document["categories"][0]["keypoints"] = [
            n.removeprefix("left_").removeprefix("right_") for n in names
        ]

    with pytest.raises(
        PoseError, match="several joints called eye; give each a name of its own, such as left_eye"
    ):
        changed(tmp_path, change)


def test_labels_of_a_larger_photo_are_refused_also_where_no_size_is_told(tmp_path) -> None:
    def change(document):
        for image in document["images"]:
            del image["width"], image["height"]
        for annotation in document["annotations"]:
            annotation["keypoints"] = [
                v if n % 3 == 2 else 2 * v for n, v in enumerate(annotation["keypoints"])
            ]

    with pytest.raises(PoseError, match=r"joints far outside of \d.png, which is 640x480"):
        changed(tmp_path, change)


def test_predictions_that_are_not_used_are_told(tmp_path) -> None:
    found = json.loads((COCO / "det.json").read_text())
    path = tmp_path / "det.json"
    path.write_text(json.dumps([*found, {**found[0], "image_id": 999}]))
    assert read_predictions(path, BASE).warnings == (
        "det.json: predictions of photos that are not scored (left out): 1.",
    )
    path.write_text("[]")
    assert read_predictions(path, BASE).warnings == ("det.json holds no prediction.",)
    assert read_predictions(COCO / "det.json", BASE).warnings == ()


def test_what_is_no_confidence_is_not_held_against_what_is_right(tmp_path) -> None:
    found = json.loads((COCO / "det.json").read_text())
    for result in found:
        result["keypoints"] = [2 if n % 3 == 2 else v for n, v in enumerate(result["keypoints"])]
    path = tmp_path / "det.json"
    path.write_text(json.dumps(found))
    overall = score(BASE, read_predictions(path, BASE))["overall"]
    assert (overall["ece"], overall["reliability"]) == (None, None)
    assert overall["ap"] == pytest.approx(1.0)
