"""Crops cut and maps decoded in torch: the same as OpenCV's and numpy's, and so are the joints."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from posecli.engines import devices
from posecli.engines import load as loading
from posecli.engines.check import PEOPLE, Verdict, photo
from posecli.engines.load import load_estimator
from posecli.errors import PoseWarning
from posecli.geometry.crops import crop_affines, cut
from posecli.geometry.heatmaps import decode
from posecli.geometry.on_device import cut_crops, decode_dark


def test_crops_are_opencv_s() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8), (0, 0), 2)
    boxes = np.array(
        [[20, 10, 90, 110], [150, 60, 230, 150], [-40, -30, 30, 40]], np.float64
    )  # two lie partly outside
    affines = crop_affines(
        boxes, (64, 48), 1.2, rotation=np.array([0, 40.0, 0]), mirror=np.array([False, True, False])
    )
    theirs = (
        cut_crops(torch.from_numpy(image), torch.from_numpy(affines), (64, 48)).permute(0, 2, 3, 1).numpy()
    )
    for affine, crop in zip(affines, theirs, strict=True):
        gap = np.abs(cut(image, affine, (64, 48)).astype(float) - crop)
        assert gap.mean() < 0.3  # OpenCV interpolates in steps of 1/32 pixel
        assert np.percentile(gap, 99) < 2.5


def test_decoding_is_numpy_s() -> None:
    rng = np.random.default_rng(1)
    maps = np.stack([cv2.GaussianBlur(rng.random((24, 32)).astype(np.float32), (0, 0), 2) for _ in range(12)])
    maps[3] = 0  # nothing there
    maps[4, 0, 31] = 2  # in the corner
    maps = maps.reshape(3, 4, 24, 32)
    points, peaks = decode(maps, "dark", 1.5)
    theirs, heights = decode_dark(torch.from_numpy(maps), 1.5)
    np.testing.assert_allclose(theirs.numpy(), points, atol=2e-3)
    np.testing.assert_allclose(heights.numpy(), peaks, atol=1e-6)


@pytest.mark.models
@pytest.mark.parametrize("flip_test", [False, True])
def test_the_whole_way_gives_the_same_joints(flip_test) -> None:
    estimator = load_estimator("small", "cpu", backend="torch", flip_test=flip_test, batch_size=3)
    images, boxes = [photo(), photo()], [PEOPLE, np.zeros((0, 4), np.float32)]
    for one, other in ((0, 0), (1, 1)):
        a = estimator.estimate(images, boxes)[one]
        b = estimator.estimate_on_device(images, boxes)[other]
        assert a.shape == b.shape
        sure = a[..., 2] > 0.5
        # Frame pixels; people are up to 500 high. DARK makes more of small differences where a map has two peaks.
        gaps = np.sort(np.abs(a - b)[sure].max(axis=1)) if sure.any() else np.zeros(1)
        assert gaps[: int(0.95 * len(gaps))].max(initial=0) < 0.7
        assert gaps.max(initial=0) < 4
    assert [len(k) for k in estimator.estimate_on_device([], [])] == []


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A "card" that is the CPU: what is chosen where there is one can be tried without one."""

    class Card:
        type = "cuda"

        def __str__(self):
            return "cuda"

    found = Card()
    monkeypatch.setattr("posecli.engines.check.converted_folder", lambda: tmp_path / "openvino")
    monkeypatch.setattr(loading, "device_name", lambda _: "a card")
    monkeypatch.setattr(loading, "half_of", lambda _: torch.bfloat16)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_, **__: self)
    real = replace

    def stay(estimator, **changes):
        if changes.get("device") is found:
            changes["device"] = torch.device("cpu")
        return real(estimator, **changes)

    monkeypatch.setattr(loading, "replace", stay)
    return found


def test_a_card_is_used_in_the_faster_precision_that_is_right(card, monkeypatch) -> None:
    monkeypatch.setattr(
        loading,
        "compare_estimators",
        lambda _, other: Verdict(0.2, 1.0, 2.0 if other.precision else 5.0, 40.0),
    )
    assert load_estimator("small", card).precision == torch.bfloat16
    assert load_estimator("small", card, backend="torch").precision is None


@pytest.mark.models
def test_a_card_that_gives_other_joints_is_not_used_and_it_is_said(card, monkeypatch) -> None:
    monkeypatch.setattr(loading, "compare_estimators", lambda *_: Verdict(7.0, 1.0, 1.0, 40.0))
    with pytest.warns(
        PoseWarning, match=r"cuda \(torch-half\) gives other results than the CPU here and is not used"
    ):
        estimator = load_estimator("small", card)
    assert (estimator.device.type, estimator.precision) == ("cpu", None)


def test_sixteen_bits_by_device(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert devices.half_of(torch.device("cuda")) == torch.float16
    assert devices.half_of(torch.device("mps")) == torch.float16
    assert devices.half_of(torch.device("cpu")) == torch.bfloat16
