"""CPM: Wei, Ramakrishna, Kanade, Sheikh, "Convolutional Pose Machines", CVPR 2016 (arXiv 1602.00134).
Stage after stage looks at the picture and at what the stage before believes, through kernels so wide
that the last ones see the whole person; a loss after every stage.

Shapes in the margin are for crops of 368 x 368 and the 14 joints of LSP, as in the paper (figure 2).
Layers are those of the authors' own definition (shihenw/convolutional-pose-machines-release).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 128
PICTURE = 32  # channels that every stage sees of the picture
CENTRE_SIGMA = 21 / 368  # of the crop's height: how far the middle person is marked
DROPOUT = 0.5


class FirstStage(nn.Module):
    """Local evidence alone."""

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
    """The picture's features, the last stage's beliefs and where the person is, through 11 x 11 kernels."""

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
    """stages: the paper has 6. Each has a map more than there are joints, for what is no joint: it is
    handed on between stages and not given out.

    The paper's maps are an eighth of the crop; they are enlarged to a quarter, the size of every other
    network's, so that the same targets and decoding serve.
    """

    def __init__(self, stages: int = 6, keypoints: int = 14) -> None:
        super().__init__()
        self.keypoints = keypoints
        self.first = FirstStage(keypoints + 1)
        self.features = _picture()  # of the picture, shared by all later stages
        self.later = nn.ModuleList(LaterStage(keypoints + 1) for _ in range(stages - 1))

    def forward(self, crops: Tensor) -> Tensor:
        """Crops (B, 3, H, W), normalised -> maps (B, stages, K, H/4, W/4), one set a stage."""
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
    """(B, 1, h, w): a Gaussian in the middle of the crop, where the person is."""
    h, w = features.shape[2:]
    y = torch.arange(h, device=features.device, dtype=features.dtype) - (h - 1) / 2
    x = torch.arange(w, device=features.device, dtype=features.dtype) - (w - 1) / 2
    distances = y[:, None] ** 2 + x[None] ** 2  # cells
    centre = torch.exp(-distances / (2 * (CENTRE_SIGMA * h) ** 2))
    return centre.expand(features.shape[0], 1, h, w)
