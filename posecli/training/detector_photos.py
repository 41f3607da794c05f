"""The photos that the person detector learns from, in ultralytics' layout.

Only photos that say `boxes: all` have a box for everybody. In the others unlabelled people stand
around, and must not be taught as background: they are left out, but for people of LSP-extended, who are cut
close, so that nobody else is in the picture. Crowd regions are painted grey.
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
from posecli.errors import PoseError
from posecli.types import Array, Image

GREY = 114  # ultralytics' own padding value
LSPET_MARGIN = 1.15  # how much wider than its box an lspet person is cut


def write_dataset(annotations: Path, out: Path, lspet: int) -> Path:
    """Write images/{train,dev} and labels/{train,dev} of a COCO file, and return the path of their people.yaml.

    lspet: how many people of lspet to add, evenly spread over the file; every second one is turned by one,
    two or three quarters.
    """
    if out.exists():
        shutil.rmtree(out)
    counts: dict[str, int] = defaultdict(int)
    for part, name, image, boxes in _labelled_photos(annotations, lspet):
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


def _labelled_photos(annotations: Path, lspet: int) -> Iterator[tuple[str, str, Image, Array]]:
    """(part, name, picture, (N, 4) xyxy) for each photo that is used."""
    document = json.loads(annotations.read_text())
    people: dict[int, list[Any]] = defaultdict(list)
    crowds: dict[int, list[Any]] = defaultdict(list)
    for annotation in document["annotations"]:
        (crowds if annotation.get("iscrowd") else people)[annotation["image_id"]].append(_xyxy(annotation))
    folder = annotations.parent / "images"
    for photo in document["images"]:
        if photo.get("boxes", "all") == "all" and (image := _read(folder / photo["file_name"])) is not None:
            boxes, grey = (np.array(of[photo["id"]]).reshape(-1, 4) for of in (people, crowds))
            yield "dev" if is_dev(photo) else "train", _name(photo), _grey_out(image, grey, boxes), boxes
    cut = [p for p in document["images"] if p.get("source") == "lspet" and people[p["id"]] and not is_dev(p)]
    for number, row in enumerate(np.linspace(0, len(cut) - 1, min(lspet, len(cut))).round().astype(int)):
        photo = cut[row]
        if (image := _read(folder / photo["file_name"])) is not None:
            image, boxes = _cut_close(image, np.array(people[photo["id"]][:1]))
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


def _cut_close(image: Image, boxes: Array) -> tuple[Image, Array]:
    """The photo cut around its only box, so that nobody unlabelled is left in it."""
    x1, y1, x2, y2 = boxes[0]
    margin = (LSPET_MARGIN - 1) / 2
    left, right = x1 - margin * (x2 - x1), x2 + margin * (x2 - x1)
    top, bottom = y1 - margin * (y2 - y1), y2 + margin * (y2 - y1)
    a, b = max(0, int(left)), max(0, int(top))
    return image[b : int(bottom) + 1, a : int(right) + 1], boxes[:1] - [a, b, a, b]


def _turned(image: Image, boxes: Array, quarters: int) -> tuple[Image, Array]:
    """The photo and its (N, 4) boxes turned to the left by so many quarters."""
    for _ in range(quarters):
        width = image.shape[1]
        image = np.ascontiguousarray(np.rot90(image))
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([y1, width - x2, y2, width - x1], axis=1)
    return image, boxes


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
