"""What the detector is taught, label by label, and that a detector comes out of a training."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from posecli.detect import Detector
from posecli.errors import PoseError
from posecli.training import detector
from posecli.training.detector import DetectorRecipe, train_detector
from posecli.training.detector_photos import write_dataset
from posecli.types import Boxes
from tests.test_cli import call

SIDE = 200
IN_DEV = 27  # its number leaves 7 when divided by 20


class Finder:
    """A detector that is sure of the same two boxes in every picture."""

    def find(self, _):
        return Boxes(np.array([[20, 20, 80, 180], [120, 20, 180, 180.0]]), np.array([0.9, 0.8]))


def photo(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE, **more}


def person(number: int, photo: int, box: list[int], crowd: int = 0) -> dict[str, object]:
    return {"id": number, "image_id": photo, "category_id": 1, "bbox": box, "iscrowd": crowd}


@pytest.fixture
def people(tmp_path):
    """A labelled person in each of six photos: two of COCO (one holds a crowd), two of lspet, two whose numbers are dev's."""
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


def test_nobody_unlabelled_is_taught_as_background(people, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Detector, "load", lambda *_, **__: Finder())
    out = tmp_path / "data"
    write_dataset(people, out, 1, people)
    assert sorted(p.stem for p in (out / "images" / "train").iterdir()) == ["1", "2", "3"]  # one of lspet
    # In dev only photos in which everybody is labelled can be scored.
    assert [p.stem for p in (out / "images" / "dev").iterdir()] == [str(IN_DEV)]
    half = 60 / 200, 160 / 200
    np.testing.assert_allclose(labels(out, "train", 1), [[0.25, 0.5, *half]], atol=1e-5)
    # The one labelled and the other whom the detector is sure of; not twice the same.
    np.testing.assert_allclose(labels(out, "train", 2), [[0.25, 0.5, *half], [0.75, 0.5, *half]], atol=1e-5)
    # A photo of lspet is cut so close that nobody else is left in it.
    picture = cv2.imread(str(out / "images" / "train" / "3.jpg"))
    assert picture.shape[1] < 75
    [[x, y, w, h]] = labels(out, "train", 3)
    assert (abs(x - 0.5) < 0.02, abs(y - 0.5) < 0.02, 0.8 < w < 0.95, 0.8 < h < 0.95) == (True,) * 4


def test_photos_of_lspet_without_a_box_are_left_out(people, tmp_path) -> None:
    document = json.loads(people.read_text())
    document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 3]
    people.write_text(json.dumps(document))
    write_dataset(people, tmp_path / "data", 2, None)
    assert sorted(p.stem for p in (tmp_path / "data" / "images" / "train").iterdir()) == ["1", "2", "4"]


def test_crowds_are_grey_but_for_the_people_with_boxes(people, tmp_path) -> None:
    out = tmp_path / "data"
    write_dataset(people, out, 0, None)
    picture = cv2.imread(str(out / "images" / "train" / "1.jpg")).astype(int)
    assert np.abs(picture[:, 90:] - 114).max() < 12
    assert picture[40:160, 30:70].std() > 20  # labelled, though in the crowd
    assert len(labels(out, "train", 2)) == 1


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
    # Half of what it began from stays, where asked for.
    recipe = replace(recipe, rate=0.01, init_share=0.5)
    both = Detector.load(train_detector(people, tmp_path / "more", recipe, init=made), fuse=False)
    learned = torch.load(tmp_path / "more" / "run" / "weights" / "best.pt", weights_only=False)["model"]
    before = Detector.load(made, fuse=False).network
    for name in ("model.0.conv.weight", "model.0.bn.running_mean"):
        a, b, c = (n.state_dict()[name].float() for n in (before, learned, both.network))
        assert not torch.equal(a, b)
        torch.testing.assert_close(c, (a + b) / 2, atol=1e-3, rtol=2e-3)
    with pytest.raises(PoseError, match="--init"):
        train_detector(people, tmp_path / "third", recipe)
    ended, _, err = call(capfd, "train-detector", tmp_path / "none.json", "--out", tmp_path / "other")
    assert ended == 1
    assert "There is no annotation file" in " ".join(err.split())


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
    # ultralytics by itself would look for a run below the folder the command is called in.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = train_detector(people, out, recipe, resume=True)
    told = [line.split(",")[0] for line in capfd.readouterr().out.splitlines() if ", dev {" in line]
    assert told == ["epoch 2/2", "best"]
    # Once more, nothing is left to do but to write what was learned.
    made.unlink()
    assert train_detector(people, out, recipe, resume=True) == made
    assert "epoch" not in capfd.readouterr().out
    Detector.load(made)
    ended, _, err = call(capfd, "train-detector", people, "--out", out)
    assert ended == 1
    assert "add --resume" in " ".join(err.split())
