"""COCO keypoint files, and files in the same format (CrowdPose, AIC, posecli's own)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from posecli.data.people import VISIBLE, Complaints, Ignored, PeopleSet, box_of_joints, checked
from posecli.errors import PoseError
from posecli.skeletons import BLAZEPOSE_NAMES, SKELETONS
from posecli.types import Array

KNOWN_JOINTS = frozenset(joint for skeleton in SKELETONS.values() for joint in skeleton.joints)

# Joint names of CrowdPose, AIC and BlazePose that differ from posecli's names.
_OTHER_NAMES = {"head": "head_top", "top_head": "head_top", "top_of_head": "head_top", **BLAZEPOSE_NAMES}
_PEOPLE = ("person", "people", "human", "man", "woman", "player", "athlete")
BOX_TO_AREA = 0.53  # estimated segment area / box area, as in CrowdPose, for files without segments


def read_coco(path: Path, images: Path | None = None, kind: str = "coco") -> PeopleSet:
    """Read the people with labelled joints in a COCO keypoint file.

    `ignored` of the result holds crowds and people without labelled joints.
    images: folder of the photos. The default is `images/` next to the file, or the folder of the split.
    Raises PoseError if the file is not a COCO keypoint file, or has nobody with labelled joints.
    """
    document = load_document(path)
    complaints = Complaints()
    categories, joints = category_joints(document, path, complaints)
    folder = images or photo_folder(path)
    photos = _usable_photos(document["images"], path, complaints)
    rows: list[tuple[Any, ...]] = []
    ignored: list[Ignored] = []
    for annotation in _of_people(document, categories, complaints):
        row = _person(annotation, photos, joints, complaints)
        if isinstance(row, Ignored):
            ignored.append(row)
        elif row is not None:
            rows.append(row)
    if not rows:
        crowds = sum(a.crowd for a in ignored)
        why = (
            f"Of {len(document['annotations'])} annotations {crowds} say iscrowd, {len(ignored) - crowds} have no joint that "
            f"is marked as labelled."
        )
        raise PoseError(
            " ".join([f"{path} holds nobody with labelled joints.", why, *complaints.sentences(path)])
        )
    keypoints, visible, boxes, annotations = (list(column) for column in zip(*rows, strict=True))
    people_photos = [photos[whole(a["image_id"], -1)] for a in annotations]
    shown = {p["id"] for p in people_photos}
    names = _found_photos(folder, [p["file_name"] for p in photos.values()], path)
    return PeopleSet(
        name=f"{kind}:{path.name}",
        joints=joints,
        photos=tuple(names[photo["file_name"]] for photo in people_photos),
        boxes=np.array(boxes),
        keypoints=np.array(keypoints),
        visible=np.array(visible),
        sources=tuple(str(photo.get("source", kind)) for photo in people_photos),
        ids=np.array([a["id"] for a in annotations], np.int64),
        image_ids=np.array([p["id"] for p in people_photos], np.int64),
        areas=np.array([_area(a, b) for a, b in zip(annotations, boxes, strict=True)]),
        head_sizes=np.full(len(rows), np.nan),
        dev=np.array([is_dev(photo) for photo in people_photos]),
        warnings=complaints.sentences(path),
        sizes=np.array(
            [(p.get("width", np.nan), p.get("height", np.nan)) for p in people_photos], np.float64
        ),
        ignored=tuple(ignored),
        categories=categories,
        empty=tuple(
            (p["id"], names[p["file_name"]], str(p.get("source", kind)))
            for p in photos.values()
            if p["id"] not in shown
        ),
    )


def load_document(path: Path) -> dict[str, Any]:
    """Load the JSON of a COCO file and check that it has its three lists. Raises PoseError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
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


def category_joints(
    document: Mapping[str, Any], path: Path, complaints: Complaints
) -> tuple[frozenset[int], tuple[str, ...]]:
    """Find the categories of people. Returns (category IDs, joint names as posecli spells them).

    If several categories have joints, a category named like "person" wins. Otherwise the category with the
    most known joint names wins, and other categories with the same joints count as people too.
    Raises PoseError if no category has joints, or if two joints have the same name.
    """
    found: list[tuple[dict[str, Any], tuple[str, ...]]] = []
    for category in document["categories"]:
        named = category.get("keypoints") if isinstance(category, dict) else None
        if named and isinstance(named, list):
            found.append((category, tuple(spelt(str(name)) for name in named)))
    if not found:
        raise PoseError(f"{path} names no keypoints in its categories; it is a file of boxes or segments.")

    def worth(entry: tuple[dict[str, Any], tuple[str, ...]]) -> tuple[bool, int]:
        category, joints = entry
        return str(category.get("name", "")).lower() in _PEOPLE, len(set(joints) & KNOWN_JOINTS)

    people, joints = max(found, key=worth)
    respelt = [
        (str(given), ours) for given, ours in zip(people["keypoints"], joints, strict=True)
        if str(given) != ours and str(given).lower() not in _OTHER_NAMES
    ]  # fmt: skip
    for given, ours in respelt:
        complaints.add("joint names have another spelling (recognised)", f"{given} is {ours}")
    if len(set(joints)) < len(joints):
        twice = next(j for j in joints if joints.count(j) > 1)
        raise PoseError(
            f"{path} has several joints called {twice}; give each a name of its own, such as left_{twice}."
        )
    named = any(worth(entry)[0] for entry in found)
    same = [c for c, j in found if j == joints and (not named or worth((c, j))[0])]
    return frozenset(whole(c.get("id"), -1) for c in same), joints


def spelt(name: str) -> str:
    """Normalise a joint name: left-eye, LeftEye, l_eye and eye_left become left_eye."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).lower()
    words = re.sub(r"[\s\-.]+", "_", words)
    side = re.fullmatch(r"(left|right|l|r)_(.+)", words) or re.fullmatch(r"(.+)_(left|right|l|r)", words)
    if side is not None:
        one, other = side.groups()
        which, joint = (one, other) if one in ("left", "right", "l", "r") else (other, one)
        words = f"{'left' if which.startswith('l') else 'right'}_{joint}"
    return _OTHER_NAMES.get(words, words)


def _of_people(
    document: Mapping[str, Any], categories: frozenset[int], complaints: Complaints
) -> Iterator[dict[str, Any]]:
    """The annotations of people, each with a unique integer `id`."""
    entries = []
    for annotation in document["annotations"]:
        if not isinstance(annotation, dict):
            complaints.add(
                "annotations are not JSON objects (left out)", f"annotation {str(annotation)[:40]!r}"
            )
            continue
        category = annotation.get("category_id")
        if category is not None and whole(category, -1) not in categories:
            complaints.add("annotations are of other categories than people (left out)", _named(annotation))
            continue
        entries.append(annotation)
    numbers = [whole(a.get("id"), -1) for a in entries]
    if -1 in numbers or len(set(numbers)) < len(numbers):
        seen: set[int] = set()
        for annotation, number in zip(entries, numbers, strict=True):
            if number == -1 or number in seen:
                complaints.add(
                    "annotations have no id of their own (all were numbered anew)", _named(annotation)
                )
            seen.add(number)
        numbers = list(range(1, len(entries) + 1))
    for annotation, number in zip(entries, numbers, strict=True):
        yield {**annotation, "id": number}


def _found_photos(folder: Path, names: list[str], path: Path) -> dict[str, Path]:
    """Find each photo in the folder, by its name in the file. Path prefixes from an exporter are ignored.

    Raises PoseError if no photo is found.
    """
    found = {name: _found_photo(folder, name) for name in names}
    if names and all(photo is None for photo in found.values()):
        raise PoseError(
            f"None of the {len(found)} photos of {path} is in {folder}, the first: {names[0]}; name their folder with "
            f"--images, or put the photos' own names into the file."
        )
    return {name: photo or folder / name for name, photo in found.items()}


def _found_photo(folder: Path, name: str) -> Path | None:
    for written in (name, unquote(name)):
        parts = [p for p in written.replace("\\", "/").split("/") if p not in ("", ".")]
        for begin in range(len(parts)):
            photo = folder.joinpath(*parts[begin:])
            if photo.is_file():
                return photo
    return None


def photo_folder(path: Path) -> Path:
    """The photo folder of an annotation file: images/ next to it, or the folder of its split. Raises PoseError."""
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
    """Whether a photo is in `dev`, the 5 % of the data used for validation.

    Neighbouring photos of lspet show the same person, so blocks of 50 IDs stay together. COCO photos with boxes
    for only some people come from train2017. Pretrained networks have seen them, so they are never in dev.
    """
    if photo.get("source") == "lspet":
        return int(photo["id"]) % 1_000_000 // 50 % 20 == 7
    return photo.get("boxes") in (None, "all") and int(photo["id"]) % 20 == 7


def _usable_photos(entries: list[Any], path: Path, complaints: Complaints) -> dict[int, dict[str, Any]]:
    """Photos by ID. Leaves out photos without an ID, without a name, or with a path outside the folder."""
    photos = {}
    for entry in entries:
        number = whole(entry.get("id"), -1) if isinstance(entry, dict) else -1
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if number < 0 or not isinstance(name, str) or not name or _leaves_folder(name):
            complaints.add("photos have no usable id or file name (left out)", _named_photo(entry))
            continue
        photo = {"id": number, "file_name": name, "source": entry.get("source"), "boxes": entry.get("boxes")}
        photo = {k: v for k, v in photo.items() if v is not None}
        sides = [entry.get("width"), entry.get("height")]
        if all(isinstance(s, (int, float)) and 0 < s < 1e7 for s in sides):
            photo |= {"width": sides[0], "height": sides[1]}
        photos[number] = photo
    if entries and not photos:
        [told] = complaints.sentences(path)
        raise PoseError(f"{told} Photos need whole numbers as id, in images and as image_id in annotations.")
    return photos


def _named_photo(entry: Any) -> str:
    if not isinstance(entry, dict):
        return f"{str(entry)[:60]!r}"
    return f"id {entry.get('id')!r}, file_name {entry.get('file_name')!r}"


def _leaves_folder(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or "\0" in name


def whole(value: Any, otherwise: int) -> int:
    """Convert a number or a numeric string to an integer of 64 bits. Returns `otherwise` if that fails."""
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 19:
        return int(value)
    good = isinstance(value, (int, float)) and -(2**62) < value < 2**62
    return int(value) if good and int(value) == value else otherwise


def _named(annotation: Mapping[str, Any]) -> str:
    number = annotation.get("id")
    return f"{'one' if number is None else f'annotation {number}'} of photo {annotation.get('image_id')}"


def _person(
    annotation: Mapping[str, Any], photos: Mapping[int, Any], joints: tuple[str, ...], complaints: Complaints
) -> tuple[Any, ...] | Ignored | None:
    """Read one annotation.

    Returns (keypoints, visible, box, annotation) for a person with labelled joints, an Ignored for a crowd or a
    person without, and None for an annotation that can't be used.
    """
    entry = _named(annotation)
    photo = photos.get(whole(annotation.get("image_id"), -1))
    if photo is None:
        complaints.add("annotations name a photo that the file does not list (left out)", entry)
        return None
    box = _box(annotation)
    crowd = annotation.get("iscrowd") not in (None, 0, False, "0", "", "false")
    points, visible = _joints(annotation, len(joints), entry, complaints)
    size = (photo["width"], photo["height"]) if "width" in photo and "height" in photo else None
    if points is not None:
        visible = checked(points, visible, size, entry, complaints)
    if crowd or points is None or not visible.any():
        if box is None:
            complaints.add("annotations have neither joints nor a box (left out)", entry)
            return None
        points = np.zeros((len(joints), 2)) if points is None else points
        source = str(photo.get("source", "coco"))
        return Ignored(photo["id"], source, box, _area(annotation, box), crowd, points, visible)
    if whole(annotation.get("num_keypoints", 1), 1) == 0:
        complaints.add("people have labelled joints though num_keypoints is 0 (their joints count)", entry)
    if box is None:
        complaints.add("people have no box, or one without size (taken from their joints instead)", entry)
        box = box_of_joints(points, visible)
    return points, visible, box, annotation


def _joints(
    annotation: Mapping[str, Any], count: int, entry: str, complaints: Complaints
) -> tuple[Any, npt.NDArray[np.uint8]]:
    """Keypoints ((K, 2) pixels or None) and visibility (K,). Accepts triples x, y, v and pairs x, y."""
    none = np.zeros(count, np.uint8)
    listed = annotation.get("keypoints")
    if not listed:  # the annotation has only a box
        return None, none
    try:
        flat = np.array(listed, np.float64).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        flat = np.zeros(1)
    if len(flat) == 2 * count and count > 0:
        complaints.add("people have pairs of x and y without v (0, 0 is not labelled)", entry)
        points = flat.reshape(count, 2)
        return points, np.where((points == 0).all(axis=1), 0, VISIBLE).astype(np.uint8)
    if len(flat) != 3 * count:
        complaints.add(f"annotations do not have {count} keypoints (left out)", entry)
        return None, none
    triples = flat.reshape(count, 3)
    return triples[:, :2], np.clip(np.nan_to_num(triples[:, 2]), 0, 2).astype(np.uint8)


def _box(annotation: Mapping[str, Any]) -> Array | None:
    """The box (4,) xyxy in pixels, or None if it is missing or invalid."""
    try:
        x, y, w, h = (float(v) for v in annotation["bbox"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    if not np.abs([x, y, w, h]).max() < 1e6 or w <= 0 or h <= 0:
        return None
    return np.array([x, y, x + w, y + h])


def _area(annotation: Mapping[str, Any], box: Array) -> float:
    area = annotation.get("area")
    return (
        float(area)
        if isinstance(area, (int, float)) and 0 < area < 1e12
        else BOX_TO_AREA * float((box[2] - box[0]) * (box[3] - box[1]))
    )
