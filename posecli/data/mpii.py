"""Reads MPII Human Pose: the original .mat release, and the .json files of HRNet and related projects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posecli.data.people import VISIBLE, Complaints, PeopleSet, box_of_joints, checked
from posecli.errors import PoseError
from posecli.skeletons import MPII16
from posecli.types import Array, Flags

PERSON_HEIGHT = 200.0  # MPII's scale is the person's height in pixels / 200
HEAD_SHARE = 0.6  # head size for PCKh / diagonal of the head box


@dataclass(frozen=True)
class _Entry:
    photo: str
    keypoints: Array  # (16, 2), 1-based as in the file
    labelled: Flags  # (16,)
    box: Array | None  # (4,) xyxy, 0-based
    head_size: float
    entry: str


def read_mpii(path: Path, images: Path | None = None) -> PeopleSet:
    """Read the people of MPII. Raises PoseError.

    path: a .json in HRNet's format, mpii_human_pose_v1_u12_1.mat, or its folder.
    Joints are 1-based in both files, and 0-based in the result.
    """
    file = _find_file(path)
    complaints = Complaints()
    entries = list(_json_entries(file) if file.suffix == ".json" else _mat_entries(file, complaints))
    rows = []
    for entry in entries:
        keypoints = entry.keypoints - 1
        visible = np.where(entry.labelled, VISIBLE, 0).astype(np.uint8)
        visible = checked(keypoints, visible, None, entry.entry, complaints)
        if visible.any():
            box = entry.box if entry.box is not None else box_of_joints(keypoints, visible)
            rows.append((entry, keypoints, visible, box))
    if not rows:
        raise PoseError(f"{file} holds nobody with labelled joints.")
    folder = images or next(
        (d for d in (file.parent / "images", file.parent.parent / "images") if d.is_dir()),
        file.parent / "images",
    )
    names = sorted({row[0].photo for row in rows})
    image_ids = np.array([names.index(row[0].photo) for row in rows], np.int64)
    boxes = np.array([row[3] for row in rows])
    return PeopleSet(
        name=f"mpii:{file.name}",
        joints=MPII16.joints,
        photos=tuple(folder / row[0].photo for row in rows),
        boxes=boxes,
        keypoints=np.array([row[1] for row in rows]),
        visible=np.array([row[2] for row in rows]),
        sources=("mpii",) * len(rows),
        ids=np.arange(len(rows), dtype=np.int64),
        image_ids=image_ids,
        areas=0.53 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        head_sizes=np.array([row[0].head_size for row in rows]),
        dev=image_ids % 20 == 7,
        warnings=complaints.sentences(file),
    )


def _find_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.mat")) + sorted(path.glob("*.json"))
        if len(found) != 1:
            raise PoseError(f"{path} holds {len(found)} .mat and .json files; name the one to read.")
        return found[0]
    if not path.is_file():
        raise PoseError(f"There is no annotation file {path}.")
    return path


def _person_box(centre: Array, scale: float) -> Array:
    """The square box (4,) xyxy around MPII's centre, with the height of the person as its side."""
    half = scale * PERSON_HEIGHT / 2
    return np.array([*(centre - half + 0.5), *(centre + half + 0.5)])


def _json_entries(file: Path) -> Iterator[_Entry]:
    try:
        people = json.loads(file.read_text(encoding="utf-8"))
        for i, person in enumerate(people):
            yield _Entry(
                photo=str(person["image"]),
                keypoints=np.array(person["joints"], np.float64).reshape(16, 2),
                labelled=np.array(person["joints_vis"]) > 0,
                box=_person_box(np.array(person["center"], np.float64) - 1, float(person["scale"])),
                head_size=float("nan"),
                entry=f"person {i}",
            )
    except (ValueError, KeyError, TypeError) as error:
        raise PoseError(f"{file} is not a list of MPII people ({error!r}).") from error


def _mat_entries(file: Path, complaints: Complaints) -> Iterator[_Entry]:
    """The people of the original release. Any field can be missing in any entry."""
    import scipy.io

    try:
        release = scipy.io.loadmat(file, struct_as_record=False, squeeze_me=True)["RELEASE"]
        photos = np.atleast_1d(release.annolist)
    except Exception as error:
        raise PoseError(f"{file} is not MPII's annotation file ({error!r}).") from error
    for i, photo in enumerate(photos):
        name = getattr(getattr(photo, "image", None), "name", None)
        for j, rect in enumerate(np.atleast_1d(getattr(photo, "annorect", []))):
            points = np.atleast_1d(getattr(getattr(rect, "annopoints", None), "point", []))
            if not isinstance(name, str) or not points.size:
                continue
            keypoints, labelled = np.zeros((16, 2)), np.zeros(16, bool)
            for point in points:
                number = int(getattr(point, "id", -1))
                if not 0 <= number < 16:
                    complaints.add("joints have a number outside 0-15 (left out)", f"photo {i} {name}")
                    continue
                keypoints[number] = float(point.x), float(point.y)
                labelled[number] = True
            yield _Entry(name, keypoints, labelled, _mat_box(rect), _head_size(rect), f"photo {i} person {j}")


def _mat_box(rect: Any) -> Array | None:
    place, scale = getattr(rect, "objpos", None), getattr(rect, "scale", None)
    if not hasattr(place, "x") or not np.isscalar(scale):
        return None
    return _person_box(np.array([float(place.x), float(place.y)]) - 1, float(scale))  # type: ignore[union-attr,arg-type]


def _head_size(rect: Any) -> float:
    corners = [getattr(rect, name, None) for name in ("x1", "y1", "x2", "y2")]
    if not all(np.isscalar(c) for c in corners):
        return float("nan")
    x1, y1, x2, y2 = (float(c) for c in corners)  # type: ignore[arg-type]
    return HEAD_SHARE * float(np.hypot(x2 - x1, y2 - y1))
