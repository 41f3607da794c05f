"""Places the joints of people in bounding boxes: cut the crops, run the network, decode the heatmaps, map the joints back to the
frame.

With engines other than torch, all of this is numpy. The torch part is in `on_torch.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from posecli.engines.backends import ArrayNetwork
from posecli.engines.devices import kind_of, refuse_fork
from posecli.geometry.crops import cut, person_affines, to_frame
from posecli.geometry.heatmaps import Decoder, decode, moved
from posecli.models.checkpoints import ModelSpec
from posecli.skeletons import FEET, torso_leans
from posecli.stages import Timer, untimed
from posecli.types import Array, Heatmaps, Image

if TYPE_CHECKING:
    import torch

    from posecli.engines.on_torch import TorchWay

LEANING = 45.0  # degrees of the torso from upright: beyond them, a second look
SURER = 0.08  # by which the second look's mean confidence must be higher


@dataclass
class Estimator:
    """A keypoint network with its preprocessing: `estimate` takes pictures and boxes, gives joints."""

    network: Callable[[Any], Any]  # an ArrayNetwork; or torch's, in evaluation mode, on `device`
    spec: ModelSpec
    device: str | torch.device = "cpu"
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
        """As `estimate`, with the maps of every stack for each person where `keep` says so.

        If `spec.second_look`, people whose torso leans are estimated again in a crop turned upright. The joints with the
        higher mean confidence are kept. Heels and toes are not compared: their confidence has another curve.
        """
        refuse_fork()
        counts = [len(b) for b in boxes]
        keypoints, kept = self._look(images, boxes, 0.0, keep, timer)
        leans = torso_leans(keypoints, self.spec.bones) if self.spec.second_look else np.zeros(0)
        if len(rows := np.flatnonzero(np.abs(leans) > LEANING)):
            owners = np.repeat(np.arange(len(images)), counts)[rows]
            everybody = np.concatenate([np.asarray(b).reshape(-1, 4) for b in boxes])
            chosen = np.unique(owners)
            again, maps = self._look(
                [images[i] for i in chosen],
                [everybody[rows[owners == i]] for i in chosen],
                -leans[rows],
                keep,
                timer,
            )
            compared = [joint not in FEET for joint in self.spec.bones.joints]
            before, after = (k[:, compared, 2].mean(axis=1) for k in (keypoints[rows], again))
            better = after > before + SURER
            keypoints[rows[better]] = again[better]
            if maps:
                for n in np.flatnonzero(better):
                    kept[rows[n]] = maps[n]
        ends = np.cumsum([0, *counts])
        return [(keypoints[a:b], tuple(kept[a:b])) for a, b in itertools.pairwise(ends)]

    def _look(
        self,
        images: Sequence[Image],
        boxes: Sequence[Array],
        rotation: Array | float,
        keep: bool,
        timer: Timer,
    ) -> tuple[Array, list[Heatmaps]]:
        """Keypoints (N, K, 3) of everybody in crops turned clockwise by `rotation` degrees, and their maps."""
        turns = np.broadcast_to(np.asarray(rotation, np.float64), sum(map(len, boxes)))
        if kind_of(self.device) == "cuda" and not keep and self.spec.has_maps and self._decoder() == "dark":
            with timer("network"):  # crops and heatmaps too: they never leave the device
                return self.joints_on_device(images, boxes, turns), []
        with timer("crop"):
            crops, affines = self.crops(images, boxes, turns)
        keypoints = np.zeros((len(crops), len(self.spec.bones.joints), 3), np.float32)
        kept: list[Heatmaps] = []
        for start in range(0, len(crops), self.batch_size):
            part = slice(start, start + self.batch_size)
            with timer("network"):
                maps = self.maps(crops[part], keep)  # (B, stacks, K, h, w)
            with timer("heatmaps"):
                keypoints[part] = self.decode(maps[:, self.stack if keep else 0], affines[part])
            if keep and self.spec.has_maps:
                moved = affines[part].copy()
                moved[:, :, 2] += self.spec.offset * affines[part, :, :2].sum(axis=2)
                kept += [Heatmaps(m, a, self.spec.input_size) for m, a in zip(maps, moved, strict=True)]
        return keypoints, kept

    def joints_on_device(
        self, images: Sequence[Image], boxes: Sequence[Array], rotation: Array | float = 0.0
    ) -> Array:
        """Keypoints (N, K, 3) of everybody, by torch, with crops cut and maps decoded on the device."""
        turns = np.broadcast_to(np.asarray(rotation, np.float64), sum(map(len, boxes)))
        return self._in_frame(*self._on_torch().joints(images, boxes, turns, self.batch_size, self.stack))

    def crops(
        self, images: Sequence[Image], boxes: Sequence[Array], rotation: Array | float = 0.0
    ) -> tuple[npt.NDArray[np.uint8], Array]:
        """Crops (N, H, W, 3) uint8 BGR of everybody, and their affines (N, 2, 3) crop -> frame.

        rotation: degrees by which each crop is turned clockwise.
        """
        size = self.spec.input_size
        affines = person_affines(boxes, size, self.spec.crop_factor, rotation)
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

    def maps(self, crops: npt.NDArray[np.uint8], all_stacks: bool = True) -> Array:
        """Maps (N, stacks, K, h, w) float32, averaged with the mirrored crop's if `flip_test`; coordinates
        (N, stages, K, 2) of a network that gives no maps. Not all_stacks: only those of `stack`."""
        if not isinstance(self.network, ArrayNetwork):
            maps = self._on_torch().maps(crops)
            return maps if all_stacks else maps[:, self.stack, None]

        def forward(batch: Array) -> Array:
            maps: Array = self.network(batch)
            return activate(maps if all_stacks else maps[:, self.stack, None], self.spec)

        batch, bones = normalise(crops, self.spec), self.spec.bones
        straight = forward(batch)
        if not self.flip_test:
            return straight
        mirrored = forward(batch[..., ::-1])
        if self.spec.has_maps:
            mirrored = mirrored[..., ::-1][:, :, bones.flip]
            mirrored = moved(mirrored, self.spec.flip_shift)
        else:
            mirrored = mirrored[:, :, bones.flip] * np.array([-1, 1], np.float32)
        mirrored[:, :, bones.one_sided] = straight[:, :, bones.one_sided]
        both: Array = (straight + mirrored) / 2
        return both

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

    def _on_torch(self) -> TorchWay:
        from posecli.engines.on_torch import TorchWay  # torch's import takes seconds

        return TorchWay(self.network, self.spec, self.device, self.flip_test, self.precision)


def normalise(crops: npt.NDArray[np.uint8], spec: ModelSpec) -> Array:
    """uint8 BGR crops (N, H, W, 3) -> what the network takes: float32 RGB (N, 3, H, W)."""
    batch = np.empty((len(crops), 3, *crops.shape[1:3]), np.float32)
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        plane = batch[:, channel]
        np.divide(crops[..., 2 - channel], np.float32(255), out=plane)
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return batch


def activate(maps: Array, spec: ModelSpec) -> Array:
    """As `on_torch.activate`."""
    if spec.activation == "byte":
        return maps / 255
    if spec.activation != "softmax":
        return maps
    cells = maps.reshape(*maps.shape[:3], -1)
    heights: Array = cells - cells.max(axis=3, keepdims=True)
    np.exp(heights, out=heights)
    heights *= 2 * np.pi * spec.sigma**2 / heights.sum(axis=3, keepdims=True)
    return heights.reshape(maps.shape)
