"""Data augmentation: random crops of people, colour changes, blur, noise and cutouts.

The caller seeds the random generators by step, so a resumed training sees the same crops.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.data.people import PeopleSet
from posecli.geometry.crops import crop_affines, to_crop
from posecli.skeletons import Skeleton
from posecli.types import Array

HALF_BODY_JOINTS = 8  # minimum number of labelled joints for a half-body crop
CUT_SIDES = (0.1, 0.15, 0.6, 0.15)  # probability of a cut at the top, right, bottom and left
LEAST_LEFT = 4  # minimum number of joints that remain after a cut
FAR = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Augmentation:
    """How crops vary. Shares are shares of the crops. Values are drawn uniformly from their ranges."""

    rotation: float = 40.0  # degrees, in both directions
    any_rotation: float = 0.1  # share rotated by any angle, for handstands, lying and jumping people
    zoom: tuple[float, float] = (0.7, 1.35)
    shift: float = 0.06  # share of the box side in both directions, because detected boxes are not exact
    mirror: float = 0.5  # share mirrored
    half_body: float = 0.15  # share cropped to the upper or lower half of the body
    cut_off: float = (
        0.12  # share cut off as if by the edge of the photo; the rest is black, its joints absent
    )
    colour: float = 0.25  # strength of gain, contrast, saturation and tint
    blur: float = 0.25  # share blurred: scaled down by a factor of up to 3 and up again
    noise: float = 0.15  # share with sensor noise
    cutout: float = 0.3  # share partly covered by a grey rectangle

    def scaled(self, strength: float) -> Augmentation:
        """The augmentation with `strength` times the variation. The share of mirrored crops stays the same."""
        low, high = self.zoom
        ranges = {
            name: strength * getattr(self, name)
            for name in ("rotation", "any_rotation", "shift", "half_body", "cut_off", "colour", "blur", "noise", "cutout")
        }  # fmt: skip
        return replace(self, zoom=(low**strength, high**strength), **ranges)


NONE = Augmentation(0.0, 0.0, (1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class CropLabels:
    """The positions of the joints in B crops."""

    affines: Array  # (B, 2, 3) crop pixels -> patch pixels
    keypoints: Array  # (B, K, 2) crop pixels
    inside: npt.NDArray[np.bool_]  # (B, K) labelled and inside the crop
    outside: npt.NDArray[np.bool_]  # (B, K) known to be outside the crop
    parts: npt.NDArray[np.integer]  # (B, 4) xyxy, the used part of the patch; the rest becomes black


def random_crops(
    rng: np.random.Generator,
    people: PeopleSet,
    rows: npt.NDArray[np.integer],
    size: tuple[int, int],
    factor: float | tuple[float, float],
    skeleton: Skeleton,
    augmentation: Augmentation,
    absent: npt.NDArray[np.bool_] | None = None,
) -> CropLabels:
    """Draw random crops of the people in `rows`. Mirrored crops have left and right joints swapped.

    size: (height, width) of the crops in pixels. factor: crop side / longer box side.
    absent: (N, K) joints of all people that are known not to be in their photo.
    """
    a, n = augmentation, len(rows)
    keypoints, visible = people.keypoints[rows], people.visible[rows] > 0
    rotation = rng.uniform(-a.rotation, a.rotation, n)
    rotation = np.where(rng.random(n) < a.any_rotation, rng.uniform(-180, 180, n), rotation)
    zoom = np.exp(rng.uniform(np.log(a.zoom[0]), np.log(a.zoom[1]), n))
    shift = rng.uniform(-a.shift, a.shift, (n, 2))
    mirror = rng.random(n) < a.mirror
    half = rng.random(n) < a.half_body
    upper = rng.random(n) < 0.5
    boxes = people.boxes[rows].copy()
    for i in np.flatnonzero(half & (visible.sum(axis=1) >= HALF_BODY_JOINTS)):
        boxes[i] = _half_box(boxes[i], keypoints[i], visible[i], skeleton, bool(upper[i]))
    parts = np.tile(np.array([0, 0, FAR, FAR]), (n, 1))
    beyond = np.zeros_like(visible)
    if a.cut_off:
        for i in np.flatnonzero((rng.random(n) < a.cut_off) & ~half):
            parts[i], boxes[i], beyond[i] = _cut_off(rng, boxes[i], keypoints[i], visible[i])
    affines = crop_affines(boxes, size, factor, rotation=rotation, zoom=zoom, shift=shift, mirror=mirror)
    points = to_crop(keypoints, affines)
    one_sided = np.isin(np.arange(len(skeleton.joints)), skeleton.one_sided)
    points[mirror] = points[mirror][:, skeleton.flip]
    visible[mirror] = visible[mirror][:, skeleton.flip]
    visible[mirror[:, None] & one_sided] = False  # the skeleton lacks the mirrored joint
    beyond[mirror] = beyond[mirror][:, skeleton.flip]
    within = ~beyond & ((points >= 0) & (points <= np.array([size[1] - 1, size[0] - 1]))).all(axis=2)
    outside = visible & ~within
    if absent is not None:
        gone = absent[rows]
        gone[mirror] = gone[mirror][:, skeleton.flip]
        gone[mirror[:, None] & one_sided] = False
        outside |= gone
    return CropLabels(affines, points, visible & within, outside, parts)


def _cut_off(
    rng: np.random.Generator, box: Array, keypoints: Array, visible: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.integer], Array, npt.NDArray[np.bool_]]:
    """Cut a person off at a random line, as the edge of a photo does. Returns (part, box, beyond).

    part: (4,) xyxy, the rest of the photo. box: (4,) xyxy, the smaller box. beyond: (K,) labelled joints that
    are cut off.
    """
    side, place = int(rng.choice(4, p=CUT_SIDES)), rng.uniform(0.3, 0.95)
    axis, last = (1, 0, 1, 0)[side], side in (1, 2)  # axis 0 is x; last: cut at the high end of the axis
    along = place if last else 1 - place
    line = round(box[axis] + along * (box[axis + 2] - box[axis]))
    part, cut = np.array([0, 0, FAR, FAR]), box.copy()
    part[axis + 2 * last] = cut[axis + 2 * last] = max(line, 1)
    beyond = visible & ((keypoints[:, axis] > line - 0.5) if last else (keypoints[:, axis] < line - 0.5))
    left = keypoints[visible & ~beyond]
    if len(left) < LEAST_LEFT or cut[axis + 2] - cut[axis] < 8:
        return np.array([0, 0, FAR, FAR]), box, np.zeros_like(visible)
    # Along the line, the box shrinks to the joints that remain.
    other, margin = 1 - axis, 0.1 * float((box[2:] - box[:2]).max())
    cut[other] = max(box[other], left[:, other].min() - margin)
    cut[other + 2] = min(box[other + 2], left[:, other].max() + margin)
    return part, cut, beyond


def _half_box(
    box: Array, keypoints: Array, visible: npt.NDArray[np.bool_], skeleton: Skeleton, upper: bool
) -> Array:
    """The box (4,) xyxy around the joints of the upper or lower half of the body."""
    lower_names = ("hip", "knee", "ankle", "pelvis")
    is_lower = np.array([joint.endswith(lower_names) for joint in skeleton.joints])
    chosen = visible & (~is_lower if upper else is_lower)
    if chosen.sum() < 3:
        return box
    low, high = keypoints[chosen].min(axis=0), keypoints[chosen].max(axis=0)
    margin = 0.15 * max(float((high - low).max()), 1.0)
    return np.concatenate([low - margin, high + margin + 1])


def distort(crops: Tensor, generator: torch.Generator, augmentation: Augmentation) -> Tensor:
    """Change the colours of crops (B, 3, H, W), float in [0, 1], and add blur, noise and cutouts."""
    a, device, b = augmentation, crops.device, len(crops)
    # Decide on the CPU which crops get blur, noise or cutouts. Reading it from the GPU would wait for the GPU.
    rng = np.random.default_rng(generator.initial_seed())

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    if a.colour:
        gain = 1 + a.colour * (2 * uniform(b, 1, 1, 1) - 1)
        tint = 1 + 0.5 * a.colour * (2 * uniform(b, 3, 1, 1) - 1)
        contrast = 1 + a.colour * (2 * uniform(b, 1, 1, 1) - 1)
        grey = crops.mean(dim=1, keepdim=True)
        saturation = uniform(b, 1, 1, 1) * 2 * a.colour + 1 - a.colour
        crops = grey + (crops - grey) * saturation
        mean = crops.mean(dim=(1, 2, 3), keepdim=True)
        crops = (crops - mean) * contrast * tint + mean * gain
    if a.blur:
        for i in np.flatnonzero(rng.random(b) < a.blur):
            scale = 1 / (1 + 2 * rng.random())
            # A size, not a factor: torch would round the size down and move the picture against its joints.
            size = [round(scale * side) for side in crops.shape[2:]]
            small = F.interpolate(
                crops[i : i + 1], size, mode="bilinear", antialias=True, align_corners=False
            )
            crops[i] = F.interpolate(small, crops.shape[2:], mode="bilinear", align_corners=False)[0]
    for i in np.flatnonzero(rng.random(b) < a.noise):
        noise = torch.randn(crops.shape[1:], generator=generator, device=device)
        crops[i] += 0.06 * rng.random() * noise
    if a.cutout:
        _, _, h, w = crops.shape
        for i in np.flatnonzero(rng.random(b) < a.cutout):
            x, y, wide, high = rng.random(4)
            wide, high = (0.1 + 0.2 * wide) * w, (0.1 + 0.2 * high) * h
            left, top = int(x * w - wide / 2), int(y * h - high / 2)
            crops[i, :, max(0, top) : int(top + high), max(0, left) : int(left + wide)] = 0.5
    return crops.clamp(0, 1)
