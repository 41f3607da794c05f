"""The table of all networks that can be built, trained and loaded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from posecli.errors import PoseError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Network:
    """One network.

    module, constructor: its class. The module is imported late, because torchvision takes a second to import.
    multiple: crop sides must be multiples of this many pixels.
    paper_size: (height, width) of the crops in the paper.
    maps: False if the network outputs coordinates.
    ours: default arguments of posecli that differ from the constructor's defaults, which are those of the paper.
    """

    module: str
    constructor: str
    multiple: int
    paper_size: tuple[int, int]
    maps: bool = True
    ours: Mapping[str, Any] = field(default_factory=dict)

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        network: nn.Module = self._constructor()(**arguments)
        return network

    def takes(self) -> set[str]:
        """The names of the constructor's arguments."""
        return set(inspect.signature(self._constructor()).parameters)

    def _constructor(self) -> Any:
        return getattr(import_module(f"posecli.models.{self.module}"), self.constructor)


NETWORKS = {
    "hourglass": Network(
        "hourglass", "StackedHourglass", 64, (256, 256), ours={"stacks": 2, "features": 128}
    ),
    "simple_baseline": Network("simple_baseline", "SimpleBaseline", 32, (256, 192)),
    "hrnet": Network("hrnet", "HRNet", 32, (256, 192)),
    "lite_hrnet": Network("lite_hrnet", "LiteHRNet", 32, (256, 192)),
    "cpn": Network("cpn", "CPN", 32, (256, 192)),
    "deeppose": Network("deeppose", "DeepPose", 2, (440, 440), maps=False, ours={"stages": 3}),
    "cpm": Network("cpm", "CPM", 8, (368, 368)),
}


def find_network(name: str) -> Network:
    """The network of this name. Raises PoseError for an unknown name."""
    if name not in NETWORKS:
        raise PoseError(f"There is no network {name!r}; choose {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def arguments_of(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for the constructor: the given ones that are not None, and defaults for the others.

    Raises PoseError for an argument that this network does not have.
    """
    network = find_network(name)
    given = {key: value for key, value in asked.items() if value is not None}
    for key in given.keys() - network.takes():
        raise PoseError(f"A {name} has no {key}; leave out --{key.replace('_', '-')}.")
    return {**network.ours, **given}
