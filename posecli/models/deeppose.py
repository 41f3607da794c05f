"""DeepPose: Toshev, Szegedy, "DeepPose: Human Pose Estimation via Deep Neural Networks", CVPR 2014
(arXiv 1312.4659). Coordinates straight from the picture, refined by a cascade.

The first stage sees the whole crop at half its size and says where all joints are; every later stage
looks at the full crop around each joint, and says how far off that joint was. Shapes in the margin are
for crops of 440 x 440, of which a stage sees 220 x 220, as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

ALEXNET_CELLS = 6  # a side of the last maps, whatever the crop's size
DROPOUT = 0.6
SMALLEST_DIAMETER = 0.05  # of the crop: people whose torso is seen end on still have one
TAUGHT_VIEWS = 2  # joints of a person that a later stage learns from in a step; each costs a whole network


class AlexNet(nn.Module):
    """Krizhevsky et al. 2012 as the paper draws it (figure 2), with local response normalisation."""

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
    """A ResNet that gives `outputs` numbers."""
    network: nn.Module = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=outputs)
    return network


class DeepPose(nn.Module):
    """backbone: "alexnet" as in the paper, or "resnet" of a depth. stages: 1 is regression alone; the paper
    has 3. torso: the joints whose distance is a person's diameter, left shoulder and right hip. window:
    the side of a later stage's view in diameters; the paper has 1.0 on FLIC and 2.0 on LSP.

    The paper trains stages one after the other on displacements drawn from the errors of the stage
    before; here all learn at once, each from the estimates that the stage before it makes.
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
        """Crops (B, 3, H, W), normalised -> (B, stages, K, 2): x and y of the joints after each stage, as
        shares of the crop's width and height from its middle (equation 1)."""
        b, k = crops.shape[0], self.keypoints  # len() would be a constant in a traced network
        whole = F.avg_pool2d(crops, 2)  # (B, 3, 220, 220)
        found = [self.stages[0](whole).view(b, k, 2)]
        for stage in self.stages[1:]:
            around = found[-1].detach()  # (B, K, 2)
            joints = self._taught(b, crops.device) if self.training else None  # (B, V); None: all
            middles = around if joints is None else _rows(around, joints)  # (B, V, 2)
            side = self.window * self._diameter(around, crops)  # (B,) of the crop's height
            aspect = torch.tensor([crops.shape[2] / crops.shape[3], 1.0], device=crops.device)
            sides = (side[:, None] * aspect)[:, None].expand_as(middles)  # shares of the crop
            views = _views(crops, middles, sides, tuple(whole.shape[2:]))  # (B * V, 3, 220, 220)
            steps = stage(views).view(b, -1, k, 2)
            if joints is None:  # each view tells of its own joint alone
                found.append(middles + steps.diagonal(dim1=1, dim2=2).transpose(1, 2) * sides)
            else:
                own = steps.gather(2, joints[..., None, None].expand(-1, -1, 1, 2))[:, :, 0]
                better = (middles + own * sides).to(around.dtype)
                found.append(around.scatter(1, joints[..., None].expand_as(better), better))
        return torch.stack(found, dim=1)

    def _taught(self, people: int, device: torch.device) -> Tensor:
        """(people, V) the joints that a later stage learns from in a step."""
        return torch.rand(people, self.keypoints, device=device).argsort(dim=1)[:, :TAUGHT_VIEWS]

    def _diameter(self, points: Tensor, crops: Tensor) -> Tensor:
        """(B,) torso diameters as shares of the crop's height."""
        a, b = (points[:, joint] for joint in self.torso)
        across = (a - b) * torch.tensor([crops.shape[3] / crops.shape[2], 1.0], device=crops.device)
        diameters: Tensor = across.norm(dim=1).clamp(SMALLEST_DIAMETER, 1.0)
        return diameters


def _rows(points: Tensor, joints: Tensor) -> Tensor:
    """(B, V, 2) some of the points (B, K, 2)."""
    return points.gather(1, joints[..., None].expand(-1, -1, 2))


def _views(crops: Tensor, middles: Tensor, sides: Tensor, size: tuple[int, ...]) -> Tensor:
    """Windows of `size` cut from crops around middles (B, K, 2) with sides (B, K, 2), all shares of the
    crop; black outside it. (B * K, 3, h, w)."""
    b, k = middles.shape[:2]
    theta = crops.new_zeros(b * k, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides.reshape(-1, 2).unbind(1)
    theta[:, :, 2] = 2 * middles.reshape(-1, 2)  # affine_grid's unit is half a crop
    grid = F.affine_grid(theta, [b * k, 3, *size], align_corners=False)
    return F.grid_sample(crops.repeat_interleave(k, dim=0), grid, align_corners=False)
