"""Blocks that the networks share."""

from __future__ import annotations

from torch import Tensor, nn


class Residual(nn.Module):
    """Pre-activation bottleneck: BN ReLU 1x1 (out/2), BN ReLU 3x3 (out/2), BN ReLU 1x1 (out).

    The skip is the identity, or a 1x1 convolution where channels change (He et al. 2016;
    Newell et al. 2016, section 3.1). Convolutions followed by a batch-norm need no bias;
    `bias=True` builds them as the published files have them.
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
