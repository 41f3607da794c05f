"""The training of the detector: its labels, and the file that it writes."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from posecli.engines.detector import Detector
from posecli.errors import PoseError
from posecli.silence import import_ultralytics
from posecli.training import detector
from posecli.training.detector import DetectorRecipe, train_detector
from posecli.training.detector_photos import write_dataset
from posecli.types import Boxes
from tests.support.command import call

SIDE = 200
IN_DEV = 27  # 27 % 20 == 7, so this photo is in dev


def photo(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE, **more}


def person(number: int, photo: int, box: list[int], crowd: int = 0) -> dict[str, object]:
    return {"id": number, "image_id": photo, "category_id": 1, "bbox": box, "iscrowd": crowd}


@pytest.fixture
def people(tmp_path):
    """One labelled person in each of six photos: two of COCO (one with a crowd), two of lspet, two in dev."""
    (tmp_path / "images").mkdir()
    photos = [
        photo(1, boxes="all", source="coco"),
        photo(2, boxes="main", source="coco"),
        photo(3, boxes="main", source="lspet"),
        photo(4, boxes="main", source="lspet"),
        photo(IN_DEV, boxes="all", source="coco"),
        photo(IN_DEV + 20, boxes="main", source="coco"),
    ]
    rng = np.random.default_rng(0)
    for one in photos:
        picture = rng.integers(0, 100, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / str(one["file_name"])), picture)
    found = [person(n, int(str(one["id"])), [20, 20, 60, 160]) for n, one in enumerate(photos)]
    found.append(person(99, 1, [60, 0, 140, 200], crowd=1))
    path = tmp_path / "people.json"
    path.write_text(json.dumps({"images": photos, "annotations": found, "categories": []}))
    return path


def labels(folder, part: str, number: int) -> np.ndarray:
    lines = (folder / "labels" / part / f"{number}.txt").read_text().split()
    return np.array(lines, float).reshape(-1, 5)[:, 1:]


class Finder:
    """Finds the same in every image: the labelled person, a part of them, another person, and one with a low score."""

    def find(self, _: object) -> Boxes:
        xyxy = [[22, 20, 82, 178], [30, 30, 60, 80], [120, 20, 180, 180], [100, 100, 130, 160.0]]
        return Boxes(np.array(xyxy), np.array([0.9, 0.8, 0.7, 0.2]))


def test_nobody_unlabelled_is_taught_as_background(people, tmp_path) -> None:
    out = tmp_path / "data"
    write_dataset(people, out, 1, Finder())
    # From COCO only the photo in which everybody has a box. From lspet one photo.
    assert sorted(p.stem for p in (out / "images" / "train").iterdir()) == ["1", "3"]
    assert [p.stem for p in (out / "images" / "dev").iterdir()] == [str(IN_DEV)]
    half = 60 / 200, 160 / 200
    np.testing.assert_allclose(labels(out, "train", 1), [[0.25, 0.5, *half]], atol=1e-5)
    # The labelled person, and the other person with a high score. Neither is there twice.
    np.testing.assert_allclose(labels(out, "train", 3), [[0.25, 0.5, *half], [0.75, 0.5, *half]], atol=1e-5)
    # Without a detector for the other people, no photo of lspet is used.
    write_dataset(people, out, 1, None)
    assert [p.stem for p in (out / "images" / "train").iterdir()] == ["1"]


def test_every_second_photo_of_lspet_is_turned_with_its_boxes(people, tmp_path) -> None:
    document = json.loads(people.read_text())
    for number in (3, 4):  # a black portrait photo with one white person
        picture = np.zeros((SIDE + 40, SIDE, 3), np.uint8)
        picture[30:150, 60:90] = 255
        cv2.imwrite(str(people.parent / "images" / f"{number}.png"), picture)
        next(a for a in document["annotations"] if a["image_id"] == number)["bbox"] = [60, 30, 30, 120]
    people.write_text(json.dumps(document))
    out = tmp_path / "data"
    write_dataset(people, out, 2, Nobody())
    for number, wide in ((3, False), (4, True)):
        picture = cv2.imread(str(out / "images" / "train" / f"{number}.jpg"))[..., 0]
        height, width = picture.shape
        assert (width > height) == wide
        rows, columns = np.nonzero(picture > 128)
        drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        [[x, y, w, h]] = labels(out, "train", number) * [width, height, width, height]
        np.testing.assert_allclose(drawn, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], atol=1.5)


class Nobody:
    def find(self, _: object) -> Boxes:
        return Boxes.none()


def test_photos_of_lspet_without_a_box_are_left_out(people, tmp_path) -> None:
    document = json.loads(people.read_text())
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 3]
    people.write_text(json.dumps(document))
    write_dataset(people, tmp_path / "data", 2, Nobody())
    assert sorted(p.stem for p in (tmp_path / "data" / "images" / "train").iterdir()) == ["1", "4"]


def test_crowds_are_grey_but_for_the_people_with_boxes(people, tmp_path) -> None:
    out = tmp_path / "data"
    write_dataset(people, out, 0, None)
    picture = cv2.imread(str(out / "images" / "train" / "1.jpg")).astype(int)
    assert np.abs(picture[:, 90:] - 114).max() < 12
    assert picture[40:160, 30:70].std() > 20  # labelled, although in the crowd
    assert len(labels(out, "train", 1)) == 1


@pytest.mark.models
def test_a_training_gives_a_detector_that_loads(people, tmp_path, capfd) -> None:
    out = tmp_path / "run"
    recipe = DetectorRecipe(size=64, epochs=1, batch=2, lspet=2, workers=0, mosaic=0.5)
    made = train_detector(people, out, recipe)
    told = [line.split(",")[0] for line in capfd.readouterr().out.splitlines() if ", dev {" in line]
    assert told == ["epoch 1/1", "best"]
    loaded = torch.load(made, weights_only=False)
    assert next(loaded["model"].parameters()).dtype == torch.float16
    found = Detector.load(made)
    assert (found.classes, found.person) == (1, 0)
    found.find(np.zeros((SIDE, SIDE, 3), np.uint8))
    used = (out / "run" / "args.yaml").read_text()
    assert "mosaic: 0.5" in used
    assert "imgsz: 64" in used
    assert "nbs: 2" in used
    # With --init-share 0.5, the result is the mean of the initial and the trained weights.
    recipe = replace(recipe, rate=0.01, init_share=0.5)
    both = Detector.load(train_detector(people, tmp_path / "more", recipe, init=made), fuse=False)
    learned = torch.load(tmp_path / "more" / "run" / "weights" / "last.pt", weights_only=False)["model"]
    before = Detector.load(made, fuse=False).network
    for name in ("model.0.conv.weight", "model.0.bn.running_mean"):
        a, b, c = (n.state_dict()[name].float() for n in (before, learned, both.network))
        assert not torch.equal(a, b)
        torch.testing.assert_close(c, (a + b) / 2, atol=1e-3, rtol=2e-3)
    with pytest.raises(PoseError, match="--init"):
        train_detector(people, tmp_path / "third", recipe)
    with pytest.raises(PoseError, match="not those of a yolo11n"):
        train_detector(people, tmp_path / "third", replace(recipe, architecture="yolo11n"), init=made)
    with pytest.raises(PoseError, match="no detection network 'https"):
        train_detector(people, tmp_path / "third", replace(recipe, architecture="https://a.b/c"), init=made)
    ended, _, err = call(capfd, "train-detector", tmp_path / "none.json", "--out", tmp_path / "other")
    assert ended == 1
    assert "There is no annotation file" in " ".join(err.split())


@pytest.mark.models
def test_a_training_begins_from_a_state_dict_too(people, tmp_path) -> None:
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    weights = DetectionModel("yolov8n.yaml", nc=1, verbose=False).half().state_dict()
    torch.save({"model": weights}, tmp_path / "weights.pt")
    recipe = DetectorRecipe(size=64, epochs=1, batch=2, lspet=0, workers=0, rate=0.0)
    made = train_detector(people, tmp_path / "run", recipe, init=tmp_path / "weights.pt")
    learned = Detector.load(made, fuse=False).network.state_dict()
    torch.testing.assert_close(learned["model.0.conv.weight"], weights["model.0.conv.weight"].float())
    torch.save({"model": [1, 2]}, tmp_path / "list.pt")
    with pytest.raises(PoseError, match="not an ultralytics detection model"):
        train_detector(people, tmp_path / "other", recipe, init=tmp_path / "list.pt")


@pytest.mark.models
def test_a_training_that_was_cut_off_goes_on_from_its_own_folder(
    people, tmp_path, monkeypatch, capfd
) -> None:
    out = tmp_path / "run"
    recipe = DetectorRecipe(size=64, epochs=2, batch=2, lspet=0, workers=0)
    with pytest.raises(PoseError, match="leave out --resume"):
        train_detector(people, out, recipe, resume=True)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(detector, "_tell", stop)
        train_detector(people, out, recipe)
    capfd.readouterr()
    # By default ultralytics would look for a run in the working directory.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = train_detector(people, out, recipe, resume=True)
    told = [line.split(",")[0] for line in capfd.readouterr().out.splitlines() if ", dev {" in line]
    assert told == ["epoch 2/2", "best"]
    # A second resume only writes the detector again.
    made.unlink()
    assert train_detector(people, out, recipe, resume=True) == made
    assert "epoch" not in capfd.readouterr().out
    Detector.load(made)
    ended, _, err = call(capfd, "train-detector", people, "--out", out)
    assert ended == 1
    assert "add --resume" in " ".join(err.split())
