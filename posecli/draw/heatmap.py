"""Draws heatmaps over an image at their exact position, and contact sheets of all heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from posecli.errors import PoseError
from posecli.geometry.heatmaps import CELL_CENTRE, STRIDE
from posecli.skeletons import Skeleton
from posecli.types import Array, Heatmaps, Image

OPACITY = 0.65
TILE_LABEL = 18  # height in pixels of the row with joint names
STACK_LABEL = 56  # width in pixels of the column with stack names


def draw_heatmaps(image: Image, heatmaps: Sequence[Heatmaps], joints: Sequence[int]) -> None:
    """Draw the heatmaps of the last stack for the chosen joints over the image, in place.

    Each heatmap is warped with the affine of its crop: cell -> crop pixel -> frame pixel.
    """
    for person in heatmaps:
        strongest = person.maps[-1][list(joints)].max(axis=0)  # (h, w)
        _blend(image, np.clip(strongest, 0, 1), cells_to_frame(person.affine))


def cells_to_frame(affine: Array) -> Array:
    """Convert an affine (2, 3) from crop pixels to frame pixels into one from heatmap cells to frame pixels."""
    scaled: Array = affine * [STRIDE, STRIDE, 1.0]
    scaled[:, 2] += affine[:, :2] @ [CELL_CENTRE, CELL_CENTRE]
    return scaled


def _blend(image: Image, heat: Array, affine: Array) -> None:
    h, w = heat.shape
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]]) @ affine.T  # (4, 2) frame pixels
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(corners.min(axis=0)), 0, [width, height]).astype(int)
    x2, y2 = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, [width, height]).astype(int)
    if x2 <= x1 or y2 <= y1:
        return
    moved = affine - np.array([[0, 0, x1], [0, 0, y1]])
    warped = cv2.warpAffine(heat.astype(np.float32), moved, (int(x2 - x1), int(y2 - y1)))
    colours = cv2.applyColorMap((warped * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    weight = (OPACITY * np.sqrt(warped))[..., None]
    region = image[y1:y2, x1:x2]
    region[:] = (region * (1 - weight) + colours * weight).astype(np.uint8)


def heatmap_sheet(
    crop: Image, maps: Array, skeleton: Skeleton, names: Sequence[str], tile: int = 128
) -> Image:
    """A contact sheet with one column per joint and one row per stack. Each heatmap lies over the crop (H, W, 3).

    Down a column, one can see how each hourglass corrects the previous one.
    maps: (stacks, K, h, w). names: of the stacks. tile: height of a tile in pixels.
    """
    stacks, joints = maps.shape[:2]
    across = round(tile * crop.shape[1] / crop.shape[0])
    sheet = np.full((TILE_LABEL + stacks * tile, STACK_LABEL + joints * across, 3), 255, np.uint8)
    small = cv2.resize(crop, (across, tile), interpolation=cv2.INTER_AREA)
    cell = np.array([[crop.shape[1] / across, 0, 0], [0, crop.shape[0] / tile, 0]])
    to_tile = np.linalg.inv(np.vstack([cell, [0, 0, 1]]))[:2]
    for s in range(stacks):
        _write(sheet, names[s], (4, TILE_LABEL + s * tile + tile // 2))
        for k in range(joints):
            picture = (small * 0.6).astype(np.uint8)
            _blend(picture, np.clip(maps[s, k], 0, 1), cells_to_frame(to_tile))
            y, x = TILE_LABEL + s * tile, STACK_LABEL + k * across
            sheet[y : y + tile, x : x + across] = picture
    for k, joint in enumerate(skeleton.joints):
        _write(sheet, joint, (STACK_LABEL + k * across + 3, TILE_LABEL - 5))
    return sheet


def find_joints(names: Sequence[str], skeleton: Skeleton) -> list[int]:
    """Indices of joints by name. 'all' or an empty list means every joint. Raises PoseError for a wrong name."""
    if not names or "all" in names:
        return list(range(len(skeleton.joints)))
    for name in names:
        if name not in skeleton.joints:
            raise PoseError(f"{skeleton.name} has no joint {name!r}; it has {', '.join(skeleton.joints)}.")
    return [skeleton.joints.index(name) for name in names]


def _write(image: Image, text: str, place: tuple[int, int]) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
