"""Opens the SOURCE argument of the command line."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from natsort import natsorted

from posecli.errors import PoseError
from posecli.sources.camera import CameraSource
from posecli.sources.photos import PHOTO_SUFFIXES, PhotoSequence
from posecli.sources.stream import StreamSource
from posecli.sources.video import VideoSource

OpenedSource = VideoSource | PhotoSequence | CameraSource
VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".mov",
        ".mkv",
        ".avi",
        ".webm",
        ".m4v",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ts",
        ".mts",
        ".m2ts",
        ".3gp",
        ".ogv",
        ".mxf",
    ]
)
STREAM_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://", "srt://", "tcp://")


def open_source(text: str, rate: Fraction | None = None, stream: int | None = None) -> OpenedSource:
    """Open a video file, a folder or glob of photos, a photo, a camera by number, or a stream by URL.

    rate: frames per second for photos. stream: index of the video stream in a file, from 0.
    Raises PoseError if the source can't be opened, and for `rate` or `stream` with a source that has no use for it.
    """
    source = _opened(text, rate, stream)
    if rate is not None and not source.still:
        source.close()
        raise PoseError(f"--rate is for photos; {source.name} has its own frame times.")
    if stream is not None and source.stream is None:
        source.close()
        raise PoseError(f"--stream is for video files; {source.name} is not one.")
    return source


def _opened(text: str, rate: Fraction | None, stream: int | None) -> OpenedSource:
    if text.isdigit() and not Path(text).exists():
        return CameraSource.open(int(text))
    if text == "-":
        return VideoSource.open("pipe:0", live=True)
    if text.lower().startswith(STREAM_SCHEMES):
        return StreamSource.reach(text)
    path = Path(text)
    if path.is_dir():
        return PhotoSequence.open(_photos(path.iterdir()), str(path), rate)
    if not path.exists() and glob.has_magic(text):
        matches = [Path(p) for p in glob.glob(text, recursive=True)]
        if not matches:
            raise PoseError(f"No file matches {text}.")
        return PhotoSequence.open(_photos(matches), text, rate)
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return PhotoSequence.open([path], path.name, rate)
    return VideoSource.open(text, live=path.is_fifo(), stream=stream)


def expected_frames(
    source: OpenedSource, start: float | None, end: float | None, duration: float | None, stride: int
) -> int | None:
    """Approximate number of frames in a part of a source, for a progress bar. None if unknown. Times in seconds."""
    whole = source.duration
    if whole is None and source.frame_count is not None:
        whole = float(source.frame_count / source.rate)
    if whole is None and duration is None:
        return None
    first = max(start or 0.0, float(source.origin))
    last = min(
        float("inf") if end is None else end,
        float("inf") if whole is None else float(source.origin) + whole,
        float("inf") if duration is None else first + duration,
    )
    rate = source.frame_count / whole if source.frame_count and whole else float(source.rate)
    return max(1, round((last - first) * rate / stride))


def videos_in(folder: Path) -> list[Path]:
    """The videos in a folder, sorted by name. Empty for a folder of photos."""
    videos = [
        p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file() and not _macos(p)
    ]
    # Skip annotated videos from earlier runs.
    return _in_order(p for p in videos if not p.stem.endswith(".pose"))


def _photos(paths: Iterable[Path]) -> list[Path]:
    """The photos among paths, in natural order of their names (2 before 10)."""
    return _in_order(p for p in paths if p.suffix.lower() in PHOTO_SUFFIXES and not _macos(p))


def _in_order(paths: Iterable[Path]) -> list[Path]:
    return natsorted(paths, key=lambda p: p.name.lower())


def _macos(path: Path) -> bool:
    """Whether this is a metadata file of macOS, which has no image in it."""
    return path.name.startswith("._")
