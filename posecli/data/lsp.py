"""Reads Leeds Sports Pose (LSP) and LSP-extended in their own layout: joints.mat and images/."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from posecli.data.people import (
    HIDDEN,
    UNLABELLED,
    VISIBLE,
    Complaints,
    PeopleSet,
    box_of_joints,
    checked,
)
from posecli.errors import PoseError
from posecli.skeletons import LSP14

LAST_TRAIN = 1000  # photos 1 to 1000 of LSP are the training set, the rest is the test set


def read_lsp(
    folder: Path, images: Path | None = None, part: Literal["train", "test"] | None = None
) -> PeopleSet:
    """LSP: joints.mat (3, 14, N). In the third row, 1 means **hidden**. All joints are labelled."""
    people = _read(folder, images, "lsp", third_row_hides=True)
    return people if part is None else people.part(part, people.ids <= LAST_TRAIN)


def read_lspet(folder: Path, images: Path | None = None) -> PeopleSet:
    """LSP-extended: joints.mat (14, 3, N). In the third column, 1 means **labelled**. Other joints are invalid."""
    return _read(folder, images, "lspet", third_row_hides=False)


def _read(folder: Path, images: Path | None, kind: str, third_row_hides: bool) -> PeopleSet:
    import scipy.io

    file = folder if folder.suffix == ".mat" else folder / "joints.mat"
    try:
        joints = np.asarray(scipy.io.loadmat(file)["joints"], np.float64)
    except FileNotFoundError:
        raise PoseError(f"There is no {file}; give the folder that holds joints.mat.") from None
    except Exception as error:
        raise PoseError(f"{file} is not LSP's joints.mat ({error}).") from error
    shape = joints.shape
    if len(shape) == 3 and shape[:2] == (3, 14):
        joints = joints.transpose(2, 1, 0)  # (N, 14, 3)
    elif len(shape) == 3 and shape[:2] == (14, 3):
        joints = joints.transpose(2, 0, 1)
    else:
        raise PoseError(f"{file} holds joints of shape {shape}, not (3, 14, N) or (14, 3, N).")
    photo_dir = images or file.parent / "images"
    digits = 5 if kind == "lspet" else 4
    complaints = Complaints()
    kept, visible = [], []
    for i, person in enumerate(joints):
        marked = person[:, 2] > 0.5
        if third_row_hides:
            seen = np.where(marked, HIDDEN, VISIBLE).astype(np.uint8)
        else:
            seen = np.where(marked, VISIBLE, UNLABELLED).astype(np.uint8)
        seen = checked(person[:, :2], seen, None, f"person {i + 1}", complaints)
        if seen.any():
            kept.append(i)
            visible.append(seen)
    if not kept:
        raise PoseError(f"{file} holds nobody with labelled joints.")
    keypoints = joints[kept][..., :2] - 1  # MATLAB counts pixels from 1
    boxes = np.array([box_of_joints(k, v) for k, v in zip(keypoints, visible, strict=True)])
    numbers = np.array(kept) + 1
    sides = boxes[:, 2:] - boxes[:, :2]
    return PeopleSet(
        name=f"{kind}:{file.parent.name}",
        joints=LSP14.joints,
        photos=tuple(photo_dir / f"im{n:0{digits}d}.jpg" for n in numbers),
        boxes=boxes,
        keypoints=keypoints,
        visible=np.array(visible),
        sources=(kind,) * len(kept),
        ids=numbers.astype(np.int64),
        image_ids=numbers.astype(np.int64),
        areas=0.53 * sides.prod(axis=1),
        head_sizes=np.full(len(kept), np.nan),
        dev=numbers // 50 % 20 == 7,
        warnings=complaints.sentences(file),
    )
