"""The stacked hourglass: Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose
Estimation", ECCV 2016 (arXiv 1603.06937).

The shapes in the comments are for crops of 256 x 256 and 256 features, as in the paper. The network is fully
convolutional. It works with any crop size that is a multiple of 64.
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
FEET_LEVELS, FEET_FEATURES = 2, 64  # of the small hourglass for feet: heels and toes are near the ankle
SMALLER = 0.2  # scales heatmaps down for the layers that read them; they are large logits


class Hourglass(nn.Module):
    """Goes down to the lowest resolution and up again, with a skip branch at every level (figure 3)."""

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
        """The output, and the features at half its size, from before the last upsampling."""
        half = self.out(self.inner(self.down(F.max_pool2d(x, 2))))
        skip: Tensor = self.up(x)
        return skip + F.interpolate(half, scale_factor=2.0, mode="nearest"), half


def feet_input(maps: list[Tensor], x: Tensor, seen: Tensor) -> Tensor:
    """What the layers for feet read: the input, output and heatmaps of the last hourglass."""
    return torch.cat([x, seen, SMALLER * maps[-1]], dim=1)


def _chain(residuals: int, features: int, bias: bool, block: str) -> nn.Module:
    modules = [BLOCKS[block](features, features, bias) for _ in range(residuals)]
    return modules[0] if residuals == 1 else nn.Sequential(*modules)


class StackedHourglass(nn.Module):
    """`stacks` hourglasses in a row. Each predicts heatmaps, which are fed into the next one (figure 4).

    stem: channels after the 7 x 7 convolution and after the first and second residual block. The paper has
    (64, 128, 128), bearpaw/pytorch-pose has (64, 128, 256). With "lite_hrnet", the stem is a whole
    Lite-HRNet. Its features and heatmaps go into the first hourglass, and its heatmaps are the first set.
    bias: whether a convolution before a batch norm has a bias. Published files have it. It is not needed.
    block: "residual" as in the paper, "gated" or "pyramid" (see blocks.py).
    feet: the last `feet` joints get layers of their own after the last hourglass. They can then be trained
    without changing the other joints.

    Two options serve the comparison in figure 8. `residuals` sets the number of blocks at every position, so one
    hourglass can be as deep as a stack. `inner_score` adds heatmaps from before each hourglass's last
    upsampling. They are scaled up to full size and come before the heatmaps of that stack.
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
        feet: int = 0,
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
        self.feet: nn.Sequential | None = None
        if feet:
            self.feet = nn.Sequential(
                residual(2 * features + keypoints, FEET_FEATURES),
                Hourglass(FEET_LEVELS, FEET_FEATURES, block=block),
                nn.Conv2d(FEET_FEATURES, feet, 1),
            )

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, stacks, K, H/4, W/4).

        There is one set per stack. The heatmaps of a Lite-HRNet stem come first.
        """
        maps, x, seen = self.stacked(crops)
        if self.feet is not None:
            feet = self.feet(feet_input(maps, x, seen))
            maps[-1] = torch.cat([maps[-1][:, : -feet.shape[1]], feet], dim=1)
        return torch.stack(maps, dim=1)

    def stacked(self, crops: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """All sets of heatmaps, and the input and output of the last hourglass."""
        x, maps = self._begin(crops)  # (B, 256, 64, 64)
        for s, hourglass in enumerate(self.hg):
            seen, half = hourglass.with_half(x)  # type: ignore[operator]
            if self.inner_score:
                maps.append(F.interpolate(self.inner_score[s](half), scale_factor=2.0, mode="nearest"))
            y = self.fc[s](self.res[s](seen))  # (B, 256, 64, 64)
            maps.append(self.score[s](y))  # (B, K, 64, 64)
            if s < len(self.merge_score):
                x = x + self.merge_features[s](y) + self.merge_score[s](maps[-1])
        return maps, x, seen

    def _begin(self, crops: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stem: crops -> (features (B, features, H/4, W/4), list of the stem's heatmaps, may be empty)."""
        if self.stem is None:
            x = F.relu(self.bn1(self.conv1(crops)), inplace=True)  # (B, 64, 128, 128)
            x = F.max_pool2d(self.res1(x), 2)  # (B, 128, 64, 64)
            return self.res3(self.res2(x)), []
        *_, half, full = self.stem.features(crops)
        maps = self.stem.score(full)  # (B, K, 64, 48)
        half = F.interpolate(half, scale_factor=2.0, mode="nearest")
        x = self.stem_features(torch.cat([full, half, SMALLER * maps], dim=1))
        return self.res1(x), [maps]
