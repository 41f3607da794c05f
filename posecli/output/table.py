"""CSV: one row per person per frame (wide), or one per joint (long)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

from posecli.skeletons import Skeleton
from posecli.types import FramePoses, Person

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
    ) -> None:
        """names: what people are called, by number: then a wide table has a column `name` at its end."""
        self._skeleton, self._layout, self._names = skeleton, layout, names or {}
        self._file: IO[str] = path.open("a" if append else "w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)  # RFC 4180: commas, CRLF, quotes where needed
        if not append:
            self._rows.writerow([*header(skeleton, layout), *(["name"] if self._names else [])])
        self._frames = 0

    def write(self, poses: FramePoses) -> None:
        frame = poses.frame
        start = [str(frame.index), f"{float(frame.time):.6f}"]
        for person in poses.people or (None,):
            flags = ";".join(dict.fromkeys((*frame.flags, *(person.flags if person else ()))))
            if self._layout == "wide":
                cells = _person_cells(person, flags, self._skeleton)
                if self._names:
                    cells.append(self._names.get(person.track or 0, "") if person else "")
                self._rows.writerow([*start, *cells])
            else:
                self._rows.writerows(
                    [*start, *cells] for cells in _joint_cells(person, flags, self._skeleton)
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


def _person_cells(person: Person | None, flags: str, skeleton: Skeleton) -> list[str]:
    if person is None:
        return [""] * 6 + [flags] + [""] * (3 * len(skeleton.joints))
    x1, y1, x2, y2 = person.box
    cells = [
        _track(person),
        f"{person.score:.4f}",
        f"{x1:.2f}",
        f"{y1:.2f}",
        f"{x2 - x1:.2f}",
        f"{y2 - y1:.2f}",
    ]
    cells.append(flags)
    for x, y, confidence in person.keypoints:
        cells += [f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}"]
    return cells


def _joint_cells(person: Person | None, flags: str, skeleton: Skeleton) -> list[list[str]]:
    if person is None:
        return [["", "", "", "", "", flags]]
    return [
        [_track(person), joint, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}", flags]
        for joint, (x, y, confidence) in zip(skeleton.joints, person.keypoints, strict=True)
    ]


def _track(person: Person) -> str:
    return "" if person.track is None else str(person.track)
