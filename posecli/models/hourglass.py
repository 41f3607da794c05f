"""The stacked hourglass: Newell, Yang, Deng, "Stacked Hourglass Networks for Human Pose
Estimation", ECCV 2016 (arXiv 1603.06937).

Shapes in the margin are for 256 x 256 crops and the paper's 256 features; the network is fully
convolutional and takes any size that 64 divides.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posecli.models.blocks import Residual

LEVELS = 4  # 64 -> 32 -> 16 -> 8 -> 4 cells
MULTIPLE = 4 << LEVELS  # crop sides must be a multiple of this many pixels


class Hourglass(nn.Module):
    """Down to the lowest resolution and up again, a skip branch at every level (figure 3)."""

    def __init__(self, level: int, features: int, bias: bool = False) -> None:
        super().__init__()
        self.up = Residual(features, features, bias)
        self.down = Residual(features, features, bias)
        self.inner: nn.Module = (
            Hourglass(level - 1, features, bias) if level > 1 else Residual(features, features, bias)
        )
        self.out = Residual(features, features, bias)

    def forward(self, x: Tensor) -> Tensor:
        low = self.down(F.max_pool2d(x, 2))
        low = self.out(self.inner(low))
        skip: Tensor = self.up(x)
        return skip + F.interpolate(low, scale_factor=2.0, mode="nearest")


class StackedHourglass(nn.Module):
    """`stacks` hourglasses end to end, maps after each, remapped into the next (figure 4).

    stem: channels after the 7 x 7 convolution, the first and the second residual. The paper has
    (64, 128, 128); bearpaw/pytorch-pose has (64, 128, 256). bias: whether convolutions that a
    batch-norm follows have one; published files do, our own networks do not need it.
    """

    def __init__(
        self,
        stacks: int = 8,
        features: int = 256,
        keypoints: int = 16,
        stem: tuple[int, int, int] | list[int] = (64, 128, 128),
        bias: bool = False,
    ) -> None:
        super().__init__()
        first, second, third = stem
        self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3, bias=bias)
        self.bn1 = nn.BatchNorm2d(first)
        self.res1 = Residual(first, second, bias)
        self.res2 = Residual(second, third, bias)
        self.res3 = Residual(third, features, bias)
        self.hg = nn.ModuleList(Hourglass(LEVELS, features, bias) for _ in range(stacks))
        self.res = nn.ModuleList(Residual(features, features, bias) for _ in range(stacks))
        self.fc = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(features, features, 1, bias=bias),
                nn.BatchNorm2d(features),
                nn.ReLU(inplace=True),
            )
            for _ in range(stacks)
        )
        self.score = nn.ModuleList(nn.Conv2d(features, keypoints, 1) for _ in range(stacks))
        self.merge_features = nn.ModuleList(nn.Conv2d(features, features, 1) for _ in range(stacks - 1))
        self.merge_score = nn.ModuleList(nn.Conv2d(keypoints, features, 1) for _ in range(stacks - 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Crops (B, 3, H, W), normalised -> maps (B, stacks, K, H/4, W/4), one set a stack."""
        x = F.relu(self.bn1(self.conv1(crops)), inplace=True)  # (B, 64, 128, 128)
        x = F.max_pool2d(self.res1(x), 2)  # (B, 128, 64, 64)
        x = self.res3(self.res2(x))  # (B, 256, 64, 64)
        maps = []
        for s, hourglass in enumerate(self.hg):
            y = self.fc[s](self.res[s](hourglass(x)))  # (B, 256, 64, 64)
            maps.append(self.score[s](y))  # (B, K, 64, 64)
            if s < len(self.merge_score):
                x = x + self.merge_features[s](y) + self.merge_score[s](maps[s])
        return torch.stack(maps, dim=1)
