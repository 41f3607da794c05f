"""Reads FLIC: examples.mat with people in film stills, 11 joints of the upper body."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from posecli.data.people import VISIBLE, Complaints, PeopleSet, checked
from posecli.errors import PoseError
from posecli.skeletons import FLIC11

# The columns of `coords` (2, 29) that FLIC uses, in the order of FLIC11's joints.
_COLUMNS = [0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16]


def read_flic(
    folder: Path, images: Path | None = None, part: Literal["train", "test"] | None = None
) -> PeopleSet:
    """Read the people in FLIC's examples.mat. Joints with NaN are unlabelled.

    Left and right stay as in FLIC, where "left" is the left side of the picture.
    """
    import scipy.io

    file = folder if folder.suffix == ".mat" else folder / "examples.mat"
    try:
        examples = np.atleast_1d(scipy.io.loadmat(file, struct_as_record=False, squeeze_me=True)["examples"])
    except FileNotFoundError:
        raise PoseError(f"There is no {file}; give the folder that holds examples.mat.") from None
    except Exception as error:
        raise PoseError(f"{file} is not FLIC's examples.mat ({error!r}).") from error
    complaints = Complaints()
    photos, keypoints, visible, boxes, numbers, train = [], [], [], [], [], []
    for i, example in enumerate(examples):
        entry = f"example {i + 1}"
        try:
            points = np.asarray(example.coords, np.float64)[:, _COLUMNS].T - 1  # (11, 2), 0-based
            torso = np.asarray(example.torsobox, np.float64).reshape(4) - 1
            name, is_train = str(example.filepath), bool(getattr(example, "istrain", True))
        except (AttributeError, IndexError, ValueError):
            complaints.add("examples lack coords, torsobox or filepath (left out)", entry)
            continue
        labelled = np.where(np.isfinite(points).all(axis=1), VISIBLE, 0).astype(np.uint8)
        labelled = checked(points, labelled, None, entry, complaints)
        if labelled.any():
            photos.append((images or file.parent / "images") / name)
            keypoints.append(np.nan_to_num(points))
            visible.append(labelled)
            boxes.append(_upper_body(torso))
            numbers.append(i + 1)
            train.append(is_train)
    if not numbers:
        raise PoseError(f"{file} holds nobody with labelled joints.")
    box_array, ids = np.array(boxes), np.array(numbers, np.int64)
    people = PeopleSet(
        name=f"flic:{file.parent.name}",
        joints=FLIC11.joints,
        photos=tuple(photos),
        boxes=box_array,
        keypoints=np.array(keypoints),
        visible=np.array(visible),
        sources=("flic",) * len(ids),
        ids=ids,
        image_ids=ids,
        areas=0.53 * (box_array[:, 2:] - box_array[:, :2]).prod(axis=1),
        head_sizes=np.full(len(ids), np.nan),
        dev=ids % 20 == 7,
        warnings=complaints.sentences(file),
    )
    return people if part is None else people.part(part, np.array(train))


def _upper_body(
    torso: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The box (4,) xyxy of arms and head for a torso box (4,) xyxy: about twice as high and three times as wide."""
    x1, y1, x2, y2 = torso
    w, h = x2 - x1, y2 - y1
    return np.array([x1 - w, y1 - 0.8 * h, x2 + w + 1, y2 + 0.3 * h + 1])
