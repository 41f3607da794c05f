"""Heatmap decoding and the conversion between crop pixels and heatmap cells, in numpy.

Heatmaps have a quarter of the crop's resolution. Cell c covers the pixels 4c to 4c + 3, so its centre lies at
crop pixel 4c + 1.5. Only this file uses that number.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np

from posecli.errors import PoseError
from posecli.types import Array

STRIDE = 4  # crop pixels per heatmap cell, for every network
CELL_CENTRE = (STRIDE - 1) / 2  # centre of cell 0 in crop pixels

Decoder = Literal["quarter", "dark", "soft-argmax", "second"]
DECODERS: tuple[Decoder, ...] = ("quarter", "dark", "soft-argmax", "second")


def cells_to_pixels(cells: Any) -> Any:
    """Convert heatmap cells, which may be fractions, to crop pixels."""
    return cells * STRIDE + CELL_CENTRE


def pixels_to_cells(pixels: Array) -> Array:
    """Convert crop pixels to heatmap cells."""
    return (pixels - CELL_CENTRE) / STRIDE


def moved(maps: Any, right: float, down: float = 0.0) -> Any:
    """Heatmaps (..., h, w) of numpy or torch, moved by a number of cells, which may be a fraction.

    Values between cells are interpolated linearly. At the border, the last cells are repeated.
    """
    for axis, cells in ((-1, right), (-2, down)):
        if not cells:
            continue
        whole, part = divmod(cells, 1)
        size = maps.shape[axis]
        near, far = ((np.arange(size) - int(whole) - n).clip(0, size - 1) for n in (0, 1))
        columns = (slice(None),) * (-1 - axis)  # all of them, if rows are moved
        maps = (1 - part) * maps[(..., near, *columns)] + part * maps[(..., far, *columns)]
    return maps


def decode(maps: Array, method: Decoder = "dark", sigma: float = 1.5) -> tuple[Array, Array]:
    """Decode heatmaps to joint positions.

    maps: (N, K, h, w) float, at any positive scale.
    Returns positions (N, K, 2) in crop pixels, and peaks (N, K): the largest value of each map, at least 0.
    Raises PoseError for an unknown method.

    quarter: argmax, moved by a quarter cell towards the higher neighbour (Newell et al. 2016).
    dark: one Newton step on the log of the smoothed map. The map is smoothed with the Gaussian that the
    network was trained with, sigma in cells (Zhang et al., CVPR 2020, eq. 3-9).
    soft-argmax: centre of mass of the 7 x 7 cells around the peak. The small window keeps a second person
    far away from shifting the result.
    second: blur with a 21 x 21 Gaussian, then move from the highest cell a quarter cell towards the second
    highest (Chen et al. 2018, as in pytorch-cpn).
    """
    n, k, h, w = maps.shape
    flat = np.ascontiguousarray(maps, dtype=np.float32).reshape(n * k, h, w)
    best = flat.reshape(n * k, -1).argmax(axis=1)
    y, x = np.divmod(best, w)
    peaks = np.maximum(flat.reshape(n * k, -1)[np.arange(n * k), best], 0.0)
    if method == "quarter":
        dx, dy = _quarter_shift(flat, x, y)
    elif method == "dark":
        dx, dy = _dark_step(flat, x, y, sigma)
    elif method == "soft-argmax":
        dx, dy = _mass_centre(flat, x, y)
    elif method == "second":
        x, y, dx, dy = _toward_second(flat)
    else:
        raise PoseError(f"There is no decoder {method!r}; choose one of {', '.join(DECODERS)}.")
    cells = np.stack([x + dx, y + dy], axis=-1).reshape(n, k, 2)
    return cells_to_pixels(cells), peaks.reshape(n, k)


def _quarter_shift(maps: Array, x: Array, y: Array) -> tuple[Array, Array]:
    around = _patches(maps, x, y, 1)  # (M, 3, 3)
    h, w = maps.shape[1:]
    dx = 0.25 * np.sign(around[:, 1, 2] - around[:, 1, 0]) * ((x > 0) & (x < w - 1))
    dy = 0.25 * np.sign(around[:, 2, 1] - around[:, 0, 1]) * ((y > 0) & (y < h - 1))
    return dx, dy


def _mass_centre(maps: Array, x: Array, y: Array) -> tuple[Array, Array]:
    around = np.maximum(_patches(maps, x, y, 3), 0)  # (M, 7, 7)
    offsets = np.arange(-3, 4)
    mass = np.maximum(around.sum(axis=(1, 2)), 1e-12)
    return (around.sum(axis=1) @ offsets) / mass, (around.sum(axis=2) @ offsets) / mass


def _dark_step(maps: Array, x: Array, y: Array, sigma: float) -> tuple[Array, Array]:
    """A Newton step towards the maximum of the smoothed log map, at most 1.5 cells per axis."""
    # The derivatives need only 3 x 3 cells, so only these are smoothed. The kernel reaches 2 cells. A joint
    # 3 cells inside the map is therefore decoded without values from beyond its border.
    reach, radius = 1, 2
    around = np.maximum(_patches(maps, x, y, reach + radius), 0)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    width = 2 * reach + 1
    band = np.zeros((width, width + 2 * radius), np.float32)  # band @ patch smooths along an axis
    for i in range(width):
        band[i, i : i + len(kernel)] = kernel
    smooth = band @ around @ band.T  # (M, 3, 3)
    log = np.log(np.maximum(smooth, 1e-10))
    c = reach
    gx = 0.5 * (log[:, c, c + 1] - log[:, c, c - 1])
    gy = 0.5 * (log[:, c + 1, c] - log[:, c - 1, c])
    gxx = log[:, c, c + 1] - 2 * log[:, c, c] + log[:, c, c - 1]
    gyy = log[:, c + 1, c] - 2 * log[:, c, c] + log[:, c - 1, c]
    gxy = 0.25 * (log[:, c + 1, c + 1] - log[:, c + 1, c - 1] - log[:, c - 1, c + 1] + log[:, c - 1, c - 1])
    det = gxx * gyy - gxy**2
    # The step makes sense only at a maximum, not on flat maps or saddle points.
    good = (det > 1e-6) & (gxx < 0)
    det = np.where(good, det, 1.0)
    dx = np.where(good, -(gyy * gx - gxy * gy) / det, 0.0)
    dy = np.where(good, -(gxx * gy - gxy * gx) / det, 0.0)
    return np.clip(dx, -1.5, 1.5), np.clip(dy, -1.5, 1.5)


def _toward_second(maps: Array) -> tuple[Array, Array, Array, Array]:
    """(x, y, dx, dy): the highest cell of the blurred map, and a quarter cell towards the second highest."""
    m, _, w = maps.shape
    highest = np.maximum(maps.reshape(m, -1).max(axis=1), 1e-12)
    blurred = np.empty_like(maps)
    for i in range(m):
        # The map is 0 outside its border.
        blurred[i] = cv2.GaussianBlur(maps[i] / highest[i], (21, 21), 0, borderType=cv2.BORDER_CONSTANT)
    flat = blurred.reshape(m, -1)
    order = np.argpartition(flat, -2, axis=1)[:, -2:]  # the two highest, the higher one last
    (ay, ax), (by, bx) = (np.divmod(order[:, k], w) for k in (1, 0))
    length = np.maximum(np.hypot(bx - ax, by - ay), 1e-3)
    return ax, ay, 0.25 * (bx - ax) / length, 0.25 * (by - ay) / length


def _patches(maps: Array, x: Array, y: Array, radius: int) -> Array:
    """The cells (M, 2r+1, 2r+1) around cell (x, y) of each of the M maps. Border cells are repeated."""
    h, w = maps.shape[1:]
    offsets = np.arange(-radius, radius + 1)
    ys = np.clip(y[:, None] + offsets, 0, h - 1)
    xs = np.clip(x[:, None] + offsets, 0, w - 1)
    chosen: Array = maps[np.arange(len(maps))[:, None, None], ys[:, :, None], xs[:, None, :]]
    return chosen
