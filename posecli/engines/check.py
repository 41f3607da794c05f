"""Measures whether a device or engine gives the right joints, and whether it is faster than the CPU.

The photo of the ultralytics package goes through torch on the CPU in float32, and through the other engine. The results
are kept in the user's cache folder, per weights, device and version.
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
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from posecli.engines.backends import converted_folder
from posecli.engines.detector import Detector
from posecli.engines.devices import synchronise
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.geometry.boxes import iou_matrix
from posecli.sources.photos import read_photo
from posecli.types import Array, Image
from posecli.version import __version__

if TYPE_CHECKING:
    import torch

FARTHEST = 1.0  # crop pixels that a joint may move
LEAST_OVERLAP = 0.85  # IoU of the detector's boxes
SURE_JOINT, SURE_BOX = 0.7, 0.3  # those said with less may differ: a hair decides between two places
SLOWER = 1.1  # times the CPU's time that is still no reason against
# Four people in bus.jpg, xyxy, read off the photo.
PEOPLE = np.array(
    [[50, 400, 245, 905], [670, 380, 810, 880], [220, 405, 345, 860], [0, 550, 65, 875]], np.float32
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
    key = f"{platform.node()} {platform.machine()} posecli {__version__} torch {metadata.version('torch')} {key}"
    with contextlib.suppress(KeyError, TypeError):
        return Verdict(**known[key])
    found = examine()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**known, key: asdict(found)}, indent=1), encoding="ascii")
    return found


def compare_estimators(reference: Estimator, other: Estimator) -> Verdict:
    """Both on the people of the photo."""
    image = photo()

    def joints(estimator: Estimator) -> Array:
        return estimator.estimate([image], [PEOPLE])[0]

    mine, theirs = joints(reference), joints(other)
    sure = mine[..., 2] >= SURE_JOINT
    sides = (PEOPLE[:, 2:] - PEOPLE[:, :2]).max(axis=1)
    scale = reference.spec.input_size[0] / (np.max(reference.spec.crop_factor) * sides)  # crop px per pixel
    gaps = np.linalg.norm(mine[..., :2] - theirs[..., :2], axis=2) * scale[:, None]
    worst = float(gaps[sure].max()) if sure.any() else 0.0
    if not np.isfinite(theirs).all():
        worst = float("inf")
    return Verdict(
        worst, FARTHEST, _time(lambda: joints(other), other.device), _time(lambda: joints(reference))
    )


def compare_detectors(reference: Detector, other: Detector) -> Verdict:
    """Both on the photo: every sure box of one must be one of the other's."""
    image = photo()
    mine, theirs = reference.find(image), other.find(image)
    wrong = 0.0
    for a, b in ((mine, theirs), (theirs, mine)):
        sure = a.take(a.scores >= SURE_BOX)
        if len(sure):
            best = iou_matrix(sure.xyxy, b.xyxy).max(axis=1) if len(b) else np.zeros(1)
            wrong = max(wrong, float(1 - best.min()))
    return Verdict(
        wrong,
        1 - LEAST_OVERLAP,
        _time(lambda: other.find(image), other.device),
        _time(lambda: reference.find(image)),
    )


@cache
def photo() -> Image:
    """The photo of people that ultralytics ships."""
    return read_photo(photo_path())


def photo_path() -> Path:
    """Where it lies, found without a wait for ultralytics' import."""
    package = find_spec("ultralytics")
    folders = package.submodule_search_locations if package else None
    path = Path(next(iter(folders or ["."]))) / "assets" / "bus.jpg"
    if not path.is_file():
        raise PoseError(
            "The ultralytics package here has no assets/bus.jpg; run posecli on a video of yours."
        )
    return path


def _time(work: Callable[[], object], device: str | torch.device = "cpu") -> float:
    """The fastest of three, in milliseconds."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        synchronise(device)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000
