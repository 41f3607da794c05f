"""Crops and decoding in torch give the same result as OpenCV and numpy."""

import cv2
import numpy as np
import pytest
import torch

from posecli.engines import devices
from posecli.engines.check import PEOPLE, picture
from posecli.engines.load import load_estimator
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
    images, boxes = [picture(), picture()], [PEOPLE, np.zeros((0, 4), np.float32)]
    [a, nobody] = estimator.estimate(images, boxes)
    b = estimator.joints_on_device(images, boxes)
    assert len(nobody) == 0
    assert a.shape == b.shape
    sure = a[..., 2] > 0.5
    # Frame pixels. People are up to 500 pixels high. DARK amplifies small differences if a heatmap has two peaks.
    gaps = np.sort(np.abs(a - b)[sure].max(axis=1))
    assert gaps[: int(0.95 * len(gaps))].max() < 0.7
    assert gaps.max() < 4
    turned = estimator.joints_on_device(images, boxes, np.array([90.0, 0, 0, 0]))
    assert np.abs(turned - b)[0].max() > 1
    np.testing.assert_allclose(turned[1:], b[1:])
    assert len(estimator.joints_on_device([], [])) == 0


def test_sixteen_bits_by_device(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert devices.half_of("cuda") == torch.float16
    assert devices.half_of("mps") == torch.float16
    assert devices.half_of("cpu") == torch.bfloat16
