"""CSV: one row per person per frame (wide), or one per joint (long)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from posecli.output.document import joint_flags
from posecli.skeletons import Skeleton
from posecli.types import Array, FramePoses, Person

Layout = Literal["wide", "long"]
FLUSH_FRAMES = 25  # what a killed run loses of the table at most


class TableWriter:
    """Writes rows as frames come. Frames without people have one row with empty cells."""

    def __init__(
        self,
        path: Path,
        skeleton: Skeleton,
        layout: Layout = "wide",
        append: bool = False,
        names: Mapping[int, str] | None = None,
        photos: bool = False,
    ) -> None:
        """names: what people are called, by number: then there is a column `name`. photos: there is a column `photo`."""
        self._skeleton, self._layout, self._names, self._photos = skeleton, layout, names or {}, photos
        self._file: IO[str] = path.open("a" if append else "w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)  # RFC 4180: commas, CRLF, quotes where needed
        if not append:
            more = ["name"] * bool(self._names and layout == "wide") + ["photo"] * photos
            self._rows.writerow([*header(skeleton, layout), *more])
        self._frames = 0

    def write(self, poses: FramePoses) -> None:
        frame = poses.frame
        start = [str(frame.index), f"{float(frame.time):.6f}"]
        end = [frame.photo.name if frame.photo is not None else ""] if self._photos else []
        for person in poses.people or (None,):
            if self._layout == "wide":
                cells = _person_cells(person, frame.flags, self._skeleton)
                if self._names:
                    cells.append(self._names.get(person.track or 0, "") if person else "")
                self._rows.writerow([*start, *cells, *end])
            else:
                self._rows.writerows(
                    [*start, *cells, *end] for cells in _joint_cells(person, frame.flags, self._skeleton)
                )
        self._frames += 1
        if self._frames % FLUSH_FRAMES == 0:
            self._file.flush()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def header(skeleton: Skeleton, layout: Layout) -> list[str]:
    """The columns' names."""
    if layout == "long":
        return ["frame", "time", "track", "joint", "x", "y", "confidence", "flags"]
    joints = [f"{joint}_{what}" for joint in skeleton.joints for what in ("x", "y", "confidence")]
    return ["frame", "time", "track", "score", "x", "y", "width", "height", "flags", *joints]


def row_flags(person: Person, of_frame: tuple[str, ...], skeleton: Skeleton) -> str:
    """Flags of a frame, of a person, and of joints, such as damaged;interpolated;left_knee:interpolated."""
    of_joints = [
        f"{joint}:{flag}" for joint, flags in joint_flags(person, skeleton).items() for flag in flags
    ]
    return ";".join(dict.fromkeys((*of_frame, *person.flags, *of_joints)))


def flags_by_joint(person: Person, of_frame: tuple[str, ...], skeleton: Skeleton) -> list[str]:
    """The flags that hold for each joint, such as damaged;interpolated: a person's flag that is about some joints
    holds for those alone."""
    of_joints = joint_flags(person, skeleton)
    general = [flag for flag in person.flags if flag not in person.marks]
    return [";".join(dict.fromkeys((*of_frame, *general, *of_joints.get(j, ())))) for j in skeleton.joints]


def _person_cells(person: Person | None, of_frame: tuple[str, ...], skeleton: Skeleton) -> list[str]:
    if person is None:
        return [""] * 6 + [";".join(of_frame)] + [""] * (3 * len(skeleton.joints))
    x1, y1, x2, y2 = person.box
    cells = [
        _track(person),
        f"{person.score:.4f}",
        f"{x1:.2f}",
        f"{y1:.2f}",
        f"{x2 - x1:.2f}",
        f"{y2 - y1:.2f}",
    ]
    cells.append(row_flags(person, of_frame, skeleton))
    for point in person.keypoints:
        cells += _point(point)
    return cells


def _joint_cells(person: Person | None, of_frame: tuple[str, ...], skeleton: Skeleton) -> list[list[str]]:
    if person is None:
        return [["", "", "", "", "", ";".join(of_frame)]]
    flags = flags_by_joint(person, of_frame, skeleton)
    return [
        [_track(person), joint, *_point(point), told]
        for joint, point, told in zip(skeleton.joints, person.keypoints, flags, strict=True)
    ]


def _point(point: Array) -> list[str]:
    """x, y and confidence; a missing joint has no place."""
    x, y, confidence = point
    return [f"{x:.2f}" if x == x else "", f"{y:.2f}" if y == y else "", f"{confidence:.4f}"]


def _track(person: Person) -> str:
    return "" if person.track is None else str(person.track)
