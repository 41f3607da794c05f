"""People in a picture: an ultralytics YOLO of any kind, loaded safely, run by ourselves.

Only this file, `track.py` and `training/detector.py` know ultralytics.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from posecli.defaults import BOX_CONFIDENCE
from posecli.errors import PoseError
from posecli.quiet import import_ultralytics
from posecli.types import Boxes, Image

DEFAULT_SIZE = 416  # pixels of the longer side that the picture is scaled to
OVERLAP = 0.6  # IoU above which two finds are one person (non-maximum suppression)
STRIDE = 32  # YOLO's coarsest grid: sides are padded to multiples of it
GREY = 114  # ultralytics' padding value


@dataclass
class Detector:
    """A person detector. `find` takes pictures as they are and gives boxes in their pixels."""

    network: Any  # ultralytics' DetectionModel, fused, in evaluation mode
    person: int  # number of the class that is a person
    name: str
    confidence: float = BOX_CONFIDENCE
    size: int = DEFAULT_SIZE
    device: torch.device = torch.device("cpu")

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

        size None takes the size that the file was made for (640 where it does not say). fuse False
        keeps batch-norms apart, for training on.
        """
        path = Path(path)
        if not path.is_file():
            raise PoseError(f"There is no detector file {path}; give the path of an ultralytics .pt file.")
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
            raise PoseError(f"{path} knows no class 'person'; give a detector that finds people.")
        if size is None:
            size = int(checkpoint.get("posecli_size") or 640)
        network = network.fuse(verbose=False) if fuse else network
        network = network.eval().to(device, memory_format=torch.channels_last)
        torch.set_num_threads(threads)
        return Detector(network, people[0], path.stem, confidence, size, torch.device(device))

    @torch.inference_mode()
    def find(self, image: Image) -> Boxes:
        """People in an (H, W, 3) BGR picture, surest first."""
        from ultralytics.utils.nms import non_max_suppression

        scaled, ratio, (left, top) = _letterbox(image, self.size)
        rgb = torch.from_numpy(scaled[..., ::-1].transpose(2, 0, 1).copy()).to(self.device)
        batch = (rgb[None].float() / 255).contiguous(memory_format=torch.channels_last)
        raw = self.network(batch)
        found = non_max_suppression(
            raw[0] if isinstance(raw, tuple | list) else raw,
            conf_thres=self.confidence,
            iou_thres=OVERLAP,
            classes=[self.person],
            max_det=300,
            nc=len(self.network.names),
        )[0]
        found = found.cpu().numpy().astype(np.float32)  # (N, 6): xyxy, score, class
        xyxy = (found[:, :4] - [left, top, left, top]) / ratio
        height, width = image.shape[:2]
        xyxy = np.clip(xyxy, 0, [width, height, width, height]).astype(np.float32)
        keep = (xyxy[:, 2] - xyxy[:, 0] >= 1) & (xyxy[:, 3] - xyxy[:, 1] >= 1)
        return Boxes(xyxy, found[:, 4]).take(keep)


def save_detector(checkpoint: Path, out: Path, size: int = DEFAULT_SIZE) -> Path:
    """Write ultralytics' training checkpoint as a lean file: EMA weights, half, no paths in it."""
    import_ultralytics()
    from ultralytics.nn.tasks import torch_safe_load

    loaded, _ = torch_safe_load(str(checkpoint.resolve()), safe_only=True)
    network = (loaded.get("ema") or loaded["model"]).half()
    for name in ("args", "criterion", "pt_path", "yaml_file"):  # these hold training paths
        if hasattr(network, name):
            setattr(network, name, None)
    network.yaml.pop("yaml_file", None)
    network.names = {0: "person"}
    network.requires_grad_(False)
    torch.save({"model": network, "posecli_size": size}, out)
    return out


def _letterbox(image: Image, size: int) -> tuple[Image, float, tuple[int, int]]:
    """Scaled so that the longer side is `size`, padded with grey to multiples of 32.

    Returns the picture, the scale and the (left, top) padding.
    """
    height, width = image.shape[:2]
    ratio = size / max(height, width)
    new_w, new_h = max(1, round(width * ratio)), max(1, round(height * ratio))
    scaled = cv2.resize(
        image, (new_w, new_h), interpolation=cv2.INTER_AREA if ratio < 0.5 else cv2.INTER_LINEAR
    )
    pad_w, pad_h = -new_w % STRIDE, -new_h % STRIDE
    left, top = pad_w // 2, pad_h // 2
    padded = cv2.copyMakeBorder(
        scaled, top, pad_h - top, left, pad_w - left, cv2.BORDER_CONSTANT, value=(GREY, GREY, GREY)
    )
    return padded, ratio, (left, top)  # type: ignore[return-value]
