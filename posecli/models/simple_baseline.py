"""Simple Baselines: Xiao, Wu, Wei, "Simple Baselines for Human Pose Estimation and Tracking",
ECCV 2018 (arXiv 1804.06208). A ResNet, three transposed convolutions, and one convolution.

The shapes in the comments are for crops of 256 x 192.
"""

from __future__ import annotations

from itertools import pairwise

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

DECONVOLUTIONS = 3
DECONVOLVED = 256  # channels


class SimpleBaseline(nn.Module):
    """depth: of the ResNet, 50, 101 or 152. Attribute names follow the published files."""

    def __init__(self, depth: int = 50, keypoints: int = 17) -> None:
        super().__init__()
        resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        modules: list[nn.Module] = []
        for inputs, outputs in pairwise([2048, *[DECONVOLVED] * DECONVOLUTIONS]):
            modules += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*modules)
        self.final_layer = nn.Conv2d(DECONVOLVED, keypoints, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, 1, K, H/4, W/4)."""
        x = F.relu(self.bn1(self.conv1(crops)), inplace=True)  # (B, 64, 128, 96)
        x = F.max_pool2d(x, 3, stride=2, padding=1)  # (B, 64, 64, 48)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 2048, 8, 6)
        x = self.deconv_layers(x)  # (B, 256, 64, 48)
        maps: Tensor = self.final_layer(x)
        return maps.unsqueeze(1)
