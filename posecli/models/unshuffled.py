"""Rewrites a trained Lite-HRNet so that it gives the same answer without moving channels.

Shuffle blocks cut the channels in two and mix them. That costs no arithmetic, but engines lay the numbers out anew for
each block: on a CPU, OpenVINO needs 1.6 times as long. Here every channel keeps its place, and the weights of the
convolutions are sorted instead. An `order` says which channel of the trained network stands at each place.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from posecli.models.hourglass import StackedHourglass
from posecli.models.lite_hrnet import CHANNELS, LiteHRNet


@torch.no_grad()
def unshuffled(network: nn.Module) -> nn.Module:
    """A network with the same answers (to rounding) that engines run faster; for evaluation only.

    Networks without a Lite-HRNet, and those that were rewritten before, are returned as they are, others are copied.
    """
    trained = network.stem if isinstance(network, StackedHourglass) else network
    if not isinstance(trained, LiteHRNet) or isinstance(trained.stem, Halves):
        return network
    if not isinstance(network, StackedHourglass):
        return _rewritten(trained)[0]
    new: Any = copy.deepcopy(network)
    new.stem, order = _rewritten(trained)
    # The features of half the size come in this order; those of full size as they were.
    inputs = torch.arange(new.stem_features.in_channels)
    inputs[CHANNELS[0] : 2 * CHANNELS[0]] = CHANNELS[0] + order
    new.stem_features = _sorted(new.stem_features, inputs=inputs)
    rewritten: nn.Module = new.eval()
    return rewritten


def _rewritten(trained: LiteHRNet) -> tuple[LiteHRNet, Tensor]:
    """The network, and the order of its features of half the full size."""
    net: Any = _folded(trained)
    orders = [torch.arange(channels) for channels in CHANNELS]  # of the branches
    net.stem, order = _stem(net.stem), _mixed(net.stem.conv1[0].out_channels)
    net.transition1 = nn.ModuleList(_path(step, order, None) for step in net.transition1)
    for count, stage in ((2, net.stage2), (3, net.stage3), (4, net.stage4)):
        for module in stage:
            for i in range(count):
                units = []
                for unit in module.branches[i]:
                    new, orders[i] = _unit(unit, orders[i])
                    units.append(new)
                module.branches[i] = nn.Sequential(*units)
            for i in range(count):
                for j in range(count):
                    if i != j:
                        module.fuse[i][j] = _path(module.fuse[i][j], orders[j], orders[i])
        if count < 4:
            name = f"transition{count}"
            setattr(net, name, _path(getattr(net, name), orders[count - 1], None))
    # The head's steps go from the smallest branch up; each is added to the next branch.
    for step, branch in enumerate((3, 2, 1, 0)):
        below = orders[branch - 1] if branch else None
        net.head[step] = _path(net.head[step], orders[branch], below)
    rewritten: LiteHRNet = net.eval()
    return rewritten, orders[0]


class Halves(nn.Module):
    """The `Stem`, with its first convolution cut in two instead of its channels."""

    def __init__(self, left: nn.Module, right: nn.Module, branch1: nn.Module, branch2: nn.Module) -> None:
        super().__init__()
        self.left, self.right, self.branch1, self.branch2 = left, right, branch1, branch2

    def forward(self, crops: Tensor) -> Tensor:
        left, right = F.relu(self.left(crops)), F.relu(self.right(crops))
        return torch.cat([self.branch1(left), self.branch2(right)], dim=1)


class InPlace(nn.Module):
    """A `ShuffleUnit` whose convolutions read and write the channels that change, where they stand."""

    def __init__(self, branch: nn.Module, passed: Tensor) -> None:
        """passed: (C,), 1 for each channel that passes, 0 for each that the branch writes."""
        super().__init__()
        self.branch = branch
        self.passed: Tensor
        self.register_buffer("passed", passed.view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.branch(x)
        return x * self.passed + changed


def _stem(stem: Any) -> Halves:
    """A `Stem` with its first convolution in halves."""
    whole = stem.conv1[0]
    first, second = torch.arange(whole.out_channels).chunk(2)
    return Halves(_sorted(whole, outputs=first), _sorted(whole, outputs=second), stem.branch1, stem.branch2)


def _unit(unit: Any, order: Tensor) -> tuple[InPlace, Tensor]:
    """A `ShuffleUnit` for channels in an order, and the order in which it leaves them."""
    (first, _), ((middle, *_), (last, _)) = unit.branch
    half = len(order) // 2
    passing, changing = torch.argsort(order).chunk(2)  # their places
    reading: Any = nn.Conv2d(len(order), half, 1)
    reading.weight.zero_()
    reading.weight[:, changing], reading.bias[:] = first.weight, first.bias
    writing: Any = nn.Conv2d(half, len(order), 1)
    writing.weight.zero_()
    writing.bias.zero_()
    writing.weight[changing], writing.bias[changing] = last.weight, last.bias
    passed = torch.ones(len(order))
    passed[changing] = 0
    after = torch.empty_like(order)
    after[torch.cat([passing, changing])] = _mixed(len(order))
    return InPlace(nn.Sequential(reading, nn.ReLU(), middle, writing, nn.ReLU()), passed), after


def _mixed(channels: int) -> Tensor:
    """Where the shuffle puts channels that stand one half after the other: 0, 2, 4, … 1, 3, 5, …"""
    return torch.cat([torch.arange(0, channels, 2), torch.arange(1, channels, 2)])


def _path(path: nn.Module, inputs: Tensor, outputs: Tensor | None) -> nn.Module:
    """A row of convolutions that reads channels in one order and writes them in another. None: as they were."""
    path = copy.deepcopy(path)
    steps: list[Any] = [
        m for m in path.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d)
    ]
    for step in steps:
        step[0] = _sorted(step[0], inputs=inputs)
        if step[0].groups == 1:  # the next convolutions get the channels as they were
            break
    if outputs is not None:
        steps[-1][0] = _sorted(steps[-1][0], outputs=outputs)
    return path


def _sorted(convolution: Any, inputs: Tensor | None = None, outputs: Tensor | None = None) -> Any:
    """The convolution for input channels in an order, with the output channels in another. One of each channel by itself
    keeps the inputs' order."""
    weight, bias = convolution.weight, convolution.bias
    if convolution.groups > 1 and inputs is not None:
        outputs = inputs
    elif inputs is not None:
        weight = weight[:, inputs]
    if outputs is not None:
        weight, bias = weight[outputs], bias[outputs] if bias is not None else None
    new = copy.deepcopy(convolution)
    new.in_channels = weight.shape[1] * convolution.groups
    new.out_channels = weight.shape[0]
    new.weight = nn.Parameter(weight.clone())
    new.bias = nn.Parameter(bias.clone()) if bias is not None else None
    return new


def _folded(trained: LiteHRNet) -> LiteHRNet:
    """A copy whose batch-norms are part of the convolutions before them."""
    net = copy.deepcopy(trained).eval()
    for module in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        parts = list(module)
        if len(parts) > 1 and isinstance(parts[0], nn.Conv2d) and isinstance(parts[1], nn.BatchNorm2d):
            kept = [fuse_conv_bn_eval(parts[0], parts[1]), *parts[2:]]
            for name in list(module._modules):
                delattr(module, name)
            for number, part in enumerate(kept):
                module.add_module(str(number), part)
    return net
