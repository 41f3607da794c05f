import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posecli.metrics import oks, pck
from posecli.metrics.calibration import fit_calibration, reliability
from posecli.metrics.detection import match_finds, recall_precision
from posecli.skeletons import BODY23, COCO17, FEET
from tests.support.coco import coco_document, theirs


def test_a_joint_exactly_at_the_limit_is_right_unless_strict() -> None:
    gaps, sizes = np.array([[2.0, 2.1]]), np.array([10.0])
    assert pck.within(gaps, sizes, 0.2).tolist() == [[True, False]]
    assert pck.within(gaps, sizes, 0.2, strict=True).tolist() == [[False, False]]


def test_feet_have_the_sigmas_of_coco_wholebody() -> None:
    assert oks.sigmas_of(FEET).tolist() == [0.066, 0.066, 0.068, 0.068]
    assert oks.sigmas_of(BODY23.joints)[:17].tolist() == oks.sigmas_of(COCO17.joints).tolist()


def test_a_torso_without_length_or_label_leaves_the_person_out() -> None:
    joints = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    truth = np.zeros((3, 4, 2))
    truth[1, 3] = [3, 4]
    truth[2, 3] = [3, 4]
    labelled = np.ones((3, 4), bool)
    labelled[2, 0] = False  # no left shoulder; the other diagonal has no length
    sizes = pck.torso_sizes(truth, labelled, joints, "diagonal")
    assert np.isnan(sizes[[0, 2]]).all()
    assert sizes[1] == 5
    assert pck.counted(labelled, sizes).sum() == 4


def test_pooled_is_not_the_mean_of_means() -> None:
    right = np.array([[True, True], [True, False], [False, False]])
    count = np.array([[True, True], [True, False], [True, False]])
    assert pck.pooled(right, count) == 3 / 4
    np.testing.assert_allclose(pck.per_joint(right, count), [2 / 3, 1])


def test_the_interval_holds_the_value_and_resamples_photos() -> None:
    rng = np.random.default_rng(0)
    hits = rng.binomial(10, 0.7, 200)
    low, high = pck.interval(hits, np.full(200, 10), np.arange(200))
    assert low < hits.sum() / 2000 < high
    wide = pck.interval(hits, np.full(200, 10), np.arange(200) // 20)
    assert wide[1] - wide[0] != high - low


def ours(document, results) -> dict[str, float | None]:
    photos = []
    for image in document["images"]:
        a = [x for x in document["annotations"] if x["image_id"] == image["id"]]
        r = [x for x in results if x["image_id"] == image["id"]]
        points = np.array([x["keypoints"] for x in a]).reshape(len(a), 17, 3)
        truth = oks.Truth(
            points[..., :2], points[..., 2].astype(int), np.array([x["bbox"] for x in a]).reshape(-1, 4),
            np.array([x["area"] for x in a]), np.array([x["iscrowd"] for x in a], bool),
        )  # fmt: skip
        found = np.array([x["keypoints"] for x in r]).reshape(len(r), 17, 3)
        photos.append((truth, oks.Finds(found[..., :2], np.array([x["score"] for x in r]))))
    return oks.average_precision(photos, oks.sigmas_of(COCO17.joints))


def assert_same(document, results, tmp_path) -> None:
    mine, reference = ours(document, results), theirs(document, results, tmp_path)
    for name, value in zip(("ap", "ap50", "ap75", "ap_medium", "ap_large", "ar"), reference, strict=False):
        assert mine[name] == pytest.approx(value, abs=1e-6) or (mine[name] is None and value == -1), name


@pytest.mark.parametrize("seed", range(12))
def test_ap_agrees_with_pycocotools_on_made_up_people(seed, tmp_path) -> None:
    document, results = coco_document(seed)
    if results:
        assert_same(document, results, tmp_path)


def test_ap_agrees_with_pycocotools_on_real_labels(shared, tmp_path) -> None:
    path = shared / "data/raw_layouts/coco/annotations/person_keypoints_val2017.json"
    document = json.loads(path.read_text())
    rng = np.random.default_rng(0)
    results = []
    for a in document["annotations"]:
        points = np.array(a["keypoints"], float).reshape(17, 3)
        points[:, :2] += rng.normal(0, 0.04 * np.sqrt(a["area"]), (17, 2))
        score = float(rng.random())
        results.append({"image_id": a["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(), "score": score})  # fmt: skip
    assert_same(document, results, tmp_path)


def test_finds_are_matched_one_to_one_and_small_or_crowded_ones_do_not_count() -> None:
    people = np.array([[0, 0, 50, 100], [200, 0, 230, 40], [300, 0, 350, 100]], float)
    crowd = np.array([[400, 0, 600, 200]], float)
    finds = np.array([
        [0, 0, 50, 98], [2, 0, 52, 100],  # one person found twice: the second detection is wrong
        [200, 0, 230, 40],  # a small person: ignored
        [450, 20, 500, 120],  # in a crowd: ignored
        [100, 100, 120, 150],  # a small false positive: ignored
        [100, 200, 150, 320],  # a false positive: wrong
    ], float)  # fmt: skip
    m = match_finds(finds, np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), people, crowd)
    assert m.people == 2
    assert m.right.tolist() == [True, False, False]
    assert recall_precision([m], 0.0) == (0.5, pytest.approx(1 / 3))
    assert recall_precision([m], 0.85) == (0.5, 1.0)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_calibrated_confidence_says_what_is_right(seed) -> None:
    rng = np.random.default_rng(seed)
    peaks = rng.uniform(0, 1.3, 6000)
    right = rng.random(6000) < np.clip(peaks**2, 0, 1)
    x, y = fit_calibration(peaks, right)
    assert list(x) == sorted(x)
    assert list(y) == sorted(y)
    stated = np.interp(peaks, x, y)
    assert reliability(stated, right).ece < 0.04
    assert reliability(peaks.clip(0, 1), right).ece > reliability(stated, right).ece


def test_a_weight_counts_like_so_many_joints() -> None:
    rng = np.random.default_rng(3)
    peaks = rng.uniform(0, 1, 4000)
    right = rng.uniform(0, 1, 4000) < peaks
    often = np.where(right, 3, 1)
    asked = np.linspace(0.05, 0.95, 19)
    weighted = np.interp(asked, *fit_calibration(peaks, right, weights=often.astype(float)))
    repeated = np.interp(asked, *fit_calibration(np.repeat(peaks, often), np.repeat(right, often)))
    np.testing.assert_allclose(weighted, repeated, atol=0.02)
    assert (weighted - np.interp(asked, *fit_calibration(peaks, right))).max() > 0.2
