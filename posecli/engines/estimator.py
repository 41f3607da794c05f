"""Joints of people in boxes: cut, run the network, decode, carry back into the frame."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from posecli.engines.devices import refuse_fork
from posecli.geometry.crops import crop_affines, cut, to_frame
from posecli.geometry.heatmaps import Decoder, decode
from posecli.geometry.on_device import cut_crops, decode_dark
from posecli.models.checkpoints import ModelSpec
from posecli.stages import Timer, untimed
from posecli.types import Array, Heatmaps, Image


@dataclass
class Estimator:
    """A keypoint network with its preprocessing: `estimate` takes pictures and boxes, gives joints."""

    network: Callable[[Tensor], Tensor]  # in evaluation mode, on `device`
    spec: ModelSpec
    device: torch.device = torch.device("cpu")
    flip_test: bool = False
    batch_size: int = 16
    decoder: Decoder | None = None  # None: the checkpoint's own
    precision: torch.dtype | None = None  # autocast to this; None: float32
    stack: int = -1  # whose maps are decoded: the last one's, as in the paper, or an earlier one's

    def estimate(self, images: Sequence[Image], boxes: Sequence[Array]) -> list[Array]:
        """(n, K, 3) float32 for each picture and its (n, 4) boxes: x, y in its pixels, confidence.

        Confidence is calibrated: about the share of joints so stated that lie within 0.2 torso of
        where a person would put them.
        """
        return [keypoints for keypoints, _ in self.estimate_with_maps(images, boxes, keep=False)]

    def estimate_with_maps(
        self, images: Sequence[Image], boxes: Sequence[Array], keep: bool = True, timer: Timer = untimed
    ) -> list[tuple[Array, tuple[Heatmaps, ...]]]:
        """As `estimate`, with the maps of every stack for each person where `keep` says so."""
        refuse_fork()
        if self.device.type == "cuda" and not keep and self.spec.has_maps and self._decoder() == "dark":
            with timer("network"):  # crops and heatmaps too: they never leave the device
                return [(keypoints, ()) for keypoints in self.estimate_on_device(images, boxes)]
        counts = [len(b) for b in boxes]
        with timer("crop"):
            crops, affines = self.crops(images, boxes)
        keypoints = np.zeros((len(crops), len(self.spec.bones.joints), 3), np.float32)
        kept: list[Heatmaps] = []
        for start in range(0, len(crops), self.batch_size):
            part = slice(start, start + self.batch_size)
            with timer("network"):
                maps = self.maps(crops[part])  # (B, stacks, K, h, w)
            with timer("heatmaps"):
                keypoints[part] = self.decode(maps[:, self.stack], affines[part])
            if keep and self.spec.has_maps:
                moved = affines[part].copy()
                moved[:, :, 2] += self.spec.offset * affines[part, :, :2].sum(axis=2)
                kept += [Heatmaps(m, a, self.spec.input_size) for m, a in zip(maps, moved, strict=True)]
        ends = np.cumsum([0, *counts])
        return [(keypoints[a:b], tuple(kept[a:b])) for a, b in itertools.pairwise(ends)]

    @torch.inference_mode()
    def estimate_on_device(self, images: Sequence[Image], boxes: Sequence[Array]) -> list[Array]:
        """As `estimate`, with crops cut and maps decoded on the device: each frame goes there once, and only
        joints come back."""
        size, factor = self.spec.input_size, self.spec.crop_factor
        affines = [crop_affines(b, size, factor) for b in boxes]
        parts = [
            cut_crops(torch.from_numpy(image).to(self.device, non_blocking=True), self._there(a), size)
            for image, a in zip(images, affines, strict=True)
            if len(a)
        ]
        crops = torch.cat([*parts, torch.zeros(0, 3, *size, device=self.device)])
        points, peaks = (
            [np.zeros((0, len(self.spec.bones.joints), 2))],
            [np.zeros((0, len(self.spec.bones.joints)))],
        )
        found = []
        for start in range(0, len(crops), self.batch_size):
            maps = self._maps(scaled(crops[start : start + self.batch_size].flip(1), self.spec))
            found.append(decode_dark(maps[:, self.stack], self.spec.sigma))
        for where, height in found:  # the first of these waits for the device
            points.append(where.cpu().numpy().astype(np.float64))
            peaks.append(height.cpu().numpy())
        keypoints = self._in_frame(
            np.concatenate(points), np.concatenate(peaks), np.concatenate([*affines, np.zeros((0, 2, 3))])
        )
        ends = np.cumsum([0, *map(len, boxes)])
        return [keypoints[a:b] for a, b in itertools.pairwise(ends)]

    def crops(self, images: Sequence[Image], boxes: Sequence[Array]) -> tuple[npt.NDArray[np.uint8], Array]:
        """Crops (N, H, W, 3) uint8 BGR of everybody, and their affines (N, 2, 3) crop -> frame."""
        size, factor = self.spec.input_size, self.spec.crop_factor
        affines = [crop_affines(b, size, factor) for b in boxes]
        crops = np.empty((sum(map(len, boxes)), *size, 3), np.uint8)
        row = 0
        for image, of_image in zip(images, affines, strict=True):
            for affine in of_image:
                crops[row] = cut(image, affine, size)
                row += 1
        return crops, np.concatenate([*affines, np.zeros((0, 2, 3))])

    def stacks(self) -> int:
        """How many sets of maps the network gives for a crop, one after the other."""
        arguments = self.spec.arguments
        if not self.spec.has_maps:
            return int(arguments.get("stages", 3))
        of_the_stem = arguments.get("stem") == "lite_hrnet"
        return of_the_stem + int(arguments.get("stacks", 1)) * (2 if arguments.get("inner_score") else 1)

    def stack_names(self, count: int | None = None) -> list[str]:
        """What these sets are: stack 1, stack 2, …, or before them the stem's own. count: None: all `stacks`."""
        stem = ["stem"] if self.spec.arguments.get("stem") == "lite_hrnet" else []
        return [*stem, *(f"stack {n + 1}" for n in range((count or self.stacks()) - len(stem)))]

    @torch.inference_mode()
    def maps(self, crops: npt.NDArray[np.uint8]) -> Array:
        """Maps (N, stacks, K, h, w) float32, averaged with the mirrored crop's if `flip_test`; coordinates
        (N, stages, K, 2) of a network that gives no maps."""
        result: Array = (
            self._maps(normalise(torch.from_numpy(crops).to(self.device), self.spec)).cpu().numpy()
        )
        return result

    def _maps(self, batch: Tensor) -> Tensor:
        """Maps (N, stacks, K, h, w), or coordinates, of what the network takes, on its device."""
        maps = self._forward(batch)
        if self.flip_test and not self.spec.has_maps:
            mirrored = self._forward(batch.flip(3))[:, :, self.spec.bones.flip]
            mirrored = mirrored * torch.tensor([-1.0, 1.0], device=maps.device)
            mirrored[:, :, self.spec.bones.one_sided] = maps[:, :, self.spec.bones.one_sided]
            maps = (maps + mirrored) / 2
        elif self.flip_test:
            mirrored = self._forward(batch.flip(3)).flip(4)[:, :, self.spec.bones.flip]
            if self.spec.flip_shift:
                mirrored[..., self.spec.flip_shift :] = mirrored[..., : -self.spec.flip_shift].clone()
            mirrored[:, :, self.spec.bones.one_sided] = maps[:, :, self.spec.bones.one_sided]
            maps = (maps + mirrored) / 2
        return maps

    def decode(self, maps: Array, affines: Array) -> Array:
        """Maps (N, K, h, w), or coordinates (N, K, 2), and affines (N, 2, 3) -> keypoints (N, K, 3) in
        frame pixels."""
        if self.spec.has_maps:
            points, peaks = decode(maps, self._decoder(), self.spec.sigma)
        else:
            height, width = self.spec.input_size
            points = (maps + 0.5) * [width, height] - 0.5
            peaks = np.ones(maps.shape[:2])  # it does not say how sure it is
        return self._in_frame(points, peaks, affines)

    def _in_frame(self, points: Array, peaks: Array, affines: Array) -> Array:
        """Crop pixels (N, K, 2) and peaks (N, K) -> keypoints (N, K, 3) in frame pixels."""
        if self.spec.has_maps:
            points = points + self.spec.offset
        confidence = self.spec.confidence(peaks)
        return np.concatenate([to_frame(points, affines), confidence[..., None]], axis=2).astype(np.float32)

    def _decoder(self) -> Decoder:
        method: Decoder = self.decoder or self.spec.decoder  # type: ignore[assignment]
        return method

    def _there(self, array: Array) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device, non_blocking=True)

    def _forward(self, batch: Tensor) -> Tensor:
        if self.precision is not None:
            with torch.autocast(self.device.type, self.precision):
                maps = self.network(batch)
        else:
            maps = self.network(batch)
        return activate(maps.float(), self.spec)


def normalise(crops: Tensor, spec: ModelSpec) -> Tensor:
    """uint8 BGR crops (N, H, W, 3) -> what the network takes: float RGB (N, 3, H, W)."""
    return scaled(crops.flip(3).permute(0, 3, 1, 2), spec)


def scaled(rgb: Tensor, spec: ModelSpec) -> Tensor:
    """RGB (N, 3, H, W), 0 to 255 -> what the network takes."""
    mean = torch.tensor(spec.mean, device=rgb.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=rgb.device).view(3, 1, 1)
    batch: Tensor = (rgb.float() / 255 - mean) / std
    return batch.contiguous(memory_format=torch.channels_last)


def activate(maps: Tensor, spec: ModelSpec) -> Tensor:
    """The network's output as heights: about 1 at a joint that the network is sure of.

    Spatial-softmax networks give probabilities of cells; times 2 pi sigma^2, the Gaussian that they
    were trained with has a peak of 1, as in networks trained with a mean squared error.
    """
    if spec.activation == "byte":
        return maps / 255
    if spec.activation != "softmax":
        return maps
    probabilities = maps.flatten(3).softmax(dim=3).view_as(maps)
    return probabilities * (2 * np.pi * spec.sigma**2)
