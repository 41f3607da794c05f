"""Building blocks that several networks use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 4  # levels of the pyramid in PyramidResidual


class Residual(nn.Module):
    """Pre-activation bottleneck: BN ReLU 1x1 (out/2), BN ReLU 3x3 (out/2), BN ReLU 1x1 (out).

    The skip is the identity, or a 1x1 convolution if the number of channels changes (He et al. 2016; Newell et al.
    2016, section 3.1). A convolution before a batch norm needs no bias. `bias=True` adds one, as in the published
    files.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        middle = outputs // 2
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=bias)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=bias)
        self.bn3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, outputs, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu(self.bn1(x)))
        y = self.conv2(self.relu(self.bn2(y)))
        y = self.conv3(self.relu(self.bn3(y)))
        out: Tensor = y + self.skip(x)
        return out


class GatedResidual(Residual):
    """A residual block with a learned weight per channel on its skip: alpha x + F(x). alpha starts at 1.

    Source: Bulat et al., "Toward fast and accurate human pose estimation via soft-gated skip connections", FG 2020,
    equation 2.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias)
        self.gate = nn.Parameter(torch.ones(outputs))  # a vector, so it gets no weight decay

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu(self.bn1(x)))
        y = self.conv2(self.relu(self.bn2(y)))
        y = self.conv3(self.relu(self.bn3(y)))
        out: Tensor = y + self.gate.view(-1, 1, 1) * self.skip(x)
        return out


class PyramidResidual(Residual):
    """A residual block with a second branch that sees the features at several scales.

    It is PRM-B of Yang et al., "Learning Feature Pyramids for Human Pose Estimation", ICCV 2017, equations 2 and 3.
    Level c of C is scaled down by 2^(c/C). All levels share the 1x1 convolutions before and after them.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias)
        middle, narrow = outputs // 2, max(4, outputs // 8)
        self.bn_in = nn.BatchNorm2d(inputs)
        self.conv_in = nn.Conv2d(inputs, narrow, 1, bias=bias)
        self.bn_level = nn.ModuleList(nn.BatchNorm2d(narrow) for _ in range(LEVELS))
        self.conv_level = nn.ModuleList(
            nn.Conv2d(narrow, narrow, 3, padding=1, bias=bias) for _ in range(LEVELS)
        )
        self.bn_out = nn.BatchNorm2d(narrow)
        self.conv_out = nn.Conv2d(narrow, middle, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu(self.bn1(x)))
        y = self.conv2(self.relu(self.bn2(y))) + self._pyramid(x)
        y = self.conv3(self.relu(self.bn3(y)))
        out: Tensor = y + self.skip(x)
        return out

    def _pyramid(self, x: Tensor) -> Tensor:
        narrow = self.conv_in(F.relu(self.bn_in(x)))
        size = list(narrow.shape[2:])
        levels = []
        for c, (norm, conv) in enumerate(zip(self.bn_level, self.conv_level, strict=True), 1):
            smaller = [max(1, round(side / 2 ** (c / LEVELS))) for side in size]
            level = conv(F.relu(norm(F.adaptive_max_pool2d(narrow, smaller))))
            levels.append(F.interpolate(level, size=size, mode="bilinear", align_corners=False))
        out: Tensor = self.conv_out(F.relu(self.bn_out(torch.stack(levels).sum(dim=0))))
        return out


BLOCKS = {"residual": Residual, "gated": GatedResidual, "pyramid": PyramidResidual}
