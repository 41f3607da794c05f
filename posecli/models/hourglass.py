"""The stacked hourglass: Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose
Estimation", ECCV 2016 (arXiv 1603.06937).

Shapes in the margin are for 256 x 256 crops and the paper's 256 features; the network is fully
convolutional and takes any size that 64 divides.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.models.blocks import BLOCKS
from posecli.models.lite_hrnet import CHANNELS, LiteHRNet

LEVELS = 4  # 64 -> 32 -> 16 -> 8 -> 4 cells
MULTIPLE = 4 << LEVELS  # crop sides must be a multiple of this many pixels
STEM_MAPS = 0.2  # times the maps of a Lite-HRNet before the first hourglass: as logits they are large


class Hourglass(nn.Module):
    """Down to the lowest resolution and up again, a skip branch at every level (figure 3)."""

    def __init__(
        self, level: int, features: int, bias: bool = False, residuals: int = 1, block: str = "residual"
    ) -> None:
        super().__init__()
        self.up = _chain(residuals, features, bias, block)
        self.down = _chain(residuals, features, bias, block)
        self.inner: nn.Module = (
            Hourglass(level - 1, features, bias, residuals, block)
            if level > 1
            else _chain(residuals, features, bias, block)
        )
        self.out = _chain(residuals, features, bias, block)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_half(x)[0]

    def with_half(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the features of half its size that its last upsampling starts from."""
        half = self.out(self.inner(self.down(F.max_pool2d(x, 2))))
        skip: Tensor = self.up(x)
        return skip + F.interpolate(half, scale_factor=2.0, mode="nearest"), half


def _chain(residuals: int, features: int, bias: bool, block: str) -> nn.Module:
    modules = [BLOCKS[block](features, features, bias) for _ in range(residuals)]
    return modules[0] if residuals == 1 else nn.Sequential(*modules)


class StackedHourglass(nn.Module):
    """`stacks` hourglasses end to end, maps after each, remapped into the next (figure 4).

    stem: channels after the 7 x 7 convolution, the first and the second residual. The paper has
    (64, 128, 128); bearpaw/pytorch-pose has (64, 128, 256). Or "lite_hrnet": a whole Lite-HRNet, whose features
    and maps go into the first hourglass, and whose maps are the first set. bias: whether convolutions that a
    batch-norm follows have one; published files do, our own networks do not need it.

    For the comparison of figure 8: `residuals` modules at every place make one long hourglass as deep
    as a stack of them, and `inner_score` adds maps before each hourglass's last upsampling, doubled to
    the size of the others and put before that stack's own. block: "residual" as in the paper, or one of
    its two best-known refinements, "gated" and "pyramid" (see blocks.py).
    """

    def __init__(
        self,
        stacks: int = 8,
        features: int = 256,
        keypoints: int = 16,
        stem: tuple[int, int, int] | list[int] | Literal["lite_hrnet"] = (64, 128, 128),
        bias: bool = False,
        residuals: int = 1,
        inner_score: bool = False,
        block: str = "residual",
    ) -> None:
        super().__init__()
        residual = BLOCKS[block]
        self.stem: LiteHRNet | None = None
        if stem == "lite_hrnet":
            self.stem = LiteHRNet(keypoints, norm=False)
            self.stem_features = nn.Conv2d(2 * CHANNELS[0] + keypoints, features, 1)
            self.res1 = residual(features, features, bias)
        else:
            first, second, third = (int(channels) for channels in stem)
            self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3, bias=bias)
            self.bn1 = nn.BatchNorm2d(first)
            self.res1 = residual(first, second, bias)
            self.res2 = residual(second, third, bias)
            self.res3 = residual(third, features, bias)
        self.hg = nn.ModuleList(Hourglass(LEVELS, features, bias, residuals, block) for _ in range(stacks))
        self.res = nn.ModuleList(residual(features, features, bias) for _ in range(stacks))
        self.fc = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(features, features, 1, bias=bias),
                nn.BatchNorm2d(features),
                nn.ReLU(inplace=True),
            )
            for _ in range(stacks)
        )
        self.score = nn.ModuleList(nn.Conv2d(features, keypoints, 1) for _ in range(stacks))
        inner = stacks if inner_score else 0
        self.inner_score = nn.ModuleList(nn.Conv2d(features, keypoints, 1) for _ in range(inner))
        self.merge_features = nn.ModuleList(nn.Conv2d(features, features, 1) for _ in range(stacks - 1))
        self.merge_score = nn.ModuleList(nn.Conv2d(keypoints, features, 1) for _ in range(stacks - 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Crops (B, 3, H, W), normalised -> maps (B, stacks, K, H/4, W/4), one set a stack, after the stem's where
        it has maps of its own."""
        x, maps = self._begin(crops)  # (B, 256, 64, 64)
        for s, hourglass in enumerate(self.hg):
            y, half = hourglass.with_half(x)  # type: ignore[operator]
            if self.inner_score:
                maps.append(F.interpolate(self.inner_score[s](half), scale_factor=2.0, mode="nearest"))
            y = self.fc[s](self.res[s](y))  # (B, 256, 64, 64)
            maps.append(self.score[s](y))  # (B, K, 64, 64)
            if s < len(self.merge_score):
                x = x + self.merge_features[s](y) + self.merge_score[s](maps[-1])
        return torch.stack(maps, dim=1)

    def _begin(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stem: crops -> features (B, features, H/4, W/4), and its own maps, if any."""
        if self.stem is None:
            x = F.relu(self.bn1(self.conv1(crops)), inplace=True)  # (B, 64, 128, 128)
            x = F.max_pool2d(self.res1(x), 2)  # (B, 128, 64, 64)
            return self.res3(self.res2(x)), []
        *_, half, full = self.stem.features(crops)
        maps = self.stem.score(full)  # (B, K, 64, 48)
        half = F.interpolate(half, scale_factor=2.0, mode="nearest")
        x = self.stem_features(torch.cat([full, half, STEM_MAPS * maps], dim=1))
        return self.res1(x), [maps]
