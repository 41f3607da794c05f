"""CPN: Chen et al., "Cascaded Pyramid Network for Multi-Person Pose Estimation", CVPR 2018
(arXiv 1711.07319).

GlobalNet finds the easy joints on a feature pyramid. RefineNet combines all levels of the pyramid for the hard
joints, and learns only from the worst joints of each person. The shapes in the comments are for crops of
256 x 192. Attribute names follow the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

PYRAMID = 256  # channels of every level
LEVELS = (2048, 1024, 512, 256)  # channels of the ResNet's stages, smallest feature maps first


class ResNetStages(nn.Module):
    """The features of the ResNet's four stages, smallest feature maps first."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None)
        self.conv1, self.bn1 = resnet.conv1, resnet.bn1
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4

    def forward(self, crops: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(crops)), inplace=True), 3, stride=2, padding=1)
        c2 = self.layer1(x)  # (B, 256, 64, 48)
        c3 = self.layer2(c2)  # (B, 512, 32, 24)
        c4 = self.layer3(c3)  # (B, 1024, 16, 12)
        return [self.layer4(c4), c4, c3, c2]  # (B, 2048, 8, 6) first


class GlobalNet(nn.Module):
    """A feature pyramid with a head at every level."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_conv1(channels, relu=True) for channels in LEVELS)
        # Index 0 is the upsampling layer in the published files. The Identity keeps the numbering.
        self.upsamples = nn.ModuleList(
            nn.Sequential(nn.Identity(), nn.Conv2d(PYRAMID, PYRAMID, 1, bias=False), nn.BatchNorm2d(PYRAMID))
            for _ in LEVELS[1:]
        )
        self.predict = nn.ModuleList(
            nn.Sequential(
                *_conv1(PYRAMID, relu=True),
                nn.Conv2d(PYRAMID, keypoints, 3, padding=1, bias=False),
                nn.Identity(),  # the upsampling layer in the published files
                nn.BatchNorm2d(keypoints),
            )
            for _ in LEVELS
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(levels of the pyramid, smallest first; heatmaps of each level at the size of the largest)."""
        size = tuple(features[-1].shape[2:])
        levels: list[Tensor] = []
        maps = []
        for i, feature in enumerate(features):
            level = self.laterals[i](feature)
            if levels:
                level = level + self.upsamples[i - 1](_enlarged(levels[-1], tuple(feature.shape[2:])))
            levels.append(level)
            head: nn.Sequential = self.predict[i]  # type: ignore[assignment]
            maps.append(head[5](_enlarged(head[:4](level), size)))
        return levels, maps


class RefineBottleneck(nn.Module):
    """A bottleneck with 128 inner and 256 outer channels, and a convolution on its skip connection."""

    def __init__(self, inputs: int, middle: int = PYRAMID // 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, 2 * middle, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * middle)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, 2 * middle, 1, bias=False), nn.BatchNorm2d(2 * middle)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class RefineNet(nn.Module):
    """Refines all levels with bottlenecks, most for the smallest, upsamples and concatenates them for one head."""

    def __init__(self, keypoints: int) -> None:
        super().__init__()
        levels = len(LEVELS)
        self.cascade = nn.ModuleList(
            nn.Sequential(*(RefineBottleneck(PYRAMID) for _ in range(levels - 1 - i))) for i in range(levels)
        )
        self.final_predict = nn.Sequential(
            RefineBottleneck(levels * PYRAMID),
            nn.Conv2d(PYRAMID, keypoints, 3, padding=1, bias=False),
            nn.BatchNorm2d(keypoints),
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        size = tuple(levels[-1].shape[2:])
        refined = [_enlarged(steps(x), size) for steps, x in zip(self.cascade, levels, strict=True)]
        maps: Tensor = self.final_predict(torch.cat(refined, dim=1))
        return maps


class CPN(nn.Module):
    """depth: of the ResNet, 50 or 101."""

    def __init__(self, depth: int = 50, keypoints: int = 17) -> None:
        super().__init__()
        self.resnet = ResNetStages(depth)
        self.global_net = GlobalNet(keypoints)
        self.refine_net = RefineNet(keypoints)

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, 5, K, H/4, W/4): four of GlobalNet, one of RefineNet."""
        levels, maps = self.global_net(self.resnet(crops))
        return torch.stack([*maps, self.refine_net(levels)], dim=1)


def _conv1(inputs: int, relu: bool) -> nn.Sequential:
    modules: list[nn.Module] = [nn.Conv2d(inputs, PYRAMID, 1, bias=False), nn.BatchNorm2d(PYRAMID)]
    return nn.Sequential(*modules, *([nn.ReLU(inplace=True)] if relu else []))


def _enlarged(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Upsample bilinearly with aligned corners, as in the training of the published weights."""
    if tuple(x.shape[2:]) == size:
        return x
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=True)
