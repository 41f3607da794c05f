"""OUT.partial/: the files of a run in progress. An interrupted run continues from them.

header.json     the result's head: what the run was asked for
rows.csv        the table so far
frames.jsonl    the document's frames so far
seen.jsonl      what each frame left in the tracker, exactly
segments/*.nut  the video so far
marks.jsonl     after each closed segment: how long those files were then
ready.json      all is made; only the moving to the final names is left
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from posecli.errors import PoseError
from posecli.output.video import segment_files
from posecli.types import Array, Boxes, Person, Seen


@dataclass(frozen=True)
class Mark:
    """Where everything stood when a segment was closed: frames, segments, and bytes of the files."""

    frames: int
    segments: int
    rows: int
    lines: int
    seen: int


@dataclass(frozen=True)
class Partial:
    """The folder of a run that is not done."""

    folder: Path

    @property
    def header(self) -> Path:
        return self.folder / "header.json"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.csv"

    @property
    def lines(self) -> Path:
        return self.folder / "frames.jsonl"

    @property
    def seen(self) -> Path:
        return self.folder / "seen.jsonl"

    @property
    def segments(self) -> Path:
        return self.folder / "segments"

    @property
    def ready(self) -> Path:
        return self.folder / "ready.json"

    def begin(self, header: dict[str, Any]) -> None:
        """A new folder; one that is there is discarded."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.segments.mkdir(parents=True)
        part = self.header.with_suffix(".part")
        part.write_text(json.dumps(header), encoding="utf-8")
        part.replace(self.header)

    @property
    def empty(self) -> bool:
        """Whether the folder is there without anything worth keeping: its run was killed as it began or
        when it was through."""
        return self.folder.is_dir() and {p.name for p in self.folder.iterdir()} <= {"segments", "header.part"}

    def remove(self) -> None:
        """Discard the folder, what says that all is done last."""
        for path in self.folder.iterdir():
            if path == self.segments:
                shutil.rmtree(path)
            elif path != self.ready:
                path.unlink()
        self.ready.unlink(missing_ok=True)
        self.folder.rmdir()

    def check_same(self, header: dict[str, Any]) -> None:
        """Raise PoseError if the folder is of a run that was asked for something else."""
        try:
            stored = json.loads(self.header.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PoseError(
                f"{self.folder} is not an interrupted run; start again with --overwrite."
            ) from error
        for name, (theirs, ours) in _differences(stored, json.loads(json.dumps(header))).items():
            raise PoseError(
                f"{self.folder} is of a run with another {name} ({theirs}, not {ours}); resume with the "
                f"same options, or start again with --overwrite."
            )

    def mark(self, frames: int) -> None:
        """Note that everything up to here is on disk. The writers have been flushed, the segment closed."""
        for path in (self.rows, self.lines, self.seen, *segment_files(self.segments)[-1:]):
            _sync(path)
        mark = Mark(
            frames, len(segment_files(self.segments)), *(p.stat().st_size for p in (self.rows, self.lines, self.seen))
        )  # fmt: skip
        self._write_mark(mark, "a")

    def _write_mark(self, mark: Mark, mode: str) -> None:
        with (self.folder / "marks.jsonl").open(mode, encoding="ascii") as file:
            file.write(json.dumps(asdict(mark)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def take_up(self) -> int:
        """Bring the folder back to its last mark; returns how many frames are done."""
        mark = self._last_mark()
        for path, size in ((self.rows, mark.rows), (self.lines, mark.lines), (self.seen, mark.seen)):
            with path.open("ab") as file:
                file.truncate(size)
        for path in segment_files(self.segments)[mark.segments :]:
            path.unlink()
        self._write_mark(mark, "w")
        return mark.frames

    def _last_mark(self) -> Mark:
        """The last whole line of the marks that the files still bear out."""
        last = Mark(0, 0, 0, 0, 0)
        path = self.folder / "marks.jsonl"
        lines = path.read_text(encoding="ascii", errors="replace").splitlines() if path.is_file() else []
        for line in lines:
            try:
                mark = Mark(**json.loads(line))
            except (ValueError, TypeError):
                break  # the process was killed while it wrote this
            if any(
                not p.is_file() or p.stat().st_size < size
                for p, size in ((self.rows, mark.rows), (self.lines, mark.lines), (self.seen, mark.seen))
            ):
                break
            last = mark
        return last


class SeenWriter:
    """What frames left in the tracker, a line a frame."""

    def __init__(self, path: Path, append: bool = False) -> None:
        self._file = path.open("a" if append else "w", encoding="ascii", newline="\n")

    def write(self, seen: Seen) -> None:
        people = [[p.track, p.score, _text(p.box), _text(p.keypoints)] for p in seen.people]
        boxes = [_text(seen.boxes.xyxy), _text(seen.boxes.scores)]
        line = [seen.index, str(seen.time), *boxes, list(seen.shown), people]
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_seen(path: Path) -> Iterator[Seen]:
    """What `SeenWriter` wrote, bit by bit the same."""
    with path.open(encoding="ascii") as file:
        for line in file:
            index, time, xyxy, scores, shown, people, *_ = json.loads(line)
            yield Seen(
                index,
                Fraction(time),
                Boxes(_array(xyxy).reshape(-1, 4), _array(scores)),
                tuple(shown),
                tuple(
                    Person(track, score, _array(box), _array(keypoints).reshape(-1, 3))
                    for track, score, box, keypoints in people
                ),
            )


def _differences(stored: dict[str, Any], asked: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{name: (stored, asked)} of what is not the same, one level deep."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, value in asked.items():
        other = stored.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            found |= {f"{name} {k}": pair for k, pair in _differences(other, value).items()}
        elif other != value:
            found[name] = (other, value)
    return found


def _text(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode("ascii")


def _array(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)


def _sync(path: Path) -> None:
    """Ask the system to put a file on the disk itself."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
