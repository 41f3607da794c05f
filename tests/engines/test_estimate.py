from dataclasses import replace

import numpy as np
import pytest
import torch

from posecli.engines.estimator import Estimator, normalise
from posecli.geometry.crops import to_crop
from posecli.geometry.heatmaps import pixels_to_cells
from posecli.models.checkpoints import build, load_model, read_spec, save_checkpoint
from posecli.skeletons import BODY19
from tests.support.stand_ins import SPEC


class Painter(torch.nn.Module):
    """A network that answers a joint's map wherever the crop is bright: a known truth for the pipeline."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        light = torch.nn.functional.avg_pool2d(crops.mean(dim=1, keepdim=True), 4)
        return (3 * light)[:, None].expand(-1, 2, 19, -1, -1)


def test_a_light_in_the_frame_is_found_where_it_is() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[88:93, 148:153] = 255  # centre (150, 90)
    estimator = Estimator(Painter(), SPEC, decoder="soft-argmax")
    [points] = estimator.estimate([image], [np.array([[100, 50, 190, 140]], np.float32)])
    assert np.abs(points[0, :, :2] - [150, 90]).max() < 2.5


def test_the_flip_test_puts_mirrored_maps_back(monkeypatch) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:66, 115:121] = 255
    boxes = [np.array([[100, 50, 190, 140]], np.float32)]
    plain = Estimator(Painter(), SPEC, decoder="soft-argmax").estimate([image], boxes)[0]
    flipped = Estimator(Painter(), SPEC, decoder="soft-argmax", flip_test=True).estimate([image], boxes)[0]
    assert np.abs(plain - flipped)[..., :2].max() < 0.5


def test_the_flip_test_exchanges_left_and_right() -> None:
    class SidedNetwork(torch.nn.Module):
        """Joint k's map is lit at column k whatever it sees."""

        def forward(self, crops):
            maps = torch.zeros(len(crops), 1, 19, 16, 16)
            for k in range(16):
                maps[:, :, k, 8, k] = 40.0
            return maps

    spec = SPEC
    maps = Estimator(SidedNetwork(), spec, flip_test=True).maps(np.zeros((1, 64, 64, 3), np.uint8))
    left, right = BODY19.joints.index("left_shoulder"), BODY19.joints.index("right_shoulder")
    # The mirrored answer for the left shoulder is the right shoulder's map, mirrored: column 15 - 6.
    assert maps[0, 0, left, 8, 15 - right] > 0.3 * maps[0, 0, left].max()


def test_people_of_several_pictures_come_back_in_their_place() -> None:
    network = build(SPEC).eval()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (90, 120, 3), np.uint8) for _ in range(3)]
    boxes = [np.array([[5, 5, 60, 80], [30, 10, 100, 80]]), np.zeros((0, 4)), np.array([[1, 2, 50, 70]])]
    together = Estimator(network, SPEC, batch_size=2).estimate(images, boxes)
    assert [len(p) for p in together] == [2, 0, 1]
    for image, of_image, expected in zip(images, boxes, together, strict=True):
        [alone] = Estimator(network, SPEC).estimate([image], [of_image])
        np.testing.assert_allclose(alone, expected, atol=1e-3)


def test_confidence_goes_through_the_calibration() -> None:
    assert SPEC.confidence(np.array([0.0, 0.5, 1.0, 7.0])).tolist() == pytest.approx([0.1, 0.5, 0.9, 0.9])


def test_a_joint_can_have_a_calibration_of_its_own(tmp_path) -> None:
    spec = replace(SPEC, own_calibration={"left_ankle": ((0.0, 1.0), (0.0, 0.2))})
    save_checkpoint(tmp_path / "x.safetensors", build(spec).state_dict(), spec)
    spec = read_spec(tmp_path / "x.safetensors")
    found = spec.confidence(np.full((2, len(spec.bones.joints)), 0.5))
    ankle = spec.bones.joints.index("left_ankle")
    assert found[:, ankle].tolist() == pytest.approx([0.1, 0.1])
    assert np.delete(found, ankle, axis=1) == pytest.approx(0.5)


def test_input_is_rgb_with_mean_and_std() -> None:
    blue = np.zeros((1, 2, 2, 3), np.uint8)
    blue[..., 0] = 255  # BGR
    x = normalise(torch.from_numpy(blue), SPEC)[0, :, 0, 0]
    expected = [(c - m) / s for c, m, s in zip((0, 0, 1), SPEC.mean, SPEC.std, strict=True)]
    assert x.tolist() == pytest.approx(expected, rel=1e-5)


def test_heatmaps_lie_where_the_joints_are() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[88:93, 148:153] = 255
    estimator = Estimator(Painter(), SPEC)
    [(_, (maps,))] = estimator.estimate_with_maps([image], [np.array([[100, 50, 190, 140]])])
    y, x = np.unravel_index(maps.maps[-1, 0].argmax(), maps.maps.shape[2:])
    cell = pixels_to_cells(to_crop(np.array([[[150.0, 90.0]]]), maps.affine[None]))[0, 0]
    assert np.abs(cell - [x, y]).max() <= 0.75


def test_a_checkpoint_gives_back_network_and_spec(tmp_path) -> None:
    network = build(SPEC).eval()
    save_checkpoint(tmp_path / "x.safetensors", network.state_dict(), SPEC)
    back, spec = load_model(tmp_path / "x.safetensors")
    assert spec == read_spec(tmp_path / "x.safetensors")
    assert (spec.architecture, spec.input_size, spec.calibration) == (
        SPEC.architecture,
        (64, 64),
        SPEC.calibration,
    )
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(x), back(x), atol=2e-2)
    assert not list(tmp_path.glob("*.part"))


class Leaning(Estimator):
    """Says that everybody lies, with a confidence for the usual crop and one for crops that are turned."""

    confidences = (0.5, 0.6)

    def _look(self, images, boxes, rotation, keep, timer):
        turned = bool(np.any(rotation))
        self.asked = [
            *getattr(self, "asked", []),
            (len(images), [len(b) for b in boxes], np.asarray(rotation)),
        ]
        points = np.zeros((sum(map(len, boxes)), len(self.spec.bones.joints), 3), np.float32)
        points[:, BODY19.joints.index("left_shoulder"), 0] = points[
            :, BODY19.joints.index("right_shoulder"), 0
        ] = 100
        points[:, :, 1] = 7.0 if turned else 0.0
        points[:, :19, 2] = self.confidences[turned]
        points[:, 19:, 2] = not turned  # heels and toes are surer in the usual crop
        return points, []


BOXES = [np.zeros((2, 4), np.float32), np.zeros((0, 4), np.float32), np.ones((1, 4), np.float32)]
PICTURES = [np.zeros((4, 4, 3), np.uint8)] * 3


def test_people_who_lean_are_looked_at_again_in_a_turned_crop() -> None:
    estimator = Leaning(None, replace(SPEC, second_look=True))
    found = estimator.estimate(PICTURES, BOXES)
    assert [len(f) for f in found] == [2, 0, 1]
    assert all((f[..., 1] == 7).all() for f in found)  # the second answer, which is surer
    (_, _, first), (pictures, counts, again) = estimator.asked
    assert not first.any()
    assert (pictures, counts) == (2, [2, 1])
    assert again.tolist() == [-90, -90, -90]  # counter-clockwise: the head lies to the right


def test_the_second_look_counts_only_where_it_is_surer() -> None:
    estimator = Leaning(None, replace(SPEC, second_look=True))
    estimator.confidences = (0.5, 0.55)
    assert all((f[..., 1] == 0).all() for f in estimator.estimate(PICTURES, BOXES))
    feet = Leaning(None, replace(SPEC, second_look=True, skeleton="body23"))
    assert all((f[..., 1] == 7).all() for f in feet.estimate(PICTURES, BOXES))  # they do not count
    once = Leaning(None, SPEC)
    once.estimate(PICTURES, BOXES)
    assert len(once.asked) == 1  # networks that do not ask for it
