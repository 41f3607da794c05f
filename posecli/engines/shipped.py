"""Networks that are shipped converted to OpenVINO, so that a run on a CPU needs neither PyTorch nor a conversion.

`scripts/ship_openvino.py` writes three files beside the weights: `small-openvino.xml` and `small-openvino.bin` are the
network. `small-openvino.json` says which weights it was made from, and what PyTorch answers on the picture of
`check.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from posecli.engines.backends import OpenVinoNetwork


@dataclass(frozen=True)
class Shipped:
    """A converted network on disk."""

    path: Path
    answers: list[Any]  # of PyTorch: joints (4 people, K, 3), or boxes with their scores (n, 5)
    facts: dict[str, Any]  # of a detector, as of `Detector.facts`

    def network(self) -> OpenVinoNetwork:
        return OpenVinoNetwork(str(self.path))


def shipped(weights: Path, origin: str) -> Shipped | None:
    """The converted network beside its weights; None where there is none, where it was made from other weights, or
    without OpenVINO. origin: sha256 of the weights."""
    path = weights.with_name(f"{weights.stem}-openvino.xml")
    about = path.with_suffix(".json")
    if find_spec("openvino") is None or not about.is_file():
        return None
    told = json.loads(about.read_text(encoding="ascii"))
    return Shipped(path, told["answers"], told["facts"]) if told["origin"] == origin else None
