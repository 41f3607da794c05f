"""CPM: Wei, Ramakrishna, Kanade, Sheikh, "Convolutional Pose Machines", CVPR 2016 (arXiv 1602.00134).

Every stage sees the image features and the belief maps of the previous stage. Wide kernels give the last
layers a view of the whole person. There is a loss after every stage.
The shapes in the comments are for crops of 368 x 368 and the 14 joints of LSP, as in figure 2 of the paper.
The layers follow the authors' code (shihenw/convolutional-pose-machines-release).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 128
PICTURE = 32  # channels of the image features in every stage
CENTRE_SIGMA = 21 / 368  # share of the crop height: sigma of the Gaussian that marks the central person
DROPOUT = 0.5


class FirstStage(nn.Module):
    """The first stage, which uses image features only."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.features = _picture()  # (B, 128, 46, 46)
        self.head = nn.Sequential(
            *_conv(FEATURES, PICTURE, 5),
            *_conv(PICTURE, 512, 9),
            nn.Dropout(DROPOUT),
            *_conv(512, 512, 1),
            nn.Dropout(DROPOUT),
            nn.Conv2d(512, maps, 1),  # (B, 15, 46, 46)
        )

    def forward(self, crops: Tensor) -> Tensor:
        beliefs: Tensor = self.head(self.features(crops))
        return beliefs


class LaterStage(nn.Module):
    """A later stage: combines image features, the previous belief maps and the centre map with 11 x 11 kernels."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.picture = _conv(FEATURES, PICTURE, 5)
        self.context = nn.Sequential(
            *_conv(PICTURE + maps + 1, FEATURES, 11),
            *_conv(FEATURES, FEATURES, 11),
            *_conv(FEATURES, FEATURES, 11),
            *_conv(FEATURES, FEATURES, 1),
            nn.Conv2d(FEATURES, maps, 1),
        )

    def forward(self, features: Tensor, beliefs: Tensor, centre: Tensor) -> Tensor:
        seen = torch.cat([self.picture(features), beliefs, centre], dim=1)  # (B, 48, 46, 46)
        better: Tensor = self.context(seen)
        return better


class CPM(nn.Module):
    """The whole network.

    stages: number of stages, 6 in the paper. Each stage has one map more than joints, for the background. It is
    passed on between stages and is not part of the output.
    The maps of the paper have an eighth of the crop size. They are enlarged to a quarter, as in all other networks,
    so that the same targets and the same decoding work.
    """

    def __init__(self, stages: int = 6, keypoints: int = 14) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.first = FirstStage(keypoints + 1)
        self.features = _picture()  # shared by all later stages
        self.later = nn.ModuleList(LaterStage(keypoints + 1) for _ in range(stages - 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, stages, K, H/4, W/4), one set per stage."""
        beliefs = [self.first(crops)]
        features = self.features(crops)
        centre = _centre(features)
        for stage in self.later:
            beliefs.append(stage(features, beliefs[-1], centre))
        maps = torch.stack([b[:, : self.keypoints] for b in beliefs], dim=1)  # (B, stages, 14, 46, 46)
        size = [crops.shape[2] // 4, crops.shape[3] // 4]
        large = F.interpolate(maps.flatten(1, 2), size=size, mode="bilinear", align_corners=False)
        return large.view(crops.shape[0], -1, self.keypoints, *size)  # (B, stages, 14, 92, 92)


def _picture() -> nn.Sequential:
    modules: list[nn.Module] = []
    for inputs in (3, FEATURES, FEATURES):
        modules += [*_conv(inputs, FEATURES, 9), nn.MaxPool2d(3, stride=2, ceil_mode=True)]
    return nn.Sequential(*modules)


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True))


def _centre(features: Tensor) -> Tensor:
    """The centre map (B, 1, h, w): a Gaussian in the middle of the crop, where the person is."""
    h, w = features.shape[2:]
    y = torch.arange(h, device=features.device, dtype=features.dtype) - (h - 1) / 2
    x = torch.arange(w, device=features.device, dtype=features.dtype) - (w - 1) / 2
    distances = y[:, None] ** 2 + x[None] ** 2  # cells
    centre = torch.exp(-distances / (2 * (CENTRE_SIGMA * h) ** 2))
    return centre.expand(features.shape[0], 1, h, w)
