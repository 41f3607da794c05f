"""The torch part of `Estimator`, on a CPU or a GPU. Only this part waits for the import of torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from posecli.engines.devices import kind_of
from posecli.geometry.crops import person_affines
from posecli.geometry.heatmaps import moved
from posecli.geometry.on_device import cut_crops, decode_dark
from posecli.models.checkpoints import ModelSpec
from posecli.types import Array, Image


@dataclass(frozen=True)
class TorchWay:
    """A network and all that says how it is called; the fields are `Estimator`'s."""

    network: Callable[[Tensor], Tensor]
    spec: ModelSpec
    device: str | torch.device
    flip_test: bool
    precision: torch.dtype | None

    @torch.inference_mode()
    def maps(self, crops: npt.NDArray[np.uint8]) -> Array:
        """Maps (N, stacks, K, h, w), or coordinates, of crops (N, H, W, 3) BGR."""
        found: Array = self._maps(normalise(torch.from_numpy(crops).to(self.device), self.spec)).cpu().numpy()
        return found

    @torch.inference_mode()
    def joints(
        self, images: Sequence[Image], boxes: Sequence[Array], rotation: Array, batch_size: int, stack: int
    ) -> tuple[Array, Array, Array]:
        """Crop pixels (N, K, 2), peaks (N, K) and affines (N, 2, 3) of everybody, with crops cut and maps decoded on the
        device: each frame goes there once, and only joints come back."""
        size, joints = self.spec.input_size, len(self.spec.bones.joints)
        affines = person_affines(boxes, size, self.spec.crop_factor, rotation)
        parts = [
            cut_crops(torch.from_numpy(image).to(self.device, non_blocking=True), self._there(a), size)
            for image, a in zip(images, affines, strict=True)
            if len(a)
        ]
        crops = torch.cat([*parts, torch.zeros(0, 3, *size, device=self.device)])
        found = []
        for start in range(0, len(crops), batch_size):
            maps = self._maps(scaled(crops[start : start + batch_size].flip(1), self.spec))
            found.append(decode_dark(maps[:, stack], self.spec.sigma))
        points, peaks = [np.zeros((0, joints, 2))], [np.zeros((0, joints))]
        for where, height in found:  # the first of these waits for the device
            points.append(where.cpu().numpy().astype(np.float64))
            peaks.append(height.cpu().numpy())
        return np.concatenate(points), np.concatenate(peaks), np.concatenate([*affines, np.zeros((0, 2, 3))])

    def _maps(self, batch: Tensor) -> Tensor:
        """Maps, or coordinates, of what the network takes, on its device."""
        spec, maps = self.spec, self._forward(batch)
        if not self.flip_test:
            return maps
        mirrored = self._forward(batch.flip(3))
        if spec.has_maps:
            mirrored = mirrored.flip(4)[:, :, spec.bones.flip]
            mirrored = moved(mirrored, spec.flip_shift)
        else:
            mirrored = mirrored[:, :, spec.bones.flip] * torch.tensor([-1.0, 1.0], device=maps.device)
        mirrored[:, :, spec.bones.one_sided] = maps[:, :, spec.bones.one_sided]
        return (maps + mirrored) / 2

    def _forward(self, batch: Tensor) -> Tensor:
        if self.precision is not None:
            with torch.autocast(kind_of(self.device), self.precision):
                maps = self.network(batch)
        else:
            maps = self.network(batch)
        return activate(maps.float(), self.spec)

    def _there(self, array: Array) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device, non_blocking=True)


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
