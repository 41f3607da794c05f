"""Finds people in a picture with an ultralytics YOLO, loaded safely and run by posecli.

Only this file and `training/detector.py` use ultralytics. It and torch are imported only to read a .pt file; networks of
other engines need neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from posecli.defaults import BOX_CONFIDENCE
from posecli.engines.backends import ArrayNetwork
from posecli.engines.devices import refuse_fork
from posecli.errors import PoseError
from posecli.geometry.boxes import suppressed
from posecli.silence import import_ultralytics
from posecli.types import Array, Boxes, Image

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIZE = 416  # pixels of the longer side that the picture is scaled to, for our own detector
OVERLAP = 0.5  # IoU above which two finds are one person (non-maximum suppression)
MOST = 300  # people in a picture
STRIDE = 32  # YOLO's coarsest grid: sides are padded to multiples of it
GREY = 114  # ultralytics' padding value


@dataclass
class Detector:
    """A person detector. `find` takes pictures as they are and gives boxes in their pixels."""

    network: Any  # an ArrayNetwork; or ultralytics' DetectionModel, fused, in evaluation mode, on `device`
    person: int  # number of the class that is a person
    classes: int
    name: str
    confidence: float = BOX_CONFIDENCE
    size: int = 640  # pixels of the longer side that pictures are scaled to
    device: str | torch.device = "cpu"

    @staticmethod
    def load(
        path: Path | str,
        *,
        confidence: float = BOX_CONFIDENCE,
        size: int | None = None,
        device: torch.device | str = "cpu",
        fuse: bool = True,
    ) -> Detector:
        """Load an ultralytics detection file (.pt); only tensors and known classes are unpickled.

        size None takes the size that the file was made for (640 where it does not say). fuse False keeps
        batch-norms apart, for training on.
        """
        path = Path(path)
        if not path.is_file():
            raise PoseError(f"There is no detector file {path}; give the path of an ultralytics .pt file.")
        import torch

        import_ultralytics()
        from ultralytics.nn.tasks import torch_safe_load

        threads = torch.get_num_threads()
        try:
            checkpoint, _ = torch_safe_load(str(path.resolve()), safe_only=True)
            network = (checkpoint.get("ema") or checkpoint["model"]).float()
            names, head = network.names, network.model[-1]
        except Exception as error:
            raise PoseError(
                f"{path} is not an ultralytics detection model that can be loaded safely; "
                f"give a .pt file made by ultralytics 8."
            ) from error
        if type(head).__name__ not in ("Detect", "v10Detect", "YOLOEDetect"):
            raise PoseError(
                f"{path} is an ultralytics {type(head).__name__} model, not a detector; "
                f"give a detection model, such as yolo11n.pt."
            )
        people = [number for number, label in names.items() if label == "person"]
        if not people:
            raise PoseError(f"{path} has no class 'person'; give a detector that finds people.")
        # Detectors that older versions trained name several sizes, the best first.
        size = size or checkpoint.get("posecli_size") or checkpoint.get("posecli_sizes", (640,))[0]
        network = network.fuse(verbose=False) if fuse else network
        head.dynamic = True  # its grid follows the picture's size, also where the network was traced
        network = network.eval().to(device, memory_format=torch.channels_last)
        torch.set_num_threads(threads)
        return Detector(network, people[0], len(names), path.stem, confidence, size, device)

    def facts(self) -> dict[str, Any]:
        """All but the network, of what the file says."""
        return {"person": self.person, "classes": self.classes, "size": self.size}

    @staticmethod
    def empty(facts: dict[str, Any], name: str, confidence: float, size: int | None) -> Detector:
        """A detector of these facts whose network is still to come; size as of `load`."""
        return Detector(None, facts["person"], facts["classes"], name, confidence, size or facts["size"])

    def find(self, image: Image, confidence: float | None = None) -> Boxes:
        """People in an (H, W, 3) BGR picture, surest first. confidence: the least score; None: the detector's own."""
        refuse_fork()
        scaled, (left, top) = _padded(_scaled(image, self.size))
        ratio = self.size / max(image.shape[:2])
        batch = np.ascontiguousarray(scaled[..., ::-1].transpose(2, 0, 1), np.float32)[None] / np.float32(255)
        raw = self.network(batch) if isinstance(self.network, ArrayNetwork) else self._by_torch(batch)
        found = self._people(raw[0], self.confidence if confidence is None else confidence)
        xyxy = (found.xyxy - [left, top, left, top]) / ratio
        height, width = image.shape[:2]
        xyxy = np.clip(xyxy, 0, [width, height, width, height]).astype(np.float32)
        keep = (xyxy[:, 2] - xyxy[:, 0] >= 1) & (xyxy[:, 3] - xyxy[:, 1] >= 1)
        return Boxes(xyxy, found.scores).take(keep)

    def _by_torch(self, batch: Array) -> Array:
        import torch

        with torch.inference_mode():
            there = torch.from_numpy(batch).to(self.device).contiguous(memory_format=torch.channels_last)
            raw = self.network(there)
            answer: Array = (raw[0] if isinstance(raw, tuple | list) else raw).float().cpu().numpy()
        return answer

    def _people(self, raw: Array, confidence: float) -> Boxes:
        """Each person once, surest first, in pixels of what the network saw, of its answer for one picture."""
        if (
            raw.shape[-1] == 6
        ):  # (300, 6) xyxy, score and class: networks that say each thing once, surest first
            rows = raw[(raw[:, 4] > confidence) & (raw[:, 5] == self.person)][:MOST]
            return Boxes(rows[:, :4], rows[:, 4])
        scores = raw[4 : 4 + self.classes]  # (classes, N), above them the boxes' centres and sizes
        sure = (scores[self.person] > confidence) & (scores.argmax(axis=0) == self.person)
        centre, half = raw[:2, sure].T, raw[2:4, sure].T / 2
        boxes = Boxes(np.concatenate([centre - half, centre + half], axis=1), scores[self.person, sure])
        return boxes.take(suppressed(boxes.xyxy, boxes.scores, OVERLAP)[:MOST])


def save_detector(
    checkpoint: Path,
    out: Path,
    size: int = SIZE,
    before: Mapping[str, Tensor] | None = None,
    share: float = 0.0,
) -> Path:
    """Write ultralytics' training checkpoint as a lean file: EMA weights, half, no paths in it.

    With `share`, so much of each number is that of `before`, the weights which the training began from.
    """
    import torch

    import_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    loaded, _ = torch_safe_load(str(checkpoint.resolve()), safe_only=True)
    network = (loaded.get("ema") or loaded["model"]).float()
    if before is not None and share:
        mine = network.state_dict()
        network.load_state_dict(
            {k: torch.lerp(v, before[k], share) if v.is_floating_point() else v for k, v in mine.items()}
        )
    network = network.half()
    for name in ("args", "criterion", "pt_path", "yaml_file"):  # these hold training paths
        if hasattr(network, name):
            setattr(network, name, None)
    network.yaml.pop("yaml_file", None)
    network.names = {0: "person"}
    network.requires_grad_(False)
    torch.save({"model": network, "posecli_size": size}, out)
    return out


def _scaled(image: Image, size: int) -> Image:
    """The picture with its longer side `size`."""
    height, width = image.shape[:2]
    ratio = size / max(height, width)
    new = max(1, round(width * ratio)), max(1, round(height * ratio))
    while max(image.shape[:2]) > 2 * size:  # averages, in a tenth of the time that one step to `new` takes
        half = image.shape[1] // 2 or 1, image.shape[0] // 2 or 1
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(image, new, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _padded(image: Image) -> tuple[Image, tuple[int, int]]:
    """Grey around the picture up to multiples of 32, and how much of it is (left, above)."""
    height, width = image.shape[:2]
    wide, high = -width % STRIDE, -height % STRIDE
    left, top = wide // 2, high // 2
    padded = cv2.copyMakeBorder(
        image, top, high - top, left, wide - left, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY)
    )
    return padded, (left, top)  # type: ignore[return-value]
