"""COCO keypoint files, and everything that calls itself COCO-like (CrowdPose, AIC, our own)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posecli.data.people import Complaints, PeopleSet, box_of_joints, checked
from posecli.errors import PoseError

# What CrowdPose and AIC call joints that others name otherwise.
_OTHER_NAMES = {"head": "head_top", "top_head": "head_top", "top_of_head": "head_top"}
BOX_TO_AREA = 0.53  # CrowdPose's custom for files without segments


def read_coco(path: Path, images: Path | None = None, kind: str = "coco") -> PeopleSet:
    """People with labelled joints of a COCO keypoint file; crowds and people without joints are left out.

    images: the photos' folder; otherwise `images/` beside the file, or the split's folder.
    Raises PoseError for what is not a COCO keypoint file.
    """
    document = load_document(path)
    joints = category_joints(document, path)
    folder = images or photo_folder(path)
    photos = {photo["id"]: photo for photo in document["images"]}
    complaints = Complaints()
    rows: list[tuple[Any, ...]] = []
    for annotation in document["annotations"]:
        if annotation.get("iscrowd") or not annotation.get("num_keypoints", 1):
            continue
        row = _person(annotation, photos, len(joints), complaints)
        if row is not None:
            rows.append(row)
    if not rows:
        raise PoseError(f"{path} holds nobody with labelled joints.")
    keypoints, visible, boxes, annotations = (list(column) for column in zip(*rows, strict=True))
    people_photos = [photos[a["image_id"]] for a in annotations]
    return PeopleSet(
        name=f"{kind}:{path.name}",
        joints=joints,
        photos=tuple(folder / photo["file_name"] for photo in people_photos),
        boxes=np.array(boxes),
        keypoints=np.array(keypoints),
        visible=np.array(visible),
        sources=tuple(str(photo.get("source", kind)) for photo in people_photos),
        ids=np.array([a.get("id", i) for i, a in enumerate(annotations)], np.int64),
        image_ids=np.array([a["image_id"] for a in annotations], np.int64),
        areas=np.array([_area(a, b) for a, b in zip(annotations, boxes, strict=True)]),
        head_sizes=np.full(len(rows), np.nan),
        dev=np.array([is_dev(photo) for photo in people_photos]),
        warnings=complaints.sentences(path),
    )


def load_document(path: Path) -> dict[str, Any]:
    """The JSON of a COCO file, its three lists checked."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PoseError(f"There is no annotation file {path}.") from None
    except (OSError, ValueError) as error:
        raise PoseError(f"{path} can't be read as JSON ({error}).") from error
    if not isinstance(document, dict):
        raise PoseError(f"{path} is not a COCO keypoint file: it holds no object.")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise PoseError(f"{path} is not a COCO keypoint file: it has no list {key!r}.")
    return document


def category_joints(document: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The joints' names, as the file's first category with keypoints states them, in our spelling."""
    for category in document["categories"]:
        if category.get("keypoints"):
            names = [str(name).lower().replace(" ", "_") for name in category["keypoints"]]
            return tuple(_OTHER_NAMES.get(name, name) for name in names)
    raise PoseError(f"{path} names no keypoints in its categories; it is a file of boxes or segments.")


def photo_folder(path: Path) -> Path:
    """Where the photos of an annotation file lie: images/ beside it, or the folder of its split."""
    split = path.stem.removeprefix("person_keypoints_").removeprefix("instances_")
    candidates = [path.parent / "images", path.parent.parent / split, path.parent.parent / "images" / split]
    for folder in [*candidates, path.parent / split]:
        if folder.is_dir():
            return folder
    raise PoseError(
        f"The photos of {path} are in none of {', '.join(str(c) for c in candidates)}; "
        f"name their folder with --images."
    )


def is_dev(photo: Mapping[str, Any]) -> bool:
    """Whether a photo is in `dev`, the twentieth of the data that choices are made on.

    Neighbouring photos of lspet show the same person: blocks of 50 numbers stay together.
    """
    if photo.get("source") == "lspet":
        return int(photo["id"]) % 1_000_000 // 50 % 20 == 7
    return int(photo["id"]) % 20 == 7


def _person(
    annotation: Mapping[str, Any], photos: Mapping[int, Any], joints: int, complaints: Complaints
) -> tuple[Any, ...] | None:
    """(keypoints, visible, box, annotation), or None for an entry that can't be used."""
    entry = f"annotation {annotation.get('id')}"
    photo = photos.get(annotation.get("image_id", -1))
    if photo is None:
        complaints.add("annotations name a photo that the file does not list (left out)", entry)
        return None
    try:
        flat = np.array(annotation["keypoints"], np.float64).reshape(joints, 3)
    except (KeyError, ValueError, TypeError):
        complaints.add(f"annotations do not have {joints} keypoints (left out)", entry)
        return None
    visible = np.clip(np.nan_to_num(flat[:, 2]), 0, 2).astype(np.uint8)
    size = (photo["width"], photo["height"]) if "width" in photo and "height" in photo else None
    visible = checked(flat[:, :2], visible, size, entry, complaints)
    if not visible.any():
        return None
    x, y, w, h = (float(v) for v in annotation.get("bbox", (0, 0, 0, 0)))
    if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
        complaints.add("people have a box without size (taken from their joints instead)", entry)
        return flat[:, :2], visible, box_of_joints(flat[:, :2], visible), annotation
    return flat[:, :2], visible, np.array([x, y, x + w, y + h]), annotation


def _area(annotation: Mapping[str, Any], box: np.ndarray[Any, Any]) -> float:
    area = annotation.get("area")
    return float(area) if area else BOX_TO_AREA * float((box[2] - box[0]) * (box[3] - box[1]))
