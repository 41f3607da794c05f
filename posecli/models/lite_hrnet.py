"""Lite-HRNet: Yu et al., "Lite-HRNet: A Lightweight High-Resolution Network", CVPR 2021 (arXiv 2104.06403),
the variant "wider naive": the branches of HRNet with shuffle blocks, and an iterative head.

A branch at a quarter of the crop size runs through the whole network. Each stage adds a branch at half the
size of the last one. Two details follow the authors' code, not the figure in the paper. Every fusion adds
its first term twice. The paths down to smaller branches start from the fused sum of the largest branch,
before its ReLU. The shapes in the comments are for crops of 256 x 192. Any multiple of 32 works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (40, 80, 160, 320)  # of the branches, the highest resolution first
MODULES = (2, 4, 2)  # modules in the stages with two, three and four branches
UNITS = 2  # shuffle blocks per branch and module
MULTIPLE = 32  # crop sides must be a multiple of this many pixels


class LiteHRNet(nn.Module):
    """norm: whether a batch norm follows each convolution.

    Files with the batch norm folded into the convolutions need norm=False. Their convolutions have a bias.
    """

    def __init__(self, keypoints: int = 17, norm: bool = True) -> None:
        super().__init__()
        self.stem = Stem(32, norm)
        self.transition1 = nn.ModuleList(
            [_separable(32, CHANNELS[0], 1, norm), _separable(32, CHANNELS[1], 2, norm)]
        )
        self.stage2 = _stage(CHANNELS[:2], MODULES[0], norm)
        self.transition2 = _separable(CHANNELS[1], CHANNELS[2], 2, norm)
        self.stage3 = _stage(CHANNELS[:3], MODULES[1], norm)
        self.transition3 = _separable(CHANNELS[2], CHANNELS[3], 2, norm)
        self.stage4 = _stage(CHANNELS, MODULES[2], norm)
        outputs = [
            *CHANNELS[-2::-1],
            CHANNELS[0],
        ]  # channels after each step of the head, smallest branch first
        self.head = nn.ModuleList(
            _separable(channels, out, 1, norm) for channels, out in zip(CHANNELS[::-1], outputs, strict=True)
        )
        self.score = nn.Conv2d(CHANNELS[0], keypoints, 1)

    def features(self, crops: Tensor) -> list[Tensor]:
        """Normalised crops (B, 3, H, W) -> features of the head for each branch, the largest last.

        Shapes: (B, 160, H/32, W/32), (B, 80, H/16, W/16), (B, 40, H/8, W/8), (B, 40, H/4, W/4).
        """
        x = self.stem(crops)  # (B, 32, 64, 48)
        branches = self.stage2([step(x) for step in self.transition1])  # 40 x 64 x 48, 80 x 32 x 24
        branches = self.stage3([*branches, self.transition2(branches[-1])])  # and 160 x 16 x 12
        branches = self.stage4([*branches, self.transition3(branches[-1])])  # and 320 x 8 x 6
        smallest, *larger = reversed(branches)
        made: list[Tensor] = [self.head[0](smallest)]
        for step, branch in zip(self.head[1:], larger, strict=True):
            below = F.interpolate(made[-1], size=branch.shape[2:], mode="bilinear", align_corners=True)
            made.append(step(branch + below))
        return made

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, 1, K, H/4, W/4)."""
        maps: Tensor = self.score(self.features(crops)[-1])  # (B, K, 64, 48)
        return maps.unsqueeze(1)


class Stem(nn.Module):
    """Reduces the crop to a quarter of its size with a convolution and a shuffle block of stride 2."""

    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _conv(3, channels, 3, 2, norm=norm)
        self.branch1 = _separable(half, half, 2, norm)
        self.branch2 = nn.Sequential(_conv(half, channels, norm=norm), _separable(channels, half, 2, norm))

    def forward(self, crops: Tensor) -> Tensor:
        left, right = self.conv1(crops).chunk(2, dim=1)
        return _shuffled(self.branch1(left), self.branch2(right))


class ShuffleUnit(nn.Module):
    """A ShuffleNet V2 block (Ma et al., "ShuffleNet V2", ECCV 2018, figure 3c).

    Half of the channels pass unchanged. The others go through three convolutions. Then both are shuffled.
    """

    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(_conv(half, half, norm=norm), _separable(half, half, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        passed, changed = x.chunk(2, dim=1)
        return _shuffled(passed, self.branch(changed))


class Exchange(nn.Module):
    """Two shuffle blocks on every branch. Then each branch gets the sum of all branches, resized to its size."""

    def __init__(self, channels: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(ShuffleUnit(c, norm) for _ in range(UNITS))) for c in channels
        )
        self.fuse = nn.ModuleList(
            nn.ModuleList(_bring(j, i, channels, norm) for j in range(len(channels)))
            for i in range(len(channels))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [units(x) for units, x in zip(self.branches, branches, strict=True)]
        fused: list[Tensor] = []
        for rows in self.fuse:
            first, *others = [rows[j](x) for j, x in enumerate(branches)]  # type: ignore[index]
            total = first + first + sum(others)
            if not fused:
                branches = [total, *branches[1:]]
            fused.append(total)
        return [F.relu(x) for x in fused]


def _stage(channels: Sequence[int], modules: int, norm: bool) -> nn.Sequential:
    return nn.Sequential(*(Exchange(channels, norm) for _ in range(modules)))


def _bring(source: int, target: int, channels: Sequence[int], norm: bool) -> nn.Module:
    """Convert branch `source` to the size and channels of branch `target`. Branch 0 is the largest."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            _conv(channels[source], channels[target], norm=norm, relu=False),
            nn.Upsample(scale_factor=float(2 ** (source - target)), mode="nearest"),
        )
    steps = [channels[source]] * (target - source) + [channels[target]]
    last = len(steps) - 2
    return nn.Sequential(
        *(_separable(a, b, 2, norm, relu=i < last) for i, (a, b) in enumerate(pairwise(steps)))
    )


def _separable(inputs: int, outputs: int, stride: int, norm: bool, relu: bool = True) -> nn.Sequential:
    """A depthwise separable convolution: 3 x 3 per channel, then 1 x 1."""
    return nn.Sequential(
        _conv(inputs, inputs, 3, stride, groups=inputs, norm=norm, relu=False),
        _conv(inputs, outputs, norm=norm, relu=relu),
    )


def _conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    groups: int = 1,
    norm: bool,
    relu: bool = True,
) -> nn.Sequential:
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=not norm
    )
    after: list[nn.Module] = [nn.BatchNorm2d(outputs)] if norm else []
    return nn.Sequential(convolution, *after, *([nn.ReLU(inplace=True)] if relu else []))


def _shuffled(a: Tensor, b: Tensor) -> Tensor:
    """Interleave the channels: a0, b0, a1, b1, …"""
    return torch.stack([a, b], dim=2).flatten(1, 2)


def from_folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a file with folded batch norms for `LiteHRNet(norm=False)`.

    The file numbers its convolutions in the order of use: Conv_0_w, Conv_0_b, …
    """
    convolutions = [name for name, m in LiteHRNet(norm=False).named_modules() if isinstance(m, nn.Conv2d)]
    return {
        f"{name}.{ours}": tensors[f"Conv_{number}_{theirs}"].float()
        for number, name in enumerate(convolutions)
        for ours, theirs in (("weight", "w"), ("bias", "b"))
    }
