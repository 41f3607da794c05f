import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from posecli.geometry.crops import crop_affines, cut, to_crop, to_frame
from posecli.geometry.heatmaps import STRIDE, decode, pixels_to_cells

sizes = st.sampled_from([(128, 128), (192, 192), (256, 192)])


def test_a_box_s_edges_land_on_the_crop_s_edges() -> None:
    # A box covers [x - 0.5, x + w - 0.5); at factor 1 the crop covers [-0.5, side - 0.5).
    affine = crop_affines(np.array([[10, 20, 110, 120]]), (200, 200), 1.0)
    corners = to_crop(np.array([[[9.5, 19.5], [109.5, 119.5]]]), affine)
    np.testing.assert_allclose(corners[0], [[-0.5, -0.5], [199.5, 199.5]], atol=1e-9)


def test_the_crop_is_grown_to_the_network_s_aspect() -> None:
    affine = crop_affines(np.array([[0, 0, 30, 120]]), (256, 192), 1.25)
    side = np.linalg.norm(affine[0, :, 0])
    assert np.isclose(side, 1.25 * 120 / 256)


@given(
    x=st.floats(-50, 300), y=st.floats(-50, 300), w=st.floats(5, 400), h=st.floats(5, 400), size=sizes,
    rotation=st.floats(-180, 180), zoom=st.floats(0.5, 2), mirror=st.booleans(),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_frame_to_crop_and_back_is_the_identity(x, y, w, h, size, rotation, zoom, mirror) -> None:
    affine = crop_affines(
        np.array([[x, y, x + w, y + h]]), size, 1.2, rotation=rotation, zoom=zoom, mirror=mirror
    )
    points = np.random.default_rng(0).uniform(-100, 500, (1, 7, 2))
    np.testing.assert_allclose(to_frame(to_crop(points, affine), affine), points, atol=1e-6)


@given(
    rotation=st.floats(-180, 180), zoom=st.floats(0.7, 1.4), mirror=st.booleans(),
    seed=st.integers(0, 10_000), size=sizes, sigma=st.sampled_from([1.0, 1.5, 2.0]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_decoding_a_target_gives_the_keypoint_back_within_a_tenth_of_a_pixel(
    rotation, zoom, mirror, seed, size, sigma
) -> None:
    import torch

    from posecli.training.losses import gaussian_targets

    rng = np.random.default_rng(seed)
    box = np.array([[40.0, 30.0, 240.0, 330.0]])
    affine = crop_affines(box, size, 1.2, rotation=rotation, zoom=zoom, mirror=mirror)
    margin = 3.5 * STRIDE + 2
    inside = rng.uniform(margin, np.array([size[1], size[0]]) - margin, (1, 19, 2))
    keypoints = to_frame(inside, affine)
    cells = pixels_to_cells(to_crop(keypoints, affine))
    maps = gaussian_targets(torch.from_numpy(cells), (size[0] // 4, size[1] // 4), sigma).numpy()
    found, _ = decode(maps, "dark", sigma)
    assert np.abs(found - inside).max() < 0.1


def test_the_warp_puts_a_pixel_where_the_affine_says() -> None:
    image = np.zeros((100, 120, 3), np.uint8)
    image[40:43, 60:63] = 255
    affine = crop_affines(np.array([[30, 20, 90, 80]]), (128, 128), 1.2, rotation=30)
    crop = cut(image, affine[0], (128, 128))
    moments = cv2.moments(crop[..., 0])
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    expected = to_crop(np.array([[[61.0, 41.0]]]), affine)[0, 0]
    assert np.abs(centre - expected).max() < 0.1


def test_outside_the_picture_is_black() -> None:
    image = np.full((50, 50, 3), 200, np.uint8)
    crop = cut(image, crop_affines(np.array([[-100, -100, -50, -50]]), (64, 64), 1.0)[0], (64, 64))
    assert crop.max() == 0
