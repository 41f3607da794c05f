"""The photos that the person detector learns from, in ultralytics' layout.

What is special about our photos: only those that say `boxes: all` have a box for everybody. In
the others unlabelled people stand around, and must not be taught as background: people whom the
detector to begin from is sure of are labelled too, and lspet photos are cut close around their
main person. Crowd regions are painted grey.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posecli.data.coco import is_dev
from posecli.detect import Detector
from posecli.errors import PoseError
from posecli.metrics.detection import iou_matrix
from posecli.types import Array, Image

SURE = 0.35  # a find above this score on a photo without all boxes becomes a label
GREY = 114  # ultralytics' own padding value
LSPET_MARGIN = 1.15  # how much wider than its box an lspet person is cut


def write_dataset(annotations: Path, out: Path, lspet: int, init: Path | None) -> Path:
    """Write images/{train,dev} and labels/{train,dev} of a COCO file, and return the path of their people.yaml.

    lspet: how many people of lspet to add. init: the detector that labels people without a box.
    """
    if out.exists():
        shutil.rmtree(out)
    helper = Detector.load(init, confidence=SURE) if init is not None else None
    counts: dict[str, int] = defaultdict(int)
    for part, name, image, boxes in _labelled_photos(annotations, lspet, helper):
        pictures, labels = out / "images" / part, out / "labels" / part
        pictures.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(pictures / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        (labels / f"{name}.txt").write_text(_yolo_lines(boxes, image))
        counts[part] += 1
    if not counts["train"]:
        raise PoseError(f"{annotations} holds no photo with boxes to train on.")
    config = {"path": str(out.resolve()), "train": "images/train", "val": "images/dev"}
    config["names"] = {0: "person"}  # type: ignore[assignment]
    path = out / "people.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    print(f"{counts['train']} photos to train on, {counts['dev']} for dev", flush=True)
    return path


def _labelled_photos(
    annotations: Path, lspet: int, helper: Detector | None
) -> Iterator[tuple[str, str, Image, Array]]:
    """(part, name, picture, (N, 4) xyxy) for each photo that is used."""
    document = json.loads(annotations.read_text())
    people: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        people[annotation["image_id"]].append(annotation)
    lspet_left = lspet
    for photo in document["images"]:
        path = annotations.parent / "images" / photo["file_name"]
        part = "dev" if is_dev(photo) else "train"
        everybody = photo.get("boxes", "all") == "all"
        boxes = np.array([_xyxy(a) for a in people[photo["id"]] if not a.get("iscrowd")]).reshape(-1, 4)
        if part == "dev" and not everybody:
            continue
        is_lspet = photo.get("source") == "lspet"
        if is_lspet:
            if lspet_left <= 0 or not len(boxes):
                continue
            lspet_left -= 1
        image = _read(path)
        if image is None:
            continue
        if is_lspet:
            image, boxes = _cut_close(image, boxes)
        else:
            crowds = [_xyxy(a) for a in people[photo["id"]] if a.get("iscrowd")]
            image = _grey_out(image, np.array(crowds).reshape(-1, 4), boxes)
            if not everybody and helper is not None:
                boxes = _with_finds(boxes, helper.find(image).xyxy)
        yield part, path.stem, image, boxes


def _read(path: Path) -> Image | None:
    image = cv2.imread(str(path))
    if image is None:
        print(f"left out, not readable: {path.name}", flush=True)
    return image  # type: ignore[return-value]


def _xyxy(annotation: dict[str, Any]) -> list[float]:
    x, y, w, h = annotation["bbox"]
    return [x, y, x + w, y + h]


def _with_finds(boxes: Array, finds: Array) -> Array:
    """Labelled boxes and those finds that none of them explains."""
    if not len(finds) or not len(boxes):
        return boxes if len(boxes) else finds
    return np.concatenate([boxes, finds[iou_matrix(finds, boxes).max(axis=1) < 0.3]])


def _cut_close(image: Image, boxes: Array) -> tuple[Image, Array]:
    """The photo cut around its only box, so that nobody unlabelled is left in it."""
    x1, y1, x2, y2 = boxes[0]
    margin = (LSPET_MARGIN - 1) / 2
    left, right = x1 - margin * (x2 - x1), x2 + margin * (x2 - x1)
    top, bottom = y1 - margin * (y2 - y1), y2 + margin * (y2 - y1)
    a, b = max(0, int(left)), max(0, int(top))
    return image[b : int(bottom) + 1, a : int(right) + 1], boxes[:1] - [a, b, a, b]


def _grey_out(image: Image, crowds: Array, boxes: Array) -> Image:
    """Crowd regions painted grey, but for the people in them who have their own box."""
    painted = image.copy()
    for x1, y1, x2, y2 in crowds.astype(int):
        painted[max(0, y1) : y2, max(0, x1) : x2] = GREY
    for x1, y1, x2, y2 in boxes.astype(int):
        rows, columns = slice(max(0, y1), y2), slice(max(0, x1), x2)
        painted[rows, columns] = image[rows, columns]
    return painted


def _yolo_lines(boxes: Array, image: Image) -> str:
    """One line a box: class, centre and size as fractions of the picture."""
    h, w = image.shape[:2]
    boxes = np.clip(boxes, 0, [w, h, w, h])
    lines = []
    for x1, y1, x2, y2 in boxes:
        if x2 - x1 > 1 and y2 - y1 > 1:
            values = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
            lines.append("0 " + " ".join(f"{v:.6f}" for v in values))
    return "\n".join(lines)
