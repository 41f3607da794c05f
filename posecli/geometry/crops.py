"""Crops around people, and conversion between frame and crop pixels. Training and inference share this code.

A crop has the same centre as the box. The box is enlarged by `factor` and extended to the aspect ratio of the
network. Affines map crop pixels to frame pixels. Integers are pixel centres on both sides. Decoded joints only
need a matrix product, and a crop is a warp with the inverse map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from posecli.types import Array, Flags, Image

Part = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


def crop_affines(
    boxes: Array,
    size: tuple[int, int],
    factor: float | tuple[float, float],
    *,
    rotation: Array | float = 0.0,
    zoom: Array | float = 1.0,
    shift: Array | float = 0.0,
    mirror: Flags | bool = False,
) -> Array:
    """Affines (N, 2, 3) float64 from crop pixels to frame pixels.

    boxes: (N, 4) xyxy in frame pixels.
    size: (height, width) of the crop in pixels.
    factor: crop side / box side, or a pair for width and height.
    rotation: degrees by which the crop is rotated clockwise.
    zoom: factor by which the person appears larger.
    shift: (N, 2) or 0, in box sides.
    mirror: (N,) whether to mirror the crop.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    n = len(boxes)
    height, width = size
    # A box xyxy covers [x1 - 0.5, x2 - 0.5), so its centre is half a pixel less than the mean.
    centre = (boxes[:, :2] + boxes[:, 2:] - 1) / 2  # (N, 2)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    across, down = np.broadcast_to(np.asarray(factor, np.float64), 2)
    side = np.maximum(np.maximum(wide * across / width, high * down / height), 1e-3)  # frame px per crop px
    scale = side / np.broadcast_to(np.asarray(zoom, np.float64), n)
    box_side = side * max(width, height) / max(across, down)
    centre = centre + np.broadcast_to(np.asarray(shift, np.float64), (n, 2)) * box_side[:, None]
    angle = np.deg2rad(np.broadcast_to(np.asarray(rotation, np.float64), n))
    sign = np.where(np.broadcast_to(np.asarray(mirror), n), -1.0, 1.0)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    affines = np.empty((n, 2, 3))
    affines[:, 0, 0], affines[:, 0, 1] = cos * sign, sin
    affines[:, 1, 0], affines[:, 1, 1] = -sin * sign, cos
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    affines[:, :, 2] = centre - affines[:, :, :2] @ middle
    return affines


def person_affines(
    boxes: Sequence[Array],
    size: tuple[int, int],
    factor: float | tuple[float, float],
    rotation: Array | float,
) -> list[Array]:
    """The affines of `crop_affines` for each picture's boxes. rotation: degrees, one for each person of all pictures."""
    ends = np.cumsum([0, *map(len, boxes)])
    turns = np.broadcast_to(np.asarray(rotation, np.float64), ends[-1])
    return [
        crop_affines(b, size, factor, rotation=turns[start:end])
        for b, (start, end) in zip(boxes, pairwise(ends), strict=True)
    ]


def cut(image: Image, affine: Array, size: tuple[int, int], part: Part | None = None) -> Image:
    """Cut a crop (height, width, 3) out of `image` with one bilinear warp.

    affine: (2, 3), crop pixels -> frame pixels. size: (height, width).
    Pixels outside the image are black. So are pixels outside `part`, if it is given.
    """
    if part is not None:
        x1, y1, x2, y2 = part
        image = image[y1:y2, x1:x2]
        affine = affine - [[0, 0, x1], [0, 0, y1]]
        if image.size == 0:
            return np.zeros((*size, 3), np.uint8)
    return cv2.warpAffine(  # type: ignore[return-value]
        image, affine, (size[1], size[0]), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )


def to_frame(points: Array, affines: Array) -> Array:
    """Convert points (N, K, 2) from crop pixels to frame pixels with affines (N, 2, 3)."""
    moved: Array = points @ affines[:, :, :2].transpose(0, 2, 1) + affines[:, None, :, 2]
    return moved


def to_crop(points: Array, affines: Array) -> Array:
    """Convert points (N, K, 2) from frame pixels to crop pixels. The inverse of `to_frame`."""
    inverse = np.linalg.inv(affines[:, :, :2])
    moved: Array = (points - affines[:, None, :, 2]) @ inverse.transpose(0, 2, 1)
    return moved
