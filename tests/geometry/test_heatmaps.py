import numpy as np
import pytest
import torch

from posecli.errors import PoseError
from posecli.geometry.heatmaps import DECODERS, cells_to_pixels, decode, moved, pixels_to_cells


def gaussian(x: float, y: float, sigma: float = 1.5, size: int = 48) -> np.ndarray:
    grid = np.arange(size)
    return np.exp(-0.5 * (((grid - x) / sigma)[None] ** 2 + ((grid - y) / sigma)[:, None] ** 2))


def test_cell_c_lies_at_crop_pixel_4c_plus_one_and_a_half() -> None:
    assert cells_to_pixels(np.array([0.0, 10.0])).tolist() == [1.5, 41.5]
    assert pixels_to_cells(np.array([1.5, 41.5])).tolist() == [0.0, 10.0]


def test_the_quarter_shift_goes_toward_the_higher_neighbour() -> None:
    maps = gaussian(20.3, 11.8)[None, None]
    found, _ = decode(maps, "quarter")
    assert found[0, 0].tolist() == [4 * 20.25 + 1.5, 4 * 11.75 + 1.5]


@pytest.mark.parametrize(("method", "tolerance"), [("dark", 0.05), ("soft-argmax", 1.0), ("quarter", 1.0)])
def test_each_decoder_finds_a_gaussian_within_its_precision(method, tolerance) -> None:
    found, peaks = decode(gaussian(20.3, 11.8)[None, None], method)
    assert np.abs(found[0, 0] - (4 * np.array([20.3, 11.8]) + 1.5)).max() < tolerance
    assert 0.9 < peaks[0, 0] <= 1


@pytest.mark.parametrize("method", DECODERS)
def test_flat_and_border_maps_give_numbers(method) -> None:
    maps = np.stack([np.zeros((48, 48)), np.full((48, 48), 0.3), gaussian(0, 0), gaussian(47, 47)])[None]
    found, peaks = decode(maps, method)
    assert np.isfinite(found).all()
    assert (peaks >= 0).all()
    assert (np.abs(found[0, 2] - 1.5) < 6).all()


def test_a_far_second_person_does_not_pull_the_soft_argmax() -> None:
    alone, _ = decode(gaussian(10, 10)[None, None], "soft-argmax")
    two, _ = decode((gaussian(10, 10) + 0.8 * gaussian(40, 40))[None, None], "soft-argmax")
    assert np.abs(alone - two).max() < 1e-3


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-1, 0), (0.75, 0), (-0.375, -0.375), (2.5, 1.25)])
def test_maps_move_by_parts_of_a_cell(right, down) -> None:
    maps = gaussian(20.0, 11.0)[None, None]
    there = moved(maps, right, down)
    np.testing.assert_allclose(there.sum(), maps.sum(), rtol=1e-3)
    [[centre]], _ = decode(there, "dark")
    np.testing.assert_allclose(centre, cells_to_pixels(np.array([20.0 + right, 11.0 + down])), atol=0.1)
    np.testing.assert_allclose(moved(torch.from_numpy(maps), right, down).numpy(), there)


def test_the_border_of_moved_maps_is_repeated() -> None:
    row = np.array([[0.0, 1.0, 2.0, 3.0]])
    assert moved(row, 1).tolist() == [[0.0, 0.0, 1.0, 2.0]]
    assert moved(row, -1.5).tolist() == [[1.5, 2.5, 3.0, 3.0]]


def test_an_unknown_decoder_is_a_sentence() -> None:
    with pytest.raises(PoseError, match="choose one of quarter"):
        decode(np.zeros((1, 1, 8, 8)), "best")  # type: ignore[arg-type]
