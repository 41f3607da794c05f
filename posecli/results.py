"""Result files of `run`, read back: whose joints were where, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from posecli.errors import PoseError
from posecli.sinks.document import FORMAT
from posecli.types import Array


@dataclass(frozen=True)
class Track:
    """One person over time."""

    number: int | None  # None: everybody of a run without tracking, one after the other
    rows: npt.NDArray[np.intp]  # (N,) which of the recording's frames
    keypoints: Array  # (N, K, 3) float64: x, y in pixels, confidence
    boxes: Array  # (N, 4) float64: x, y, width, height
    scores: Array  # (N,)


@dataclass(frozen=True)
class Recording:
    """A whole result."""

    header: dict[str, Any]  # all but the frames: source, model, skeleton, options, summary
    frames: npt.NDArray[np.intp]  # (F,) index of each frame in the source
    times: Array  # (F,) seconds
    tracks: tuple[Track, ...]  # by number

    @property
    def joints(self) -> tuple[str, ...]:
        return tuple(self.header["skeleton"]["joints"])


def read_result(path: Path) -> Recording:
    """Read a .json or .jsonl that `run` wrote; raises PoseError for anything else, in one sentence."""
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
    if version != FORMAT:
        raise PoseError(f"{path} has the format {version}; this posecli reads {FORMAT}: run the clip again.")
    try:
        return _recording(header, frames)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PoseError(f"{path} is damaged: its frames are not what `posecli run` writes.") from error


class _NotANumber(ValueError):
    pass


def _refuse(word: str) -> float:
    raise _NotANumber(word)


def _document(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = json.loads(text, parse_constant=_refuse)
    frames = document.pop("frames")
    document["skeleton"]["joints"]  # a KeyError says that it is something else
    return document, frames


def _lines(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    header, *frames = lines
    header["skeleton"]["joints"]
    if "summary" not in frames[-1]:
        raise ValueError("no summary: it was cut short")
    return {**header, **frames[-1]}, frames[:-1]


def _recording(header: dict[str, Any], frames: list[dict[str, Any]]) -> Recording:
    found: dict[int | None, list[tuple[int, dict[str, Any]]]] = {}
    for row, frame in enumerate(frames):
        for person in frame["people"]:
            found.setdefault(person["track"], []).append((row, person))
    joints = len(header["skeleton"]["joints"])
    return Recording(
        header,
        np.array([f["frame"] for f in frames], np.intp),
        np.array([f["time"] for f in frames], np.float64),
        tuple(_track(number, found[number], joints) for number in sorted(found, key=lambda n: n or 0)),
    )


def _track(number: int | None, seen: Iterable[tuple[int, dict[str, Any]]], joints: int) -> Track:
    rows, people = zip(*seen, strict=True)
    return Track(
        number,
        np.array(rows, np.intp),
        np.array([p["keypoints"] for p in people], np.float64).reshape(len(rows), joints, 3),
        np.array([p["box"] for p in people], np.float64).reshape(len(rows), 4),
        np.array([p["score"] for p in people], np.float64),
    )
