"""JSON and JSON lines: a header, frames, a summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NotRequired, TypedDict

import numpy as np

from posecli.skeletons import Skeleton
from posecli.types import FramePoses, Person

FORMAT = 2
READABLE = (
    1,
    2,
)  # formats that can be read; 1 has no flags of joints, no missing joints and no photos' names


class SourceHeader(TypedDict):
    """What was read."""

    name: str  # file name without its path
    width: int  # upright display pixels
    height: int
    rate: str | None  # nominal frames a second, such as 30000/1001
    duration: float | None  # seconds
    rotation: int  # degrees clockwise that stood the stored picture upright
    stream: NotRequired[int]  # the video stream that was asked for
    origin: NotRequired[float]  # seconds where the file's times begin, if not at 0


class FileHeader(TypedDict):
    """Which weights."""

    name: str
    sha256: str
    architecture: NotRequired[str]
    input_size: NotRequired[list[int]]


class SkeletonHeader(TypedDict):
    """Which joints."""

    name: str
    joints: list[str]
    edges: list[list[int]]
    flip: list[int]
    derived: dict[str, list[str]]  # joints computed from several others, and from which


class SummaryHeader(TypedDict):
    """What came of it."""

    frames: int
    people: int  # summed over frames
    tracks: int
    damaged: int
    messages: list[str]


class Header(TypedDict):
    """A result without its frames."""

    posecli: str  # version that wrote it
    format: int
    source: SourceHeader
    model: FileHeader
    detector: FileHeader
    tracker: str | None
    skeleton: SkeletonHeader
    options: dict[str, Any]  # of the run, and what was done to the result since
    names: NotRequired[dict[str, str]]  # what people are called, by track ID
    summary: NotRequired[SummaryHeader]  # while the run goes on there is none


def frame_record(poses: FramePoses, skeleton: Skeleton) -> dict[str, Any]:
    """One frame as it stands in the file: coordinates to 2 decimals, confidence to 4, time to 6. A missing joint is
    [null, null, 0]."""
    photo = poses.frame.photo
    return {
        "frame": poses.frame.index,
        "time": round(float(poses.frame.time), 6),
        **({"photo": asdict(photo)} if photo is not None else {}),
        "flags": list(poses.frame.flags),
        "people": [
            {
                "track": person.track,
                "score": round(float(person.score), 4),
                "box": [round(float(v), 2) for v in _xywh(person.box)],
                "keypoints": [
                    [round(float(x), 2), round(float(y), 2), round(float(c), 4)]
                    if x == x
                    else [None, None, 0.0]
                    for x, y, c in person.keypoints
                ],
                **({"flags": list(person.flags)} if person.flags else {}),
                **({"joint_flags": marks} if (marks := joint_flags(person, skeleton)) else {}),
            }
            for person in poses.people
        ],
    }


def skeleton_record(skeleton: Skeleton, derived: Mapping[str, tuple[str, ...]]) -> SkeletonHeader:
    """The skeleton, and which joints are computed from others."""
    return {
        "name": skeleton.name,
        "joints": list(skeleton.joints),
        "edges": [list(edge) for edge in skeleton.edges],
        "flip": skeleton.flip,
        "derived": {joint: list(parts) for joint, parts in derived.items()},
    }


def joint_flags(person: Person, skeleton: Skeleton) -> dict[str, list[str]]:
    """{joint: its flags} of the joints that have any."""
    found: dict[str, list[str]] = {}
    for flag, marked in person.marks.items():
        for joint in np.flatnonzero(marked):
            found.setdefault(skeleton.joints[joint], []).append(flag)
    return found


class LinesWriter:
    """Frames as JSON lines, flushed often; `assemble` makes the document of them."""

    def __init__(self, path: Path, skeleton: Skeleton, append: bool = False) -> None:
        self._skeleton = skeleton
        self._file = path.open("a" if append else "w", encoding="utf-8", newline="\n")
        self._frames = 0

    def write(self, poses: FramePoses) -> None:
        self._file.write(compact(frame_record(poses, self._skeleton)) + "\n")
        self._frames += 1
        if self._frames % 25 == 0:
            self._file.flush()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def assemble(lines: Path, out: IO[str], header: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """The JSON document from a file of frame lines, without holding the frames in memory."""
    out.write(compact(header)[:-1] + ',"frames":[\n')
    with lines.open(encoding="utf-8") as frames:
        for i, line in enumerate(frames):
            out.write((",\n" if i else "") + line.rstrip("\n"))
    out.write('\n],"summary":' + compact(summary) + "}\n")


def assemble_lines(lines: Path, out: IO[str], header: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """JSON lines: the header, a line a frame, and a last line with the summary."""
    out.write(compact(header) + "\n")
    with lines.open(encoding="utf-8") as frames:
        for line in frames:
            out.write(line)
    out.write(compact({"summary": summary}) + "\n")


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _xywh(box: Any) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1, y2 - y1
