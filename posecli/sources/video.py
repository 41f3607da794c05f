"""Video files and streams through PyAV: every frame upright, with its own presentation time."""

from __future__ import annotations

import contextlib
import heapq
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition

from posecli.errors import PoseError
from posecli.files import local, readable_name
from posecli.sources.hdr import is_hdr, sdr_picture
from posecli.types import Frame, Image, Sound

# Frames whose stamps are put in order together. Decoders give frames in the right order; the stamps of
# AVI, which has none of its own, may be those of the packets and run backwards by as much as H.264
# may reorder (16 frames). Elsewhere stamps are right, and only small slips are mended.
WINDOW_AVI, WINDOW = 17, 3
# Times that fall back further than any reordering begin again: joined recordings, chapters of a camera.
RESTART = Fraction(7, 10)  # seconds
LEAP = 60  # seconds that times jump ahead, and a hundred steps: worth a word
RATE_FRAMES = 60  # whose times say what the rate is
PLAUSIBLE = 240  # frames a second; what a file tells above this is checked against its frames' times
HD_HEIGHT = 720  # untagged video from this height on is BT.709, below BT.601, as players assume
BT709, BT601, UNSPECIFIED = 1, 5, (0, 2)
LIMITED_RANGE = 1  # 16-235, unless the stream says otherwise


@dataclass(frozen=True)
class Orientation:
    """Quarter turns counter-clockwise of the stored picture, after an optional mirroring left-right."""

    turns: int = 0
    mirror: bool = False

    def upright(self, image: Image) -> Image:
        if self.mirror:
            image = image[:, ::-1]
        return np.rot90(image, self.turns) if self.turns else image

    @property
    def degrees_clockwise(self) -> int:
        """How far the stored picture is turned clockwise to stand upright."""
        return -90 * self.turns % 360


@dataclass
class Trouble:
    """What went wrong while reading; told once at the end."""

    damaged: int = 0  # frames that the decoder marked or packets that it refused
    reordered: int = 0  # frames whose stamps ran backwards
    unstamped: int = 0  # frames without a stamp
    dropped: int = 0  # frames of a live source that came faster than they were worked on
    restarted: int = 0  # times that the times began again
    jumped: float = 0.0  # seconds: the longest jump ahead from one frame to the next
    reconnected: int = 0  # times that a stream was taken up again
    nominal: Fraction | None = None  # pictures a second of photos, which have no times of their own
    hdr: bool = False  # whether HDR pictures were brought to SDR
    ended: str = ""  # why reading stopped before the end

    def sentences(self) -> list[str]:
        told = []
        if self.damaged:
            told.append(f"{self.damaged} frames are damaged; their rows are flagged.")
        if self.reordered:
            told.append(
                f"The times of {self.reordered} frames run backwards in the file; the times were put in "
                f"order, the pictures were not touched."
            )
        if self.unstamped:
            told.append(f"{self.unstamped} frames have no time; the nominal rate was used for them.")
        if self.restarted:
            told.append(
                f"The times in the file begin again {_times(self.restarted)}, as in recordings that were joined; they "
                f"were made to go on, and sound was left out."
            )
        if self.jumped:
            told.append(
                f"The times in the file jump ahead by {self.jumped:.0f} s from one frame to the next; the gap is kept."
            )
        if self.dropped:
            told.append(
                f"{self.dropped} frames were dropped, because they came faster than they could be processed."
            )
        if self.reconnected:
            told.append(f"The stream broke and was opened again {self.reconnected} times.")
        if self.nominal:
            told.append(
                f"Photos have no times; the frame rate was set to {float(self.nominal):g} a second (--rate)."
            )
        if self.hdr:
            told.append("The video is HDR (PQ or HLG); it was converted to SDR.")
        if self.ended:
            told.append(f"The file ends early ({self.ended}); everything up to there is written.")
        return told


@dataclass
class VideoSource:
    """An opened video. Iterate it once for its frames."""

    path: str
    name: str
    width: int  # upright display pixels
    height: int
    rate: Fraction
    time_base: Fraction  # seconds; all times are multiples of it
    duration: float | None  # seconds
    frame_count: int | None  # what the container says or what rate and duration give
    orientation: Orientation
    sound: Sound | None
    live: bool
    container: Any = field(repr=False)
    index: int = 0  # of the video stream among all streams of the container
    stream: int | None = None  # that stream's place among the video streams, where a person asked for it
    origin: Fraction = Fraction(0)  # seconds: where the container's times begin
    early: list[Any] = field(default_factory=list, repr=False)  # frames that opening has decoded already
    trouble: Trouble = field(default_factory=Trouble)
    paced: bool = False  # comes in real time, whether or not somebody keeps up
    still: bool = False

    @staticmethod
    def open(
        address: str, live: bool = False, options: dict[str, str] | None = None, stream: int | None = None
    ) -> VideoSource:
        """Open a file or address; raises PoseError for what is not a video.

        stream: the number of the video stream, from 0; None: the best, never a cover picture.
        """
        if not live:
            _check_file(Path(address))
        try:
            where = address if live and not Path(address).exists() else local(address)
            patience = (10.0, 30.0) if "://" in address else None
            container = av.open(where, options=options or {}, timeout=patience)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise PoseError(_why_not(address, live, error)) from error
        try:
            video = _video_stream(address, container, stream)
            video.thread_type = "AUTO"
            early = _first_frames(address, container, video)
            first = early[0]
            orientation = orientation_of(first)
            width, height = _display_size(first, video, orientation)
            rate, index = _rate(container, video, live), video.index
            if not live:  # seeking back would lose frames in some containers
                container.close()
                container = av.open(where)
                video = container.streams[index]
                video.thread_type = "AUTO"
                early = []
        except BaseException:
            container.close()
            raise
        duration = _duration(container, video)
        count = video.frames or (round(duration * rate) if duration else None)
        return VideoSource(
            address, _name(address, live), width, height, rate,
            video.time_base or Fraction(1, 90_000), duration,
            count, orientation, None if live else _sound(address, container), live, container, index, stream,
            Fraction(container.start_time or 0, av.time_base), early,
        )  # fmt: skip

    @property
    def rotation(self) -> int:
        """Degrees clockwise that the file asks pictures to be turned by."""
        return self.orientation.degrees_clockwise

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Frames in presentation order, from index `first` on: those before it are decoded, since indices
        and times depend on them, and no more. Damage is counted, never fatal once frames have come."""
        for index, (time, raw) in enumerate(self._in_time(self._decoded())):
            flags = ("damaged",) if raw.is_corrupt else ()
            self.trouble.damaged += bool(flags)
            if index >= first:
                yield Frame(index, time, self._picture(raw), flags)

    def close(self) -> None:
        self.container.close()

    def _decoded(self) -> Iterator[Any]:
        """Raw frames in the decoder's order, past packets that it refuses."""
        stream = self.container.streams[self.index]
        packets = self.container.demux(stream)
        yield from self.early
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self.trouble.ended = _plain(error)
                # Frames that wait in the decoder for later ones are whole; they still come.
                with contextlib.suppress(av.FFmpegError):
                    yield from stream.decode(None)
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.trouble.damaged += 1

    def _in_time(self, raw_frames: Iterator[Any]) -> Iterator[tuple[Fraction, Any]]:
        """Give the k-th picture the k-th smallest stamp, sorted within a bounded window.

        The decoder's order is the true one. Frames without a stamp follow as the one before did. Where the times begin again,
        they are made to go on.
        """
        window = WINDOW_AVI if "avi" in self.container.format.name else WINDOW
        pictures: deque[Any] = deque()
        stamps: list[Fraction] = []
        step = 1 / self.rate  # between the last two frames
        newest: Fraction | None = None
        offset = Fraction(0)  # of this stretch of times, so that they go on after those before
        for raw in raw_frames:
            if raw.pts is not None and raw.time_base is not None:
                time = raw.pts * raw.time_base + offset
                if newest is not None and newest - time > RESTART:
                    self.trouble.restarted += 1
                    while pictures:
                        yield heapq.heappop(stamps), pictures.popleft()
                    offset += newest + step - time
                    time = newest + step
                elif newest is not None and time > newest:
                    if time - newest > max(LEAP, 100 * step):
                        self.trouble.jumped = max(self.trouble.jumped, float(time - newest))
                    step = time - newest
                self.trouble.reordered += newest is not None and time < newest
            else:
                self.trouble.unstamped += 1
                time = newest + step if newest is not None else Fraction(0)
            newest = time if newest is None else max(newest, time)
            pictures.append(raw)
            heapq.heappush(stamps, Fraction(time))
            if len(pictures) > window:
                yield heapq.heappop(stamps), pictures.popleft()
        while pictures:
            yield heapq.heappop(stamps), pictures.popleft()

    def _picture(self, raw: Any) -> Image:
        """The upright BGR picture in display pixels."""
        color_range = raw.color_range or LIMITED_RANGE
        if is_hdr(raw):
            self.trouble.hdr = True
            return self._upright(sdr_picture(raw, color_range))
        matrix = raw.colorspace
        if matrix in UNSPECIFIED:
            matrix = BT709 if raw.height >= HD_HEIGHT else BT601
        return self._upright(
            raw.reformat(format="bgr24", src_colorspace=matrix, src_color_range=color_range).to_ndarray()
        )

    def _upright(self, image: Image) -> Image:
        """The stored picture in display pixels, the right way up."""
        size = (self.width, self.height)
        stored = size if self.orientation.turns % 2 == 0 else size[::-1]
        if image.shape[1::-1] != stored:  # pixels that are not square, or a size that changes
            image = cv2.resize(image, stored, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        return np.ascontiguousarray(self.orientation.upright(image))  # rows of odd widths are padded


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def orientation_of(raw: Any) -> Orientation:
    """How to stand a frame upright, from its display matrix (nearest quarter turn)."""
    for side_data in raw.side_data:
        if side_data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack("<5i", bytes(side_data)[:20])
            return _orientation(a, b, c, d)
    return Orientation()


def _orientation(a: int, b: int, c: int, d: int) -> Orientation:
    """Stored (x, y) is shown at (a x + c y, b x + d y): a quarter turn, mirrored if det < 0."""
    mirror = a * d - b * c < 0
    if mirror:  # undo the mirroring of x first
        a, b = -a, -b
    if abs(a) >= abs(b):
        return Orientation(0 if a >= 0 else 2, mirror)
    # b > 0: x to the right is shown downwards, a clockwise quarter turn: three the other way.
    return Orientation(3 if b > 0 else 1, mirror)


def _display_size(first: Any, stream: Any, orientation: Orientation) -> tuple[int, int]:
    """(width, height) upright with square pixels: the longer way of a pixel is kept."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = first.width, first.height
    if aspect > 0 and aspect != 1:
        width = max(1, round(width * aspect))
    return (width, height) if orientation.turns % 2 == 0 else (height, width)


def _video_stream(address: str, container: Any, number: int | None) -> Any:
    """The video stream of a number, or the best: never a cover picture or a single frame beside a film."""
    videos = container.streams.video
    if not videos:
        raise PoseError(f"{address} holds no video stream; give a video file.")
    if number is not None:
        if number >= len(videos):
            raise PoseError(
                f"{address} has no video stream {number}; its {len(videos)} are counted from 0 (--stream)."
            )
        return videos[number]
    films = [s for s in videos if not s.disposition & Disposition.attached_pic]
    if not films:
        raise PoseError(f"{address} holds no video stream, only a cover picture; give a video file.")

    def worth(stream: Any) -> tuple[int, ...]:
        default = bool(stream.disposition & Disposition.default)
        context = stream.codec_context
        return stream.frames != 1, default, context.width * context.height, context.bit_rate or 0

    return max(films, key=worth)


def _rate(container: Any, stream: Any, live: bool) -> Fraction:
    """Frames a second, as the file tells, or as its first frames are where it tells nonsense (browsers' recordings
    tell 1000). For the header and for progress bars: what a run does goes by the frames' own times."""
    told = stream.average_rate or stream.guessed_rate
    if told and told <= PLAUSIBLE:
        return Fraction(told)
    stamps: list[int] = []
    if not live:
        with contextlib.suppress(av.FFmpegError):
            for packet in container.demux(stream):
                if packet.pts is not None:
                    stamps.append(packet.pts)
                if len(stamps) >= RATE_FRAMES:
                    break
    gaps = np.diff(np.unique(stamps))
    if len(gaps) == 0 or not stream.time_base:
        return Fraction(told or 25)
    seconds = Fraction(float(np.mean(gaps))) * Fraction(stream.time_base)
    return (1 / seconds).limit_denominator(1001)


def _sound(address: str, container: Any) -> Sound | None:
    contexts = [s.codec_context for s in container.streams.audio]
    return Sound(address, tuple(str(c.name) if c else "" for c in contexts)) if contexts else None


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _first_frames(address: str, container: Any, stream: Any) -> list[Any]:
    """The first frames that decode: those of one packet."""
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            if frames:
                return list(frames)
    except av.FFmpegError as error:
        raise PoseError(f"{address} can't be decoded ({_plain(error)}); it may be damaged.") from error
    raise PoseError(f"{address} holds no frame; the recording was not finished or is damaged.")


def _name(address: str, live: bool) -> str:
    if address == "pipe:0":
        return "stdin"
    return address if live and "://" in address else readable_name(address)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise PoseError(f"There is no file {path}.")
    if not path.is_file():
        raise PoseError(f"{path} is not a file.")
    if path.stat().st_size == 0:
        raise PoseError(f"{path} is empty.")
    with path.open("rb") as file:
        head = file.read(100)
    if head.startswith(b"version https://git-lfs"):
        raise PoseError(f"{path} is a Git-LFS pointer, not the video itself; fetch it with `git lfs pull`.")


def _why_not(address: str, live: bool, error: Exception) -> str:
    if live and "://" not in address:
        return (
            f"{_name(address, live)} can't be read as a video ({_plain(error)}); a pipe can't be wound back, so give a "
            f"format that needs no index at its end, such as Matroska or MPEG-TS."
        )
    if live:
        return f"{address} can't be opened ({_plain(error)}); check that the camera or stream is there."
    if isinstance(error, PermissionError):
        return f"{address} may not be read; change its permissions."
    return (
        f"{address} is not a video that can be read ({_plain(error)}); "
        f"it may be another kind of file, or a recording that was never finished."
    )


def _plain(error: Exception) -> str:
    """ffmpeg's own words for an error, without number and path."""
    return str(getattr(error, "strerror", None) or error).lower()
