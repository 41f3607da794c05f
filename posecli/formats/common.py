"""Functions that several output formats share."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.results.recording import Recording, Track, empty_track
from posecli.types import Array

UNEVEN = 0.02  # deviation from even frame times, as a share of the frame interval, that counts as uneven


def rate_of(recording: Recording) -> float:
    """Frames per second, computed from the frame times. Raises PoseError for a single frame."""
    if len(recording.times) < 2:
        raise PoseError("A single frame has no frame rate, which this format needs.")
    rate = float((len(recording.times) - 1) / (recording.times[-1] - recording.times[0]))
    # Times in a file are rounded to 6 decimals. Prefer the exact rate of the source if it agrees.
    told = recording.header["source"]["rate"]
    exact = float(Fraction(told)) if told else rate
    return exact if abs(exact / rate - 1) < 1e-4 else rate


def uneven(recording: Recording) -> bool:
    """Whether the frame times deviate from a constant frame rate."""
    times = recording.times
    if len(times) < 3:
        return False
    even = np.linspace(times[0], times[-1], len(times))
    return bool(np.abs(times - even).max() > UNEVEN * (times[1:] - times[:-1]).mean() + 1e-6)


def followed(recording: Recording) -> list[Track]:
    """All tracks, or one empty track if there are none. Raises PoseError for untracked results."""
    tracks = [t for t in recording.tracks if t.number is not None]
    if len(tracks) != len(recording.tracks):
        raise PoseError("This result was made with --no-tracking; this format needs track IDs.")
    return tracks or [empty_track(1, recording)]


def name_of(recording: Recording, track: Track) -> str:
    """The name of a person in a file."""
    return recording.names.get(track.number or 0, f"person{track.number}")


def safe_name(recording: Recording, track: Track) -> str:
    """The name of a person, with only characters that are safe in a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name_of(recording, track))


def whole(recording: Recording, track: Track) -> Array:
    """Keypoints (F, K, 3) in all frames of the recording. NaN if the person or the joint is missing."""
    filled = np.full((len(recording.frames), *track.keypoints.shape[1:]), np.nan)
    filled[track.rows] = track.keypoints
    return filled


def put(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file. An interrupted write leaves no partial file. Raises PoseError if it can't be written."""
    with replacing(path) as part:
        write(part)
    return path
