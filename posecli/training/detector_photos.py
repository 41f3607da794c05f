"""The training photos of the person detector, in the layout of ultralytics.

In photos with `boxes: all`, everybody has a box. Crowd regions are painted grey. In photos of LSP-extended only
the main person has a box. There the initial detector labels the other people, so that they do not become
background. Other photos are left out. Photos are never cropped tightly around a person. Otherwise the
detector would learn that boxes fill the image.
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
from posecli.engines.detector import Detector
from posecli.errors import PoseError
from posecli.geometry.boxes import iou_matrix, shares_inside
from posecli.types import Array, Boxes, Image

GREY = 114  # padding value of ultralytics
SURE = 0.3  # minimum score of a detection in lspet to count as an unlabelled person
# A detection is another person if its IoU with every labelled box is below APART, and the share of it inside every
# labelled box is below INSIDE.
APART, INSIDE = 0.3, 0.7


def write_dataset(annotations: Path, out: Path, lspet: int, finder: Detector | None) -> Path:
    """Write images/{train,dev} and labels/{train,dev} from a COCO file. Returns the path of people.yaml.

    lspet: number of lspet photos to add, evenly spread over the file. Every second one is rotated by 90, 180 or
    270 degrees.
    finder: the detector that labels other people in these photos. With None, no lspet photos are added.
    Raises PoseError if there is no photo with boxes to train on.
    """
    if out.exists():
        shutil.rmtree(out)
    counts: dict[str, int] = defaultdict(int)
    for part, name, image, boxes in _labelled_photos(annotations, lspet, finder):
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
    annotations: Path, lspet: int, finder: Detector | None
) -> Iterator[tuple[str, str, Image, Array]]:
    """Yield (part, name, image, boxes (N, 4) xyxy) for each photo that is used."""
    document = json.loads(annotations.read_text(encoding="utf-8"))
    people: dict[int, list[Any]] = defaultdict(list)
    crowds: dict[int, list[Any]] = defaultdict(list)
    for annotation in document["annotations"]:
        (crowds if annotation.get("iscrowd") else people)[annotation["image_id"]].append(_xyxy(annotation))
    folder = annotations.parent / "images"
    for photo in document["images"]:
        if photo.get("boxes", "all") == "all" and (image := _read(folder / photo["file_name"])) is not None:
            boxes, grey = (np.array(of[photo["id"]]).reshape(-1, 4) for of in (people, crowds))
            yield "dev" if is_dev(photo) else "train", _name(photo), _grey_out(image, grey, boxes), boxes
    if finder is None:
        return
    more = [p for p in document["images"] if p.get("source") == "lspet" and people[p["id"]] and not is_dev(p)]
    for number, row in enumerate(np.linspace(0, len(more) - 1, min(lspet, len(more))).round().astype(int)):
        photo = more[row]
        if (image := _read(folder / photo["file_name"])) is not None:
            boxes = _with_others(np.array(people[photo["id"]]), finder.find(image))
            quarters = number // 2 % 3 + 1 if number % 2 else 0
            yield "train", _name(photo), *_turned(image, boxes, quarters)


def _name(photo: dict[str, Any]) -> str:
    return Path(photo["file_name"]).stem


def _read(path: Path) -> Image | None:
    image = cv2.imread(str(path))
    if image is None:
        print(f"left out, not readable: {path.name}", flush=True)
    return image  # type: ignore[return-value]


def _xyxy(annotation: dict[str, Any]) -> list[float]:
    x, y, w, h = annotation["bbox"]
    return [x, y, x + w, y + h]


def _with_others(boxes: Array, finds: Boxes) -> Array:
    """Labelled boxes (N, 4) xyxy, plus detections of other people."""
    sure = finds.xyxy[finds.scores >= SURE]
    if not len(sure):
        return boxes
    others = (iou_matrix(sure, boxes) < APART) & (shares_inside(sure, boxes) < INSIDE)
    return np.concatenate([boxes, sure[others.all(axis=1)]])


def _turned(image: Image, boxes: Array, quarters: int) -> tuple[Image, Array]:
    """Rotate a photo and its boxes (N, 4) counterclockwise by `quarters` times 90 degrees."""
    for _ in range(quarters):
        width = image.shape[1]
        image = np.ascontiguousarray(np.rot90(image))
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([y1, width - x2, y2, width - x1], axis=1)
    return image, boxes


def _grey_out(image: Image, crowds: Array, boxes: Array) -> Image:
    """Paint crowd regions grey, except for the boxes of labelled people."""
    painted = image.copy()
    for x1, y1, x2, y2 in crowds.astype(int):
        painted[max(0, y1) : y2, max(0, x1) : x2] = GREY
    for x1, y1, x2, y2 in boxes.astype(int):
        rows, columns = slice(max(0, y1), y2), slice(max(0, x1), x2)
        painted[rows, columns] = image[rows, columns]
    return painted


def _yolo_lines(boxes: Array, image: Image) -> str:
    """One line per box: class, centre and size as fractions of the image."""
    h, w = image.shape[:2]
    boxes = np.clip(boxes, 0, [w, h, w, h])
    lines = []
    for x1, y1, x2, y2 in boxes:
        if x2 - x1 > 1 and y2 - y1 > 1:
            values = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
            lines.append("0 " + " ".join(f"{v:.6f}" for v in values))
    return "\n".join(lines)
