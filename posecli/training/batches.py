"""Training batches: random crops of the people in a store, with augmentation. A resumed run gets the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from posecli.data.augment import CropLabels, distort, random_crops
from posecli.data.cache import PatchStore
from posecli.data.on_device import DevicePatches
from posecli.data.people import not_in_picture
from posecli.geometry.crops import cut
from posecli.geometry.heatmaps import pixels_to_cells
from posecli.skeletons import SKELETONS
from posecli.training.config import Size, TrainConfig


@dataclass(frozen=True)
class Ranks:
    """The rank of this process in a distributed training, and the number of processes."""

    rank: int = 0
    world: int = 1

    @staticmethod
    def join() -> Ranks:
        """Join the process group if torchrun started this process."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return Ranks()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return Ranks(dist.get_rank(), dist.get_world_size())


@dataclass(frozen=True)
class Batch:
    pixels: Tensor  # (B, 3, H, W) normalised
    cells: Tensor  # (B, K, 2) joint positions in heatmap cells
    inside: Tensor  # (B, K) bool, labelled and inside the crop
    outside: Tensor  # (B, K) bool, known to be outside the crop

    @property
    def size(self) -> Size:
        return self.pixels.shape[2], self.pixels.shape[3]


def shown_in_an_epoch(weights: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.integer]:
    """The rows (N,) of the people in one epoch, in random order.

    weights: (N,) relative sampling weights. Each person appears in proportion to the weight, rounded up or down at
    random. Independent draws would leave out a third of the people in every epoch.
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    places = (np.arange(len(weights)) + rng.random()) / len(weights) * ends[-1]
    chosen = order[np.minimum(np.searchsorted(ends, places, side="right"), len(weights) - 1)]
    return rng.permutation(chosen)


def batches(
    config: TrainConfig, store: PatchStore, crops: int, ranks: Ranks, device: torch.device
) -> Iterator[Batch]:
    """Yield batches from crop number `crops` on. Another thread cuts them while the network works.

    A batch depends only on its position and the seed, so a resumed training sees the same ones. With several
    processes, each one gets its share of the same batch.
    """
    skeleton = SKELETONS[config.skeleton]
    absent = not_in_picture(store.people) if config.learn_absent else None
    on_device = DevicePatches(store.patches, device) if DevicePatches.fit(store.patches, device) else None
    repeats = dict(config.weights)
    weights = np.array([repeats.get(s, 1.0) for s in store.people.sources])
    orders: dict[int, npt.NDArray[np.integer]] = {}

    def row_at(position: int) -> int:
        """The row of the person at a position in the endless sequence of epochs."""
        epoch, place = divmod(position, len(store))
        if epoch not in orders:
            orders.clear()
            rng = np.random.default_rng([config.seed, 1, epoch])
            orders[epoch] = shown_in_an_epoch(weights, rng)
        return int(orders[epoch][place])

    def labels_of(start: int) -> tuple[CropLabels, npt.NDArray[np.integer], Size]:
        size = config.size_at(start)
        rows = np.array([row_at(start + i) for i in range(config.batch)])
        rng = np.random.default_rng([config.seed, 2, start])
        labels = random_crops(
            rng, store.people, rows, size, config.crop_factor, skeleton, config.augmentation, absent
        )
        return labels, rows, size

    def prepare(job: tuple[CropLabels, npt.NDArray[np.integer], Size, int]) -> tuple[Any, ...]:
        labels, rows, size, start = job
        mine = np.arange(ranks.rank, len(rows), ranks.world)
        if on_device is not None:
            return rows[mine], labels, mine, size, start
        pixels = np.stack(
            [cut(store.patches[rows[i]], labels.affines[i], size, tuple(labels.parts[i])) for i in mine]
        )
        return pixels, labels, mine, size, start

    def job(start: int) -> tuple[CropLabels, npt.NDArray[np.integer], Size, int]:
        return (*labels_of(start), start)

    with ThreadPoolExecutor(1) as pool:
        ahead: list[Future[tuple[Any, ...]]] = []
        start = crops
        while True:
            while len(ahead) < 3 and start < config.crops:
                ahead.append(pool.submit(prepare, job(start)))
                start += config.batch
            if not ahead:
                return
            cut_out, labels, mine, size, place = ahead.pop(0).result()
            if on_device is not None:
                pixels = on_device.cut(cut_out, labels.affines[mine], size, labels.parts[mine])
            else:
                pixels = torch.from_numpy(cut_out).to(device).float()
            yield _to_batch(config, pixels, labels, mine, place, ranks, device)


def _to_batch(
    config: TrainConfig,
    pixels: Tensor,  # (B, H, W, 3) float BGR, 0 to 255
    labels: CropLabels,
    mine: npt.NDArray[np.integer],
    place: int,
    ranks: Ranks,
    device: torch.device,
) -> Batch:
    generator = torch.Generator(device).manual_seed(
        hash((config.seed, place, ranks.rank)) & 0x7FFFFFFFFFFFFFFF
    )
    rgb = pixels.flip(3).permute(0, 3, 1, 2) / 255
    rgb = distort(rgb, generator, config.augmentation)
    mean = torch.tensor(config.mean, device=device).view(3, 1, 1)
    std = torch.tensor(config.std, device=device).view(3, 1, 1)
    return Batch(
        ((rgb - mean) / std).contiguous(memory_format=torch.channels_last),
        torch.from_numpy(pixels_to_cells(labels.keypoints[mine])).float().to(device),
        torch.from_numpy(labels.inside[mine]).to(device),
        torch.from_numpy(labels.outside[mine]).to(device),
    )
