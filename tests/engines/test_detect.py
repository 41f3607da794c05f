import numpy as np
import pytest
import torch

from posecli.engines.detector import Detector, _padded, _scaled, fused
from posecli.errors import PoseError
from posecli.models import weights
from posecli.sources.photos import read_photo
from posecli.types import Boxes


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(weights.find_detector(weights.DETECTOR))


def test_the_man_in_front_of_the_bus_is_found(detector, bus) -> None:
    found = detector.find(read_photo(bus))
    man = np.array([50, 400, 245, 905])  # read off the photo by eye
    overlap = [
        np.clip(np.minimum(b[2:], man[2:]) - np.maximum(b[:2], man[:2]), 0, None).prod() for b in found.xyxy
    ]
    areas = (found.xyxy[:, 2:] - found.xyxy[:, :2]).prod(axis=1) + (man[2:] - man[:2]).prod() - overlap
    assert max(np.array(overlap) / areas) > 0.6
    assert (np.diff(found.scores) <= 0).all()
    assert found.xyxy.dtype == np.float32


def test_boxes_are_in_the_picture_s_pixels_whatever_its_size(detector, bus) -> None:
    import cv2

    photo = read_photo(bus)
    best = detector.find(photo).xyxy[0]
    half = detector.find(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)).xyxy[0]
    assert np.abs(best - 2 * half).max() < 25


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (40, 50)])
def test_tiny_and_thin_pictures_are_no_trouble(detector, shape) -> None:
    detector.find(np.zeros((*shape, 3), np.uint8))


def test_pictures_keep_their_aspect_and_are_padded_to_32() -> None:
    padded, (left, top) = _padded(_scaled(np.zeros((300, 500, 3), np.uint8), 416))
    assert padded.shape[0] % 32 == padded.shape[1] % 32 == 0
    assert (left, top) == ((padded.shape[1] - 416) // 2, (padded.shape[0] - 250) // 2)


def test_finds_of_several_sizes_become_one_box_a_person() -> None:
    small = Boxes(np.array([[100, 100, 300, 900], [600, 600, 640, 700.0]]), np.array([0.8, 0.3]))
    large = Boxes(np.array([[100, 100, 300, 700], [102, 100, 298, 860], [602, 600, 642, 702.0]]), np.array([0.7, 0.4, 0.9]))  # fmt: skip
    found = fused([small, large], [256 / 1000, 416 / 1000])
    assert len(found) == 2
    assert (np.diff(found.scores) <= 0).all()
    tall = found.xyxy[:, 3].argmax()
    assert 820 < found.xyxy[tall, 3] < 900  # large people are seen best in the small picture
    assert 0.7 < found.scores[tall] < 0.8
    assert 0.3 < found.scores[1 - tall] < 0.9
    # What one size alone sees is less sure, and boxes of different people stay apart.
    lonely = fused([Boxes.none(), large.take(np.array([2]))], [0.256, 0.416])
    assert lonely.scores[0] < 0.9 * 0.8
    np.testing.assert_allclose(lonely.xyxy[0], large.xyxy[2], atol=1e-4)
    assert len(fused([Boxes.none(), Boxes.none()], [1, 2])) == 0


def test_torch_keeps_its_threads(bus) -> None:
    before = torch.get_num_threads()
    Detector.load(weights.find_detector(weights.DETECTOR)).find(read_photo(bus))
    assert torch.get_num_threads() == before


class Evil:
    def __reduce__(self):
        return (print, ("pickle ran code",))


def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys) -> None:
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(PoseError, match="loaded safely"):
        Detector.load(tmp_path / "evil.pt")
    assert "pickle ran code" not in capsys.readouterr().out


def test_a_file_that_is_no_detector_is_one_sentence(tmp_path) -> None:
    (tmp_path / "text.pt").write_text("x")
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "tensors.pt")
    for name in ("text.pt", "tensors.pt", "missing.pt"):
        with pytest.raises(PoseError):
            Detector.load(tmp_path / name)
