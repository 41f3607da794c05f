"""Knowledge distillation: a network learns from the labels and from the heatmaps of trained networks.

Source: Zhang, Zhu, Ye, "Fast Human Pose Estimation", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from posecli.engines.backends import ArrayNetwork
from posecli.engines.estimator import Estimator
from posecli.engines.on_torch import activate
from posecli.errors import PoseError
from posecli.geometry.heatmaps import STRIDE, moved
from posecli.skeletons import SKELETONS
from posecli.training.batches import Batch
from posecli.training.config import TrainConfig

AGREES = 4.0  # maximum distance in cells from the label: about 0.2 torso sizes in a crop of 256 x 192
SHARE = 0.5  # share of the teacher in the target, as in the paper
SURE = 0.5  # minimum heatmap peak for the teacher to count for an unlabelled joint
Ask = Callable[[Tensor], Tensor]  # crops (B, 3, H, W) -> heatmaps (B, stacks, K, h, w)


@dataclass(frozen=True)
class Lesson:
    """The output of a teacher for a batch."""

    maps: Tensor  # (B, K, h, w) probabilities of the cells
    peaks: Tensor  # (B, K) highest value of each heatmap; 0 if the teacher does not have this joint
    cells: Tensor  # (B, K, 2) x, y of the cell with that value

    def share(self, batch: Batch) -> Tensor:
        """The teacher's share (B, K) of the target.

        0 if the teacher contradicts the label, or has a low peak for an unlabelled joint.
        """
        near = (self.cells - batch.cells).norm(dim=2) <= AGREES
        counts = torch.where(batch.inside, near, (self.peaks >= SURE) & ~batch.outside)
        return SHARE * (counts & (self.peaks > 0)).float()


class Teachers:
    """Several teachers that take turns. Over many steps this averages them, at the cost of one."""

    def __init__(self, teachers: Sequence[Estimator], config: TrainConfig) -> None:
        """Raises PoseError for a teacher that does not fit the trained network."""
        self._joints = SKELETONS[config.skeleton].joints
        self._sigma = config.sigma
        self._teachers = teachers
        self._ask: list[Ask | None] = [None] * len(teachers)
        student = config.spec()
        for number, spec in enumerate((t.spec for t in teachers), 1):
            if not spec.has_maps or config.loss != "cross-entropy":
                raise PoseError("--teacher needs a network with heatmaps, and --loss cross-entropy.")
            if (spec.mean, spec.std, spec.crop_factor) != (student.mean, student.std, student.crop_factor):
                raise PoseError(f"--teacher {number} takes other crops than this training cuts.")
            if not set(spec.bones.joints) & set(self._joints):
                raise PoseError(f"--teacher {number} knows no joint of {config.skeleton}.")

    def teach(self, step: int, pixels: Tensor) -> Lesson:
        """The output of this step's teacher for normalised crops (B, 3, H, W). They are resized to its input size."""
        number = step % len(self._teachers)
        teacher = self._teachers[number]
        size = (pixels.shape[2], pixels.shape[3])
        own = teacher.spec.input_size
        with torch.inference_mode():
            if size != own:
                pixels = F.interpolate(pixels, own, mode="bilinear", antialias=True)
            ask = self._ask[number] = self._ask[number] or _runner(teacher, pixels)
            heights = activate(ask(pixels).float(), teacher.spec)[:, -1]
            heights = moved(heights, *[teacher.spec.offset / STRIDE] * 2)  # its cells may have other centres
            if size != own:
                cells = (size[0] // STRIDE, size[1] // STRIDE)
                heights = F.interpolate(heights, cells, mode="bilinear")
        # Clone outside of inference mode: autograd accepts no tensors from inference mode.
        return self._lesson(teacher, heights.clone())

    def _lesson(self, teacher: Estimator, heights: Tensor) -> Lesson:
        """heights: heatmaps (B, joints of the teacher, h, w)."""
        known = teacher.spec.bones.joints
        rows = torch.tensor([known.index(j) if j in known else 0 for j in self._joints])
        heights = heights[:, rows.to(heights.device)].clamp_min(0)
        peaks, places = heights.flatten(2).max(dim=2)
        width = heights.shape[3]
        cells = torch.stack([places % width, places // width], dim=2).float()
        # This power turns a Gaussian with the teacher's sigma into one with the student's sigma.
        maps = heights ** (teacher.spec.sigma / self._sigma) ** 2
        maps = maps / maps.sum(dim=(2, 3), keepdim=True).clamp_min(1e-12)
        unknown = torch.tensor([j not in known for j in self._joints], device=peaks.device)
        return Lesson(maps, peaks.masked_fill(unknown, 0.0), cells)


def _runner(teacher: Estimator, pixels: Tensor) -> Ask:
    """The function that runs a teacher on crops of the shape of `pixels`."""
    network = teacher.network
    if pixels.is_cuda:
        return _captured(network, pixels)
    if isinstance(network, ArrayNetwork):
        return lambda crops: torch.from_numpy(network(crops.contiguous().numpy()))
    return network


def _captured(network: Ask, pixels: Tensor) -> Ask:
    """Capture a network in bfloat16 as a CUDA graph. It only works for crops (B, 3, H, W) of the same shape."""
    place = pixels.clone()

    def ask() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            return network(place)

    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):  # warm up first: one-time setup must not be captured
        for _ in range(3):
            ask()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        maps = ask()

    def replayed(crops: Tensor) -> Tensor:
        place.copy_(crops)
        graph.replay()
        return maps

    return replayed
