"""HRNet: Sun, Xiao, Liu, Wang, "Deep High-Resolution Representation Learning for Human Pose
Estimation", CVPR 2019 (arXiv 1902.09212).


A branch at a quarter of the crop size runs through the whole network. Each stage adds a branch at half the size of
the last one. The modules of a stage exchange features between all branches. The shapes in the comments are for
W32 and crops of 256 x 192. Attribute names follow the published files.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

BLOCKS = 4  # residual blocks per branch in a module, and bottlenecks in the first stage
MODULES = {2: 1, 3: 4, 4: 3}  # number of branches -> number of modules in that stage


class Exchange(nn.Module):
    """Four basic blocks on every branch. Then each branch gets the sum of all branches, resized to its size.

    outputs: number of branches in the output, the largest first.
    """

    def __init__(self, channels: list[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c, c) for _ in range(BLOCKS))) for c in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_bring(j, i, channels) for j in range(len(channels))) for i in range(outputs)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [block(x) for block, x in zip(self.branches, branches, strict=True)]
        fused = []
        for rows in self.fuse_layers:
            parts = [rows[j](x) for j, x in enumerate(branches)]  # type: ignore[index]
            fused.append(F.relu(sum(parts[1:], parts[0])))
        return fused


def _bring(source: int, target: int, channels: list[int]) -> nn.Module:
    """Convert branch `source` to the size and channels of branch `target`. Branch 0 is the largest."""
    if source == target:
        return nn.Identity()
    if source > target:
        factor = float(2 ** (source - target))
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            nn.BatchNorm2d(channels[target]),
            nn.Upsample(scale_factor=factor, mode="nearest"),
        )
    steps = target - source
    return nn.Sequential(
        *(_halve(channels[source], channels[source], relu=True) for _ in range(steps - 1)),
        _halve(channels[source], channels[target], relu=False),
    )


def _halve(inputs: int, outputs: int, relu: bool) -> nn.Sequential:
    modules: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*modules, *([nn.ReLU(inplace=True)] if relu else []))


class HRNet(nn.Module):
    """width: channels of the largest branch, 32 or 48 in the paper. The others have 2, 4 and 8 times as many."""

    def __init__(self, width: int = 32, keypoints: int = 17) -> None:
        super().__init__()
        channels = [width * 2**i for i in range(4)]
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        widen = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, downsample=widen), *(Bottleneck(256, 64) for _ in range(BLOCKS - 1))
        )
        first = nn.Sequential(
            nn.Conv2d(256, channels[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(inplace=True),
        )
        self.transition1 = nn.ModuleList([first, nn.Sequential(_halve(256, channels[1], relu=True))])
        self.stage2 = _stage(channels[:2])
        self.transition2 = _one_more(channels[:3])
        self.stage3 = _stage(channels[:3])
        self.transition3 = _one_more(channels)
        self.stage4 = _stage(channels, last=True)
        self.final_layer = nn.Conv2d(width, keypoints, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Normalised crops (B, 3, H, W) -> heatmaps (B, 1, K, H/4, W/4)."""
        x = F.relu(self.bn1(self.conv1(crops)), inplace=True)  # (B, 64, 128, 96)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)  # (B, 64, 64, 48)
        x = self.layer1(x)  # (B, 256, 64, 48)
        branches = self.stage2([step(x) for step in self.transition1])  # 32 x 64 x 48, 64 x 32 x 24
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])  # and 128 x 16 x 12
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])  # and 256 x 8 x 6
        maps: Tensor = self.final_layer(branches[0])
        return maps.unsqueeze(1)


def _stage(channels: list[int], last: bool = False) -> nn.Sequential:
    """The modules of a stage. The last module of the last stage outputs only the largest branch."""
    modules = MODULES[len(channels)]
    outputs = [len(channels)] * modules
    if last:
        outputs[-1] = 1
    return nn.Sequential(*(Exchange(channels, n) for n in outputs))


def _one_more(channels: list[int]) -> nn.ModuleList:
    """Make a new branch from the smallest one. The others pass through unchanged."""
    passed = [nn.Identity() for _ in channels[:-1]]
    return nn.ModuleList([*passed, nn.Sequential(_halve(channels[-2], channels[-1], relu=True))])
