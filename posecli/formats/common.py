"""Shared by the writers of other tools' formats."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.results.recording import Recording, Track, empty_track
from posecli.types import Array

UNEVEN = 0.02  # times off an even rate by more than this share of a step make it an uneven one


def rate_of(recording: Recording) -> float:
    """Frames a second, from the true times; raises PoseError for a single frame."""
    if len(recording.times) < 2:
        raise PoseError("A single frame has no frame rate, which this format needs.")
    rate = float((len(recording.times) - 1) / (recording.times[-1] - recording.times[0]))
    # Times in a file have 6 decimals; the source's own rate is exact where it is the same.
    told = recording.header["source"]["rate"]
    exact = float(Fraction(told)) if told else rate
    return exact if abs(exact / rate - 1) < 1e-4 else rate


def uneven(recording: Recording) -> bool:
    """Whether the times are not those of an even rate."""
    times = recording.times
    if len(times) < 3:
        return False
    even = np.linspace(times[0], times[-1], len(times))
    return bool(np.abs(times - even).max() > UNEVEN * (times[1:] - times[:-1]).mean() + 1e-6)


def followed(recording: Recording) -> list[Track]:
    """The tracks, or one of nobody where there are none; raises PoseError for people without numbers."""
    tracks = [t for t in recording.tracks if t.number is not None]
    if len(tracks) != len(recording.tracks):
        raise PoseError("This result was made with --no-tracking; this format needs track IDs.")
    return tracks or [empty_track(1, recording)]


def name_of(recording: Recording, track: Track) -> str:
    """What a person is called in a file."""
    return recording.names.get(track.number or 0, f"person{track.number}")


def safe_name(recording: Recording, track: Track) -> str:
    """The same, as a file's name takes it."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name_of(recording, track))


def whole(recording: Recording, track: Track) -> Array:
    """(F, K, 3) keypoints in all of the recording's frames; NaN where the person, or the joint, is not there."""
    filled = np.full((len(recording.frames), *track.keypoints.shape[1:]), np.nan)
    filled[track.rows] = track.keypoints
    return filled


def put(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file that is there whole or not at all."""
    with replacing(path) as part:
        write(part)
    return path
