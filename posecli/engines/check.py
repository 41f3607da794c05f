"""Measures whether a device or engine gives the right joints, and whether it is faster than the CPU.

A drawn picture of people (scripts/draw_figures.py) goes through torch on the CPU in float32, and through the other
engine. Shipped networks carry torch's answers with them. The results are kept in the user's cache folder, per weights,
device and version.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posecli.engines.backends import converted_folder
from posecli.engines.detector import Detector
from posecli.engines.devices import synchronise
from posecli.engines.estimator import Estimator
from posecli.geometry.boxes import iou_matrix
from posecli.models.checkpoints import ModelSpec
from posecli.sources.photos import read_photo
from posecli.types import Array, Boxes, Image
from posecli.version import __version__

if TYPE_CHECKING:
    import torch

FARTHEST = 1.0  # crop pixels that a joint may move
LEAST_OVERLAP = 0.85  # IoU of the detector's boxes
SURE_JOINT, SURE_BOX = 0.7, 0.3  # those said with less may differ: a hair decides between two places
SLOWER = 1.1  # times the CPU's time that is still no reason against
# The people in the picture, xyxy.
PEOPLE = np.array(
    [[90, 40, 350, 585], [395, 20, 650, 590], [626, 40, 968, 584], [1026, 145, 1230, 580]], np.float32
)


@dataclass(frozen=True)
class Verdict:
    """How another way to run a network compares with torch on the CPU in float32."""

    wrong: float  # joints: the largest gap in crop pixels; boxes: 1 - the smallest IoU
    allowed: float
    milliseconds: float
    reference: float  # milliseconds of torch on the CPU

    @property
    def right(self) -> bool:
        return self.wrong <= self.allowed

    @property
    def trusted(self) -> bool:
        return self.right and self.milliseconds <= SLOWER * self.reference

    def sentence(self, what: str) -> str:
        """Why it is not chosen."""
        if not self.right:
            return (
                f"{what} gives other results than the CPU here and is not used (`posecli doctor` tells more)."
            )
        return (
            f"{what} is slower than torch on the CPU here ({self.milliseconds:.0f} ms, not {self.reference:.0f}) "
            f"and is not used."
        )


def verdict(key: str, examine: Callable[[], Verdict]) -> Verdict:
    """The kept verdict of this machine, or a new one."""
    path = converted_folder().with_name("doctor.json")
    known: dict[str, dict[str, float]] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="ascii"))
    engines = " ".join(f"{name} {_version(name)}" for name in ("torch", "openvino"))
    key = f"{platform.node()} {platform.machine()} posecli {__version__} {engines} {key}"
    with contextlib.suppress(KeyError, TypeError):
        return Verdict(**known[key])
    found = examine()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**known, key: asdict(found)}, indent=1), encoding="ascii")
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def compare_estimators(reference: Estimator, other: Estimator) -> Verdict:
    """Both on the people of the picture."""
    return Verdict(
        _joints_apart(joints(reference), joints(other), reference.spec), FARTHEST,
        _time(lambda: joints(other), other.device), _time(lambda: joints(reference)),
    )  # fmt: skip


def compare_detectors(reference: Detector, other: Detector) -> Verdict:
    """Both on the picture: every sure box of one must be one of the other's."""
    image = picture()
    return Verdict(
        _boxes_apart(reference.find(image), other.find(image)), 1 - LEAST_OVERLAP,
        _time(lambda: other.find(image), other.device), _time(lambda: reference.find(image)),
    )  # fmt: skip


def check_estimator(estimator: Estimator, answers: list[Any]) -> Verdict:
    """On the people of the picture, against torch's stored joints (n, K, 3). Time is not compared."""
    wrong = _joints_apart(np.array(answers, np.float32), joints(estimator), estimator.spec)
    return Verdict(wrong, FARTHEST, 0.0, 0.0)


def check_detector(detector: Detector, answers: list[Any]) -> Verdict:
    """On the picture, against torch's stored boxes and scores (n, 5). Time is not compared."""
    stored = np.array(answers, np.float32)
    wrong = _boxes_apart(Boxes(stored[:, :4], stored[:, 4]), detector.find(picture()))
    return Verdict(wrong, 1 - LEAST_OVERLAP, 0.0, 0.0)


def joints(estimator: Estimator) -> Array:
    """Of the people of the picture: (n, K, 3)."""
    return estimator.estimate([picture()], [PEOPLE])[0]


@cache
def picture() -> Image:
    """The picture of people."""
    return read_photo(Path(__file__).with_name("figures.jpg"))


def _joints_apart(mine: Array, theirs: Array, spec: ModelSpec) -> float:
    """The largest gap between joints that `mine` is sure of, in pixels of the crop."""
    sure = mine[..., 2] >= SURE_JOINT
    sides = (PEOPLE[:, 2:] - PEOPLE[:, :2]).max(axis=1)
    scale = spec.input_size[0] / (np.max(spec.crop_factor) * sides)  # crop px per pixel
    gaps = np.linalg.norm(mine[..., :2] - theirs[..., :2], axis=2) * scale[:, None]
    if not np.isfinite(theirs).all():
        return float("inf")
    return float(gaps[sure].max()) if sure.any() else 0.0


def _boxes_apart(mine: Boxes, theirs: Boxes) -> float:
    """1 - the smallest IoU of a sure box with the best one of the others."""
    wrong = 0.0
    for a, b in ((mine, theirs), (theirs, mine)):
        sure = a.take(a.scores >= SURE_BOX)
        if len(sure):
            best = iou_matrix(sure.xyxy, b.xyxy).max(axis=1) if len(b) else np.zeros(1)
            wrong = max(wrong, float(1 - best.min()))
    return wrong


def _time(work: Callable[[], object], device: str | torch.device = "cpu") -> float:
    """The fastest of three, in milliseconds."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000
