"""DeepPose: Toshev, Szegedy, "DeepPose: Human Pose Estimation via Deep Neural Networks", CVPR 2014
(arXiv 1312.4659). It regresses coordinates from the crop and refines them with a cascade.

The first stage sees the whole crop at half its size and predicts all joints. Every later stage sees the
full-size crop around each joint and predicts how far off that joint was. The shapes in the comments are
for crops of 440 x 440 as in the paper. Each stage then gets 220 x 220 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

ALEXNET_CELLS = 6  # side of the last feature maps, for every crop size
DROPOUT = 0.6
SMALLEST_DIAMETER = 0.05  # share of the crop height; a torso that points at the camera has almost no length
TAUGHT_VIEWS = 2  # joints per person and step that train a later stage; each needs its own forward pass


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky et al. 2012) as in figure 2 of the paper, with local response normalisation."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4, padding=4),  # (B, 96, 55, 55)
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, stride=2),  # (B, 96, 27, 27)
            nn.Conv2d(96, 256, 5, padding=2),  # (B, 256, 27, 27)
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, stride=2),  # (B, 256, 13, 13)
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveMaxPool2d(ALEXNET_CELLS),  # (B, 256, 6, 6)
        )
        self.regressor = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * ALEXNET_CELLS**2, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(DROPOUT),
            nn.Linear(4096, outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        numbers: Tensor = self.regressor(self.features(x))
        return numbers


def resnet(depth: int, outputs: int) -> nn.Module:
    """A ResNet with `outputs` output values."""
    network: nn.Module = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=outputs)
    return network


class DeepPose(nn.Module):
    """The cascade of networks.

    backbone: "alexnet" as in the paper, or "resnet" with `depth` layers.
    stages: number of stages; 1 means no refinement. The paper uses 3.
    torso: the two joints whose distance is the person's diameter: left shoulder and right hip.
    window: side of a later stage's view, in diameters. The paper uses 1.0 on FLIC and 2.0 on LSP.

    The paper trains the stages one after the other, on displacements sampled from the errors of the previous
    stage. Here all stages train together. Each one learns from the actual estimates of the previous stage.
    """

    def __init__(
        self,
        backbone: str = "alexnet",
        depth: int = 50,
        keypoints: int = 14,
        stages: int = 3,
        torso: Sequence[int] = (9, 2),
        window: float = 2.0,
    ) -> None:
        super().__init__()
        self.keypoints, self.torso, self.window = keypoints, tuple(torso), window
        self.stages = nn.ModuleList(
            AlexNet(2 * keypoints) if backbone == "alexnet" else resnet(depth, 2 * keypoints)
            for _ in range(stages)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> joint positions (B, stages, K, 2) after each stage.

        x and y are shares of the crop's width and height, relative to its centre (equation 1).
        """
        b, k = crops.shape[0], self.keypoints  # len() would be a constant in a traced network
        whole = F.avg_pool2d(crops, 2)  # (B, 3, 220, 220)
        found = [self.stages[0](whole).view(b, k, 2)]
        for stage in self.stages[1:]:
            around = found[-1].detach()  # (B, K, 2)
            joints = self._taught(b, crops.device) if self.training else None  # (B, V); None: all
            middles = around if joints is None else _rows(around, joints)  # (B, V, 2)
            side = self.window * self._diameter(around, crops)  # (B,) shares of the crop height
            aspect = torch.tensor([crops.shape[2] / crops.shape[3], 1.0], device=crops.device)
            # Shares of the crop's width and height.
            sides = (side[:, None] * aspect)[:, None].expand_as(middles)
            views = _views(crops, middles, sides, tuple(whole.shape[2:]))  # (B * V, 3, 220, 220)
            steps = stage(views).view(b, -1, k, 2)
            if joints is None:  # use only the joint at the centre of each view
                found.append(middles + steps.diagonal(dim1=1, dim2=2).transpose(1, 2) * sides)
            else:
                own = steps.gather(2, joints[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
                better = (middles + own * sides).to(around.dtype)
                found.append(around.scatter(1, joints[..., None].expand_as(better), better))
        return torch.stack(found, dim=1)

    def _taught(self, people: int, device: torch.device) -> Tensor:
        """Random joints (people, V) that train a later stage in this step."""
        return torch.rand(people, self.keypoints, device=device).argsort(dim=1)[:, :TAUGHT_VIEWS]

    def _diameter(self, points: Tensor, crops: Tensor) -> Tensor:
        """Torso diameters (B,) as shares of the crop height."""
        a, b = (points[:, joint] for joint in self.torso)
        across = (a - b) * torch.tensor([crops.shape[3] / crops.shape[2], 1.0], device=crops.device)
        diameters: Tensor = across.norm(dim=1).clamp(SMALLEST_DIAMETER, 1.0)
        return diameters


def _rows(points: Tensor, joints: Tensor) -> Tensor:
    """Select the points (B, V, 2) of the given joints (B, V) from points (B, K, 2)."""
    return points.gather(1, joints[..., None].expand(-1, -1, 2))


def _views(crops: Tensor, middles: Tensor, sides: Tensor, size: tuple[int, ...]) -> Tensor:
    """Cut windows (B * K, 3, h, w) of `size` (h, w) from the crops. Outside the crop they are black.

    middles, sides: (B, K, 2) centres and sides of the windows, as shares of the crop.
    """
    b, k = middles.shape[:2]
    theta = crops.new_zeros(b * k, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides.reshape(-1, 2).unbind(1)
    theta[:, :, 2] = 2 * middles.reshape(-1, 2)  # affine_grid measures in half crops
    grid = F.affine_grid(theta, [b * k, 3, *size], align_corners=False)
    return F.grid_sample(crops.repeat_interleave(k, dim=0), grid, align_corners=False)
