import numpy as np
import pytest
import torch

from posecli.engines.detector import Detector, _padded, _scaled
from posecli.errors import PoseError
from posecli.models import weights
from posecli.sources.photos import read_photo


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


@pytest.mark.parametrize("shape", [(720, 1280), (1081, 1921), (2160, 3840), (3000, 1)])
def test_large_pictures_are_averaged(shape) -> None:
    """Every second pixel is white. Picking single pixels would give black and white patterns."""
    board = np.indices(shape).sum(axis=0) % 2 * np.uint8(255)
    small = _scaled(np.repeat(board[..., None], 3, axis=2).astype(np.uint8), 416)
    assert max(small.shape) == 416
    assert np.abs(small.astype(int) - 127).max() <= 2


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
