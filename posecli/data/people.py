"""Labelled people: the common representation of all data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.skeletons import COCO17, Skeleton, sources_of
from posecli.sources.photos import photo_size
from posecli.types import Array

UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2  # COCO's v
COMPLETE_SOURCES = ("coco",)
COMPLETE_JOINTS = 6  # with fewer joints, people are too small or too hidden to be labelled well


@dataclass(frozen=True)
class Ignored:
    """A crowd, or a person without labelled joints. Predictions on it are ignored in the evaluation."""

    image_id: int
    source: str
    box: Array  # (4,) xyxy
    area: float  # pixels^2
    crowd: bool
    keypoints: Array  # (K, 2) pixels, for crowds with labelled joints
    visible: npt.NDArray[np.uint8]  # (K,)


@dataclass(frozen=True)
class PeopleSet:
    """N labelled people. Row i of every array is one person. Pixels are 0-based, with integer pixel centres."""

    name: str
    joints: tuple[str, ...]  # K names
    photos: tuple[Path, ...]  # N, the photo each person is in
    boxes: Array  # (N, 4) float64 xyxy
    keypoints: Array  # (N, K, 2) float64
    visible: npt.NDArray[np.uint8]  # (N, K): UNLABELLED, HIDDEN or VISIBLE
    sources: tuple[str, ...]  # N, the data set or part that the person comes from
    ids: npt.NDArray[np.int64]  # (N,) annotation ids
    image_ids: npt.NDArray[np.int64]  # (N,)
    areas: Array  # (N,) pixels^2, of the segment if the file has it
    head_sizes: Array  # (N,) pixels, 0.6 x head diagonal in MPII; NaN in other data sets
    dev: npt.NDArray[np.bool_]  # (N,) in the 5 % of the photos used for validation
    warnings: tuple[str, ...] = field(default=())
    # (N, 2) width and height of the photo in pixels, from the file; (0, 2) if unknown
    sizes: Array = field(default_factory=lambda: np.zeros((0, 2)))
    ignored: tuple[Ignored, ...] = ()
    # (image ID, photo, source) of photos without labelled people
    empty: tuple[tuple[int, Path, str], ...] = ()
    categories: frozenset[int] = frozenset({1})  # COCO's category_id of people

    def __len__(self) -> int:
        return len(self.photos)

    def part(self, name: Literal["train", "test"], train: npt.NDArray[np.bool_]) -> PeopleSet:
        """The training or the test part of a set. Adds the part to the names of the set and its sources.

        Raises PoseError if the part is empty.
        """
        chosen = self.take(train if name == "train" else ~train)
        if not len(chosen):
            raise PoseError(f"{self.name} has no {name} part.")
        sources = tuple(f"{s}-{name}" for s in chosen.sources)
        return replace(chosen, name=f"{self.name} ({name})", sources=sources)

    def take(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> PeopleSet:
        """Select people, in the given order. Photos without people are kept only if all people are."""
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        whole = len(np.unique(rows)) == len(self)
        return replace(
            self,
            sizes=self.sizes[rows] if len(self.sizes) else self.sizes,
            empty=self.empty if whole else (),
            photos=tuple(self.photos[i] for i in rows),
            sources=tuple(self.sources[i] for i in rows),
            **{name: getattr(self, name)[rows] for name in _ROW_ARRAYS},
        )


def not_in_picture(people: PeopleSet) -> npt.NDArray[np.bool_]:
    """Joints (N, K) that the annotators looked for and did not find, so they are not in the picture.

    COCO's annotators label every joint that they can locate, even if it is hidden. An unlabelled joint of a
    person with many labelled joints is outside the picture or behind a large object. Joints that COCO does
    not have (neck, head_top, heels and toes) are never included.
    """
    labelled = people.visible > 0
    complete = np.array([s in COMPLETE_SOURCES for s in people.sources], bool)
    if not complete.any():
        return np.zeros_like(labelled)
    asked = np.isin(people.joints, COCO17.joints) & (labelled[complete].mean(axis=0) >= 0.2)
    many = labelled.sum(axis=1) >= COMPLETE_JOINTS
    gone: npt.NDArray[np.bool_] = ~labelled & asked & (complete & many)[:, None]
    return gone


_ROW_ARRAYS = ("boxes", "keypoints", "visible", "ids", "image_ids", "areas", "head_sizes", "dev")


def in_skeleton(people: PeopleSet, skeleton: Skeleton) -> PeopleSet:
    """The same people with the joints of `skeleton`, matched by name. Missing joints are unlabelled.

    Raises PoseError if no joint matches.
    """
    n, k = len(people), len(skeleton.joints)
    keypoints, visible = np.zeros((n, k, 2)), np.zeros((n, k), np.uint8)
    found = 0
    for j, joint in enumerate(skeleton.joints):
        parts = sources_of(joint, people.joints)
        if parts is None:
            continue
        found += 1
        columns = [people.joints.index(p) for p in parts]
        keypoints[:, j] = people.keypoints[:, columns].mean(axis=1)
        visible[:, j] = people.visible[:, columns].min(axis=1)
    if not found:
        raise PoseError(f"{people.name} has none of {skeleton.name}'s joints.")
    return replace(people, joints=skeleton.joints, keypoints=keypoints, visible=visible)


def joined(sets: Sequence[PeopleSet]) -> PeopleSet:
    """Join several sets into one. Raises PoseError if their joints differ."""
    if len(sets) == 1:
        return sets[0]
    if len({s.joints for s in sets}) != 1:
        raise PoseError("Only sets with the same joints can be joined; bring them to one skeleton first.")
    return PeopleSet(
        name="+".join(s.name for s in sets),
        joints=sets[0].joints,
        photos=tuple(p for s in sets for p in s.photos),
        sources=tuple(p for s in sets for p in s.sources),
        warnings=tuple(w for s in sets for w in s.warnings),
        sizes=np.concatenate([s.sizes if len(s.sizes) else np.full((len(s), 2), np.nan) for s in sets]),
        ignored=tuple(a for s in sets for a in s.ignored),
        empty=tuple(e for s in sets for e in s.empty),
        categories=frozenset().union(*(s.categories for s in sets)),
        **{name: np.concatenate([getattr(s, name) for s in sets]) for name in _ROW_ARRAYS},
    )


def check_sizes(people: PeopleSet) -> None:
    """Raise PoseError if a photo has a different size than the file says, because its labels would not fit."""
    wrong = []
    real_size = cache(photo_size)  # several people share a photo
    for row, (photo, size) in enumerate(zip(people.photos, people.sizes, strict=False)):
        if np.isnan(size).any():
            _check_inside(people, row, real_size(photo))
            continue
        if row and photo == people.photos[row - 1]:
            continue
        real = real_size(photo)
        if real is not None and real != tuple(size):
            wrong.append((photo.name, real, tuple(int(v) for v in size)))
    if wrong:
        name, real, told = wrong[0]
        turned = ", turned by a quarter" if real == told[::-1] else ""
        raise PoseError(
            f"{people.name}: {len(wrong)} photos have another size than the label file says. The first: {name} has "
            f"{real[0]}x{real[1]} pixels, the file says {told[0]}x{told[1]}{turned}. Give the photos that were labelled, or "
            f"scale the labels."
        )


def _check_inside(people: PeopleSet, row: int, real: tuple[int, int] | None) -> None:
    """Raise PoseError if joints lie far outside the photo. Used if the file does not give the photo's size.

    real: (width, height) of the photo in pixels; None if it can't be read.
    """
    labelled = people.keypoints[row][people.visible[row] > 0]
    if real is not None and len(labelled) and (labelled > 1.2 * np.array(real)).any():
        raise PoseError(
            f"{people.name} has joints far outside of {people.photos[row].name}, which is {real[0]}x{real[1]}: they were "
            f"labelled on a larger photo. Give the photos that were labelled, or scale the labels."
        )


class Complaints:
    """Collects problems in a data set: counts each kind and keeps its first entry as an example."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, entry: str) -> None:
        self._counts[kind] += 1
        self._first.setdefault(kind, entry)

    def sentences(self, file: Path) -> tuple[str, ...]:
        return tuple(
            f"{file.name}: {kind}: {count}, the first: {self._first[kind]}."
            for kind, count in self._counts.items()
        )


def checked(
    keypoints: Array,
    visible: npt.NDArray[np.uint8],
    size: tuple[float, float] | None,
    entry: str,
    complaints: Complaints,
) -> npt.NDArray[np.uint8]:
    """Visibility (K,) with unusable joints marked as unlabelled: not finite, or far outside the photo.

    size: (width, height) of the photo in pixels; None if the file does not give it.
    """
    visible = visible.copy()
    labelled = visible > 0
    unusable = labelled & ~np.isfinite(keypoints).all(axis=1)
    if unusable.any():
        complaints.add("people have joints that are not numbers (left out)", entry)
    if size is not None:
        margin = 0.05 * max(size)
        inside = ((keypoints >= -margin) & (keypoints <= np.array(size) + margin)).all(axis=1)
        outside = labelled & ~unusable & ~inside
        if outside.any():
            complaints.add("people have joints far outside the picture (left out)", entry)
        unusable = unusable | outside
    visible[unusable] = UNLABELLED
    return visible


def box_of_joints(keypoints: Array, visible: npt.NDArray[np.uint8], margin: float = 0.1) -> Array:
    """Bounding box (4,) xyxy of the labelled joints. `margin` is added on each side, as a share of the longer side."""
    points = keypoints[visible > 0]
    low, high = points.min(axis=0), points.max(axis=0)
    grown = margin * max(float((high - low).max()), 1.0)
    return np.concatenate([low - grown, high + grown + 1])
