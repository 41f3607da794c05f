"""8-bit networks: kept only if the score stays, and used like the shipped one."""

import cv2
import numpy as np
import pytest

from posecli.data.coco import read_coco
from posecli.engines.backends import OpenVinoNetwork
from posecli.engines.check import Verdict
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.export import quantise
from posecli.models.checkpoints import save_checkpoint
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.stand_ins import SPEC

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """An annotation file with twelve people in two photos of noise."""
    import json

    folder = tmp_path_factory.mktemp("crowd")
    (folder / "images").mkdir()
    rng = np.random.default_rng(3)
    images, annotations = [], []
    for number in (1, 2):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), rng.integers(0, 255, (120, 400, 3), np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "width": 400, "height": 120})
        for n in range(6):
            points = np.column_stack(
                [rng.uniform(60 * n, 60 * n + 50, 19), rng.uniform(10, 110, 19), np.full(19, 2)]
            )
            annotations.append(
                {"id": 10 * number + n, "image_id": number, "category_id": 1, "bbox": [60 * n, 5, 55, 110], "area": 4000,
                 "iscrowd": 0, "num_keypoints": 19, "keypoints": points.round(1).ravel().tolist()}
            )  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(BODY19.joints), "skeleton": []}
    path = folder / "people.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(quantise, "CALIBRATION", 4)


@pytest.mark.parametrize("suffix", [".xml", ".onnx"])
def test_a_network_is_brought_to_8_bits_and_runs(tiny, crowd, few, tmp_path, suffix, monkeypatch) -> None:
    monkeypatch.setattr(quantise, "MOST_LOST", 1.0)  # the score of random weights means nothing
    path = tmp_path / f"tiny{suffix}"
    scores = quantise.export_int8(tiny, path, read_coco(crowd, None), "abc")
    assert (scores.people, scores.moved) == (4, 0)  # no joint has a high confidence, so none can move
    assert {p.suffix for p in tmp_path.iterdir()} == ({".xml", ".bin"} if suffix == ".xml" else {".onnx"})
    estimator = load_estimator(str(path), "cpu")
    assert estimator.spec == SPEC
    crops = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    theirs, ours = estimator.maps(crops), tiny.maps(crops)
    # Close but not equal, because it has 8 bits. CPUs without VNNI add in 16 bits and differ by up to 0.31.
    assert 0 < np.abs(theirs - ours).max() < 0.4 * np.abs(ours).max()
    if suffix == ".xml":
        assert OpenVinoNetwork.int8(path, "abc").precision == "int8"
        with pytest.raises(PoseError, match="made from other weights"):
            OpenVinoNetwork.int8(path, "abd")


@pytest.mark.parametrize(("moves", "kept"), [([0.9], 0.9), ([1.4, 0.3], 0.3), ([1.4, 1.2], 1.2)])
def test_other_people_choose_the_ranges_where_a_joint_moves(
    tiny, crowd, few, tmp_path, monkeypatch, moves, kept
) -> None:
    monkeypatch.setattr(quantise, "MOST_LOST", 1.0)
    chosen_on, left = [], list(moves)
    crops = quantise._crops
    monkeypatch.setattr(
        quantise, "_crops", lambda e, people: chosen_on.append(people.ids) or crops(e, people)
    )
    monkeypatch.setattr(quantise, "compare_estimators", lambda *_: Verdict(left.pop(0), 1.0, 1, 1))
    scores = quantise.export_int8(tiny, tmp_path / "tiny.xml", read_coco(crowd, None), "abc")
    assert scores.moved == kept
    assert len(chosen_on) == len(moves)
    assert len(np.unique(np.concatenate(chosen_on))) == 4 * len(moves)
    assert {p.name for p in tmp_path.iterdir()} == {"tiny.xml", "tiny.bin"}


def test_one_that_loses_too_much_is_not_kept(tiny, crowd, few, tmp_path, monkeypatch) -> None:
    scores = iter([{"overall": 0.7}, {"overall": 0.69}])
    monkeypatch.setattr(quantise, "pck_by_source", lambda *_: next(scores))
    with pytest.raises(PoseError, match=r"PCK@0.2 falls from 0.700 to 0.690, by more than 0.005"):
        quantise.export_int8(tiny, tmp_path / "tiny.xml", read_coco(crowd, None), "abc")
    assert list(tmp_path.iterdir()) == []


def test_what_can_t_be_done_is_one_sentence(tiny, crowd, tmp_path, capfd) -> None:
    with pytest.raises(PoseError, match=r"at least 600 labelled people.*these are 12"):
        quantise.export_int8(tiny, tmp_path / "tiny.xml", read_coco(crowd, None), "abc")
    with pytest.raises(PoseError, match=r"\.pt2 files do not support 8 bits"):
        quantise.export_int8(tiny, tmp_path / "tiny.pt2", read_coco(crowd, None), "abc")
    save_checkpoint(tmp_path / "tiny.safetensors", tiny.network.state_dict(), SPEC)
    for arguments, code, words in (
        (["--int8"], 2, "add --data"),
        (["--int8", "--data", f"coco:{crowd}"], 1, "at least 600"),
    ):
        out = ["--format", "openvino", "--out", tmp_path / "tiny.xml"]
        ended, _, err = call(capfd, "export", tmp_path / "tiny.safetensors", *out, *arguments)
        assert (ended, words in " ".join(err.split())) == (code, True), err
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.safetensors"]
