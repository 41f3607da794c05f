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
    complaints = Complaints()
    photos = _usable_photos(document["images"], complaints)
    rows: list[tuple[Any, ...]] = []
    for annotation in document["annotations"]:
        if not isinstance(annotation, dict):
            complaints.add("annotations are no objects (left out)", f"annotation {str(annotation)[:40]!r}")
            continue
        if annotation.get("iscrowd") or not annotation.get("num_keypoints", 1):
            continue
        row = _person(annotation, photos, len(joints), complaints)
        if row is not None:
            rows.append(row)
    if not rows:
        raise PoseError(f"{path} holds nobody with labelled joints.")
    keypoints, visible, boxes, annotations = (list(column) for column in zip(*rows, strict=True))
    people_photos = [photos[_whole(a["image_id"], -1)] for a in annotations]
    return PeopleSet(
        name=f"{kind}:{path.name}",
        joints=joints,
        photos=tuple(folder / photo["file_name"] for photo in people_photos),
        boxes=np.array(boxes),
        keypoints=np.array(keypoints),
        visible=np.array(visible),
        sources=tuple(str(photo.get("source", kind)) for photo in people_photos),
        ids=np.array([_whole(a.get("id"), i) for i, a in enumerate(annotations)], np.int64),
        image_ids=np.array([p["id"] for p in people_photos], np.int64),
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
        named = category.get("keypoints") if isinstance(category, dict) else None
        if named and isinstance(named, list):
            names = [str(name).lower().replace(" ", "_") for name in named]
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

    Neighbouring photos of lspet show the same person: blocks of 50 numbers stay together. Photos of COCO that
    have boxes for some people only are of train2017, which pretrained networks have seen: they are never in dev.
    """
    if photo.get("source") == "lspet":
        return int(photo["id"]) % 1_000_000 // 50 % 20 == 7
    return photo.get("boxes") in (None, "all") and int(photo["id"]) % 20 == 7


def _usable_photos(entries: list[Any], complaints: Complaints) -> dict[int, dict[str, Any]]:
    """Photos by id; those without a number or a name inside their folder are left out."""
    photos = {}
    for entry in entries:
        number = _whole(entry.get("id"), -1) if isinstance(entry, dict) else -1
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if number < 0 or not isinstance(name, str) or not name or _leaves_folder(name):
            complaints.add("photos have no usable id or file name (left out)", f"photo {str(entry)[:60]!r}")
            continue
        photo = {"id": number, "file_name": name, "source": entry.get("source"), "boxes": entry.get("boxes")}
        photo = {k: v for k, v in photo.items() if v is not None}
        sides = [entry.get("width"), entry.get("height")]
        if all(isinstance(s, (int, float)) and np.isfinite(s) and s > 0 for s in sides):
            photo |= {"width": sides[0], "height": sides[1]}
        photos[number] = photo
    return photos


def _leaves_folder(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ":" in parts[0] or ".." in parts or "\0" in name


def _whole(value: Any, otherwise: int) -> int:
    """A whole number that fits 64 bits, or another one in its place."""
    good = isinstance(value, (int, float)) and np.isfinite(value) and abs(value) < 2**62
    return int(value) if good and int(value) == value else otherwise


def _person(
    annotation: Mapping[str, Any], photos: Mapping[int, Any], joints: int, complaints: Complaints
) -> tuple[Any, ...] | None:
    """(keypoints, visible, box, annotation), or None for an entry that can't be used."""
    entry = f"annotation {annotation.get('id')}"
    photo = photos.get(_whole(annotation.get("image_id"), -1))
    if photo is None:
        complaints.add("annotations name a photo that the file does not list (left out)", entry)
        return None
    try:
        flat = np.array(annotation["keypoints"], np.float64).reshape(joints, 3)
    except (KeyError, ValueError, TypeError, OverflowError):
        complaints.add(f"annotations do not have {joints} keypoints (left out)", entry)
        return None
    visible = np.clip(np.nan_to_num(flat[:, 2]), 0, 2).astype(np.uint8)
    size = (photo["width"], photo["height"]) if "width" in photo and "height" in photo else None
    visible = checked(flat[:, :2], visible, size, entry, complaints)
    if not visible.any():
        return None
    try:
        x, y, w, h = (float(v) for v in annotation["bbox"])
    except (KeyError, ValueError, TypeError, OverflowError):
        x = y = w = h = 0.0
    if not np.abs([x, y, w, h]).max() < 1e6 or w <= 0 or h <= 0:
        complaints.add("people have a box without size (taken from their joints instead)", entry)
        return flat[:, :2], visible, box_of_joints(flat[:, :2], visible), annotation
    return flat[:, :2], visible, np.array([x, y, x + w, y + h]), annotation


def _area(annotation: Mapping[str, Any], box: np.ndarray[Any, Any]) -> float:
    area = annotation.get("area")
    return (
        float(area)
        if isinstance(area, (int, float)) and 0 < area < 1e12
        else BOX_TO_AREA * float((box[2] - box[0]) * (box[3] - box[1]))
    )
