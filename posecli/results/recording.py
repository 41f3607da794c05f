"""Reads and writes the result files of `run`: the joints of each person over time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.optional import library
from posecli.output.document import FORMAT, READABLE, Header, LinesWriter, assemble, assemble_lines
from posecli.output.table import Layout, TableWriter
from posecli.skeletons import Skeleton
from posecli.types import Array, Flags, Frame, FramePoses, Person, Photo

NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Track:
    """One person over time."""

    number: int | None  # track ID; None: one track with all people of a run without tracking
    rows: npt.NDArray[np.intp]  # (N,) frame index in the recording
    keypoints: Array  # (N, K, 3) float64: x, y in pixels, confidence
    boxes: Array  # (N, 4) float64: x, y, width, height in pixels
    scores: Array  # (N,) detection confidence
    flags: tuple[tuple[str, ...], ...]  # N tuples, the flags of each row
    places: npt.NDArray[np.intp]  # (N,) position among the people of the frame, in file order
    marks: Mapping[str, Flags] = field(default_factory=dict)  # for each flag, which joints (N, K) have it

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: npt.NDArray[Any]) -> Track:
        """Select rows by indices or by a mask (N,)."""
        chosen = np.arange(len(self.rows))[keep]
        return Track(
            self.number,
            self.rows[chosen],
            self.keypoints[chosen],
            self.boxes[chosen],
            self.scores[chosen],
            tuple(self.flags[i] for i in chosen),
            self.places[chosen],
            {flag: marked[chosen] for flag, marked in self.marks.items()},
        )

    @property
    def missing(self) -> Flags:
        """Which joints (N, K) have no position."""
        return np.isnan(self.keypoints[..., 0])

    def marked(self, flag: str, joints: Flags) -> Track:
        """Add a flag to joints (N, K) and to the rows that contain them."""
        if not joints.any():
            return self
        before = self.marks.get(flag, np.zeros(joints.shape, bool))
        rows = [bool(row.any()) for row in joints]
        flags = tuple(f if not r or flag in f else (*f, flag) for f, r in zip(self.flags, rows, strict=True))
        return replace(self, flags=flags, marks={**self.marks, flag: before | joints})


@dataclass(frozen=True)
class Recording:
    """A whole result."""

    header: Header  # everything except the frames
    frames: npt.NDArray[np.intp]  # (F,) frame index in the source
    times: Array  # (F,) seconds
    flags: tuple[tuple[str, ...], ...]  # F tuples, the flags of each frame
    tracks: tuple[Track, ...]  # sorted by number
    photos: tuple[Photo | None, ...] = ()  # F photos if the source is a folder of photos, otherwise empty

    @property
    def joints(self) -> tuple[str, ...]:
        return tuple(self.header["skeleton"]["joints"])

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the result. It may be one that this version does not know."""
        record = self.header["skeleton"]
        bones = tuple((self.joints[a], self.joints[b]) for a, b in record.get("edges", []))
        return Skeleton(record.get("name", "unnamed"), self.joints, bones)

    @property
    def names(self) -> dict[int, str]:
        """Names of people by track ID, if given (`posecli edit --rename`)."""
        return {int(number): name for number, name in self.header.get("names", {}).items()}

    def track(self, number: int) -> Track:
        for track in self.tracks:
            if track.number == number:
                return track
        known = ", ".join(str(t.number) for t in self.tracks) or "nobody"
        raise PoseError(f"There is no person {number} in this result; it has {known}.")

    def to_frame(self) -> Any:
        """A pandas data frame with one row per frame, person and joint, in the order of the file.

        Columns: frame, time (seconds), track, name, joint, x, y (pixels), confidence, flags. Frames without people
        have no row. pandas comes with the extra `formats`.
        """
        return _long_table(self)

    def with_options(self, **options: Any) -> Recording:
        """Record how the result was processed in the options of its header."""
        return replace(self, header={**self.header, "options": {**self.header["options"], **options}})


def only(recording: Recording, numbers: Sequence[int] | None) -> Recording:
    """Select people by track ID. None selects everyone. Raises PoseError for a person who is not in the result."""
    if not numbers:
        return recording
    return replace(recording, tracks=tuple(recording.track(number) for number in sorted(set(numbers))))


def stretches(numbers: npt.NDArray[np.intp]) -> list[slice]:
    """Runs of consecutive numbers in ascending integers (N,), as slices. With track rows: the parts without a gap."""
    ends = [0, *(np.flatnonzero(np.diff(numbers) > 1) + 1), len(numbers)]
    return [slice(int(a), int(b)) for a, b in pairwise(ends) if b > a]


def empty_track(number: int | None, recording: Recording) -> Track:
    """A person without frames, for formats that need at least one person."""
    joints = len(recording.joints)
    none = np.zeros(0, np.intp)
    return Track(number, none, np.zeros((0, joints, 3)), np.zeros((0, 4)), np.zeros(0), (), none)


def read_result(path: Path) -> Recording:
    """Read a .json or .jsonl file of `run`. Raises PoseError for any other file."""
    if not path.is_file():
        raise PoseError(f"There is no result file {path}.")
    try:
        text = path.read_text(encoding="utf-8")
        header, frames = _lines(text) if path.suffix == ".jsonl" else _document(text)
    except _NotANumber as error:
        raise PoseError(
            f"{path} holds {error} where a number should be; it was not written by posecli."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise PoseError(
            f"{path} is not a result of `posecli run`, or it is damaged or cut short; give the .json of a run."
        ) from error
    version = header.get("format")
    if version not in READABLE:
        raise PoseError(
            f"{path} has the format {version}; this posecli reads {' and '.join(map(str, READABLE))}: run the clip again."
        )
    try:
        return _recording(header, frames)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PoseError(f"{path} is damaged: its frames are not what `posecli run` writes.") from error


def read(path: str | Path) -> Recording:
    """Read a result as tracks over time, such as `posecli.read("clip.pose.json")`. Raises PoseError."""
    return read_result(Path(path))


def poses_of(recording: Recording) -> Iterator[FramePoses]:
    """The poses frame by frame, as `run` yields them, but with empty images."""
    by_row: list[list[tuple[int, Person]]] = [[] for _ in recording.frames]
    for track in recording.tracks:
        for i, row in enumerate(track.rows):
            x, y, width, height = track.boxes[i]
            box = np.array([x, y, x + width, y + height])
            marks = {flag: marked[i] for flag, marked in track.marks.items() if marked[i].any()}
            person = Person(
                track.number, float(track.scores[i]), box, track.keypoints[i], track.flags[i], marks
            )
            by_row[row].append((int(track.places[i]), person))
    for row, people in enumerate(by_row):
        frame = Frame(
            int(recording.frames[row]),
            Fraction(float(recording.times[row])),
            NO_PICTURE,
            recording.flags[row],
            recording.photos[row] if recording.photos else None,
        )
        yield FramePoses(frame, tuple(p for _, p in sorted(people, key=lambda x: x[0])))


def write_result(
    recording: Recording, json_file: Path, csv_file: Path | None = None, layout: Layout = "wide"
) -> None:
    """Write a recording in the format of `run`: JSON or .jsonl, and CSV.

    Raises PoseError if the folder is not writable. An interrupted write leaves no partial file.
    """
    part = json_file.with_name(json_file.name + ".part")
    lines, rows = part.with_name(part.name + ".lines"), part.with_name(part.name + ".csv")
    skeleton = recording.skeleton
    header = {k: v for k, v in recording.header.items() if k not in ("summary", "messages")} | {
        "format": FORMAT
    }
    summary = {
        **recording.header["summary"],
        "frames": len(recording.frames),
        "people": sum(len(t) for t in recording.tracks),
        "tracks": sum(t.number is not None for t in recording.tracks),
    }
    try:
        writer = LinesWriter(lines, skeleton)
        table = None
        if csv_file is not None:
            table = TableWriter(rows, skeleton, layout, names=recording.names, photos=bool(recording.photos))
        for poses in poses_of(recording):
            writer.write(poses)
            if table is not None:
                table.write(poses)
        writer.close()
        make = assemble_lines if json_file.suffix == ".jsonl" else assemble
        with part.open("w", encoding="utf-8", newline="\n") as file:
            make(lines, file, header, summary)
        part.replace(json_file)
        if table is not None and csv_file is not None:
            table.close()
            rows.replace(csv_file)
    except OSError as error:
        raise PoseError(
            f"{json_file.parent} can't be written to ({error.strerror}); choose another --out."
        ) from error
    finally:
        for left in (lines, rows, part):
            left.unlink(missing_ok=True)


def _long_table(recording: Recording) -> Any:
    pandas = library("pandas")
    joints = np.array(recording.joints)
    columns: dict[str, list[Any]] = {
        k: [] for k in ("frame", "time", "track", "name", "joint", "x", "y", "confidence", "flags")
    }
    order: list[tuple[int, int]] = []
    for track in recording.tracks:
        count = len(joints)
        columns["frame"].append(np.repeat(recording.frames[track.rows], count))
        columns["time"].append(np.repeat(recording.times[track.rows], count))
        columns["track"].append(np.full(len(track) * count, track.number or 0))
        columns["name"].append(
            np.full(len(track) * count, recording.names.get(track.number or 0, ""), dtype=object)
        )
        columns["joint"].append(np.tile(joints, len(track)))
        flat = track.keypoints.reshape(-1, 3)
        for k, name in enumerate(("x", "y", "confidence")):
            columns[name].append(flat[:, k])
        columns["flags"].append(_flags_of(recording, track))
        order += [(int(r), int(p)) for r, p in zip(track.rows, track.places, strict=True)]
    if not recording.tracks:
        return pandas.DataFrame({k: [] for k in columns})
    frame = pandas.DataFrame({k: np.concatenate(v) for k, v in columns.items()})
    count = len(joints)
    by_place = np.array(sorted(range(len(order)), key=order.__getitem__))
    rows = (by_place[:, None] * count + np.arange(count)).ravel()
    frame = frame.iloc[rows].reset_index(drop=True)
    frame["track"] = frame["track"].astype("Int64").mask(frame["track"] == 0)
    return frame


def _flags_of(recording: Recording, track: Track) -> npt.NDArray[Any]:
    """The flags of each joint (N * K,) as text."""
    told: list[str] = []
    for row, flags in zip(track.rows, track.flags, strict=True):
        told += [
            ";".join(dict.fromkeys((*recording.flags[row], *(f for f in flags if f not in track.marks))))
        ] * len(recording.joints)
    for flag, marked in track.marks.items():
        for i in np.flatnonzero(marked):
            told[i] = f"{told[i]};{flag}" if told[i] else flag
    return np.array(told, dtype=object)


class _NotANumber(ValueError):
    pass


def _refuse(word: str) -> float:
    raise _NotANumber(word)


def _document(text: str) -> tuple[Header, list[dict[str, Any]]]:
    document = json.loads(text, parse_constant=_refuse)
    frames = document.pop("frames")
    document["skeleton"]["joints"]  # raises KeyError if the file is not a result
    return document, frames


def _lines(text: str) -> tuple[Header, list[dict[str, Any]]]:
    lines = [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    header, *frames = lines
    header["skeleton"]["joints"]
    if "summary" not in frames[-1]:
        raise ValueError("no summary: it was cut short")
    header |= frames[-1]
    return header, frames[:-1]


def _recording(header: Header, frames: list[dict[str, Any]]) -> Recording:
    found: dict[int | None, list[tuple[int, int, dict[str, Any]]]] = {}
    for row, frame in enumerate(frames):
        for place, person in enumerate(frame["people"]):
            found.setdefault(person["track"], []).append((row, place, person))
    return Recording(
        header,
        np.array([f["frame"] for f in frames], np.intp),
        np.array([f["time"] for f in frames], np.float64),
        tuple(tuple(f["flags"]) for f in frames),
        tuple(
            _track(number, found[number], header["skeleton"]["joints"])
            for number in sorted(found, key=lambda n: n or 0)
        ),
        photos if any(photos := tuple(Photo(**f["photo"]) if "photo" in f else None for f in frames)) else (),
    )


def _track(number: int | None, seen: Iterable[tuple[int, int, dict[str, Any]]], names: list[str]) -> Track:
    rows, places, people = zip(*seen, strict=True)
    joints = len(names)
    marks: dict[str, Flags] = {}
    for i, person in enumerate(people):
        for joint, flags in person.get("joint_flags", {}).items():
            for flag in flags:
                marks.setdefault(flag, np.zeros((len(rows), joints), bool))[i, names.index(joint)] = True
    return Track(
        number,
        np.array(rows, np.intp),
        np.array([p["keypoints"] for p in people], np.float64).reshape(len(rows), joints, 3),
        np.array([p["box"] for p in people], np.float64).reshape(len(rows), 4),
        np.array([p["score"] for p in people], np.float64),
        tuple(tuple(p.get("flags", ())) for p in people),
        np.array(places, np.intp),
        marks,
    )
