"""The annotated video: frames with their own times to ffmpeg, in segments that are joined at the end.

imageio-ffmpeg's ffmpeg runs in its own process. Frames go to it in the encoder's own colours, which halves
what has to pass through the pipe, as NUT, which keeps each frame's time;
`-copyts` keeps a late start's offset to the audio, `-fps_mode passthrough` every frame at its time, and
without `-enc_time_base demux` ffmpeg would round times to the nominal rate.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import IO, Any

import av
import cv2
import imageio_ffmpeg
import numpy as np

from posecli.errors import PoseError
from posecli.files import local, temporary_file
from posecli.output.encoder import encoder_options
from posecli.types import Image, Sound

# Audio that each container can hold as it is; anything else becomes AAC.
COPIED_AUDIO = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be"},
}
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


# BT.709, limited range: (B, G, R, 1) -> Y, Cb, Cr.
LUMA = np.array([0.0722, 0.7152, 0.2126])
BGR_TO_YUV = np.column_stack(
    [
        [219 / 255 * LUMA, *(112 / 255 / (1 - LUMA[c]) * (np.eye(3)[c] - LUMA) for c in (0, 2))],
        [16, 128, 128],
    ]
).astype(np.float32)
PIPE = 2**20  # bytes that go to ffmpeg at once
# How ffmpeg's lines begin that only say that something failed.
SAYS_LITTLE = (
    "Nothing was written",
    "Conversion failed",
    "Error opening output",
    "Error while",
    "Terminating",
    "Task finished",
)
LATE = 10  # seconds; players would show nothing until a first picture that comes later


def shift_of(origin: Fraction) -> Fraction:
    """Seconds that the written video begins earlier than its source, whose times begin at `origin`."""
    return origin if origin > LATE else Fraction(0)


class VideoWriter:
    """Writes frames one by one. `cut` closes what was written so far as a segment on disk; `close` joins
    the segments, with the sound, into `path`; `abandon` leaves nothing."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        rate: Fraction,
        time_base: Fraction,
        *,
        sound: Sound | None = None,
        span: tuple[float | None, float | None] = (None, None),
        origin: Fraction = Fraction(0),
        codec: str = "h264",
        crf: int = 20,
        preset: str = "veryfast",
        segments: Path | None = None,
    ) -> None:
        """size: (width, height); time_base: the source's tick in seconds, of which all its times are
        multiples. span: the part of the source's time, in seconds, that sound is taken of. origin: where the
        source's times begin (see `shift_of`). segments: the folder of the segments, kept by `close`; those that are in it come first. None: one of its own,
        beside `path`."""
        self.path, self.size = path, size
        self._rate, self._base = rate, time_base
        self.sound, self._span = sound, span
        self.lost = ""  # after `close`: what of the sound could not be kept
        self._origin, self._shift = origin, round(shift_of(origin) / time_base)
        self._encoder = encoder_options(codec, crf, preset)
        self._own = segments is None
        self._folder = segments or path.with_name(path.name + ".segments")
        self._folder.mkdir(exist_ok=True)
        self.count = len(segment_files(self._folder))
        self._open: _Segment | None = None
        self._last: int | None = None

    def write(self, image: Image, time: Fraction) -> None:
        """Add a picture (H, W, 3) uint8 BGR shown from `time` (seconds) on."""
        if self._open is None:
            path = self._folder / f"{self.count:06}.nut"
            self._open = _Segment(path, self.size, self._rate, self._base, self._encoder)
            self.count += 1
        pts = round(time / self._base) - self._shift
        # Two frames of one time can't both be shown; the second follows a tick later.
        self._last = pts if self._last is None or pts > self._last else self._last + 1
        self._open.write(image, self._last)

    def cut(self) -> None:
        """Close the segment; what was written until here is on disk."""
        if self._open is not None:
            segment, self._open = self._open, None
            segment.close()

    def close(self) -> None:
        """Finish the file; raises PoseError if ffmpeg could not write it."""
        self.cut()
        self._join()
        if self._own:
            shutil.rmtree(self._folder)

    def abandon(self) -> None:
        """End ffmpeg and take away what it wrote."""
        if self._open is not None:
            self._open.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.path.unlink(missing_ok=True)

    def _join(self) -> None:
        """Segments and sound -> path; no picture is encoded again. Sound that can't be kept never spoils the video."""
        if self.sound is None:
            return self._mux([])
        copied = COPIED_AUDIO.get(self.path.suffix.lower())
        best = ["copy" if copied is None or codec in copied else "aac" for codec in self.sound.codecs]
        ways: list[list[str]] = [best, ["aac"] * len(best), [best[0]], []]
        for codecs in ways:
            try:
                self._mux(codecs)
            except PoseError:
                if not codecs:
                    raise
                continue
            if not codecs:
                what = ", ".join(self.sound.codecs)
                self.lost = f"The sound ({what}) could not be kept: it fits no encoder. The video is written without it."
            elif len(codecs) < len(best):
                self.lost = f"Only the first of {len(best)} audio tracks could be kept in {self.path.suffix}."
            return None

    def _mux(self, audio: list[str]) -> None:
        """audio: the codec of each audio track that is kept, the first ones of the source's."""
        suffix = self.path.suffix.lower()
        # Fragmented MP4 carries exact times and, unlike NUT, how long the last picture is shown; but it
        # begins at 0, so that ffmpeg is told when the first picture is shown.
        first = _first_time(segment_files(self._folder))
        command = ["-copyts", "-itsoffset", f"{float(first):.6f}", "-f", "mp4", "-i", "pipe:0"]
        if audio and self.sound is not None:
            start, end = self._span
            for option, time in (("-ss", start), ("-to", end)):
                if time is not None and time > self._origin:  # ffmpeg counts from where the file begins
                    command += [option, f"{time - float(self._origin):.6f}"]
            command += ["-itsoffset", f"{-float(self._shift * self._base):.6f}"] if self._shift else []
            command += ["-i", local(self.sound.path), "-map", "0:v:0"]
            for track, codec in enumerate(audio):
                command += ["-map", f"1:a:{track}", f"-c:a:{track}", codec]
        command += ["-c:v", "copy", "-max_muxing_queue_size", "4096"]
        if suffix in (".mp4", ".m4v", ".mov"):
            if "hevc" in self._encoder[1] or "265" in self._encoder[1]:
                command += ["-tag:v", "hvc1"]  # Apple's players take no other
            command += ["-movflags", "+faststart"]
        ffmpeg = _Ffmpeg([*command, local(self.path)], self.path)
        try:
            fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
            joined: Any = av.open(_WriteOnly(ffmpeg.pipe), "w", format="mp4", options=fragments)
            stream: Any = None
            waiting: Any = None  # the packet before
            for path in segment_files(self._folder):
                with av.open(local(path)) as segment:
                    if stream is None:
                        stream = joined.add_stream_from_template(segment.streams.video[0], opaque=True)
                    for packet in segment.demux(video=0):
                        if packet.pts is None:
                            continue
                        packet.stream = stream
                        if waiting is not None:  # a picture is shown until the next one comes
                            waiting.duration = packet.pts - waiting.pts
                            with _uninterrupted():
                                joined.mux(waiting)
                        waiting = packet
            if waiting is not None:
                waiting.duration = max(1, round(1 / self._rate / waiting.time_base))
            with _uninterrupted():
                if waiting is not None:
                    joined.mux(waiting)
                joined.close()
        except (OSError, av.FFmpegError):
            pass  # ffmpeg is gone; its exit code and words say why
        ffmpeg.finish()


@contextlib.contextmanager
def writing(
    out: Path, size: tuple[int, int], rate: Fraction, time_base: Fraction, **more: Any
) -> Iterator[VideoWriter]:
    """A VideoWriter, with its further arguments, whose video is there whole at the end or not at all."""
    part = out.with_name(f"{out.stem}.part{out.suffix}")
    writer = VideoWriter(part, size, rate, time_base, **more)
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    part.replace(out)


def segment_files(folder: Path) -> list[Path]:
    """The segments of a folder in order."""
    return sorted(folder.glob("*.nut"))


def _first_time(segments: list[Path]) -> Fraction:
    """When the first picture is shown, in seconds."""
    for path in segments:
        with av.open(local(path)) as segment:
            for packet in segment.demux(video=0):
                if packet.pts is not None:
                    return Fraction(packet.pts * packet.time_base)
    return Fraction(0)


def _yuv420p(image: Image) -> Any:
    """A BGR picture (H, W, 3) with even sides as a frame of the encoder. OpenCV does this in a third of swscale's time."""
    height, width = image.shape[:2]
    yuv = cv2.transform(image, BGR_TO_YUV)
    chroma = cv2.resize(yuv, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    frame: Any = av.VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, (yuv[..., 0], chroma[..., 1], chroma[..., 2]), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # rows may be padded
        rows[:, : plane.width] = values
    return frame


class _Segment:
    """Some seconds of H.264 in NUT, which keeps the source's ticks."""

    def __init__(
        self, path: Path, size: tuple[int, int], rate: Fraction, time_base: Fraction, encoder: list[str]
    ) -> None:
        command = ["-copyts", "-f", "nut", "-thread_queue_size", "8", "-i", "pipe:0"]
        # Tags given as output options would be lost on the way to the encoder.
        tags = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
        command += ["-vf", f"setparams={tags}", *encoder]
        command += ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "nut", local(path)]
        self._ffmpeg = _Ffmpeg(command, path)
        self._container: Any = av.open(_WriteOnly(self._ffmpeg.pipe), "w", format="nut", buffer_size=PIPE)
        self._stream = self._container.add_stream("rawvideo", rate=rate)
        # yuv420p has even sides only; the padding goes right and below, so that no coordinate moves.
        self._padding = (size[1] % 2, size[0] % 2)
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._base = time_base
        self._stream.time_base = self._stream.codec_context.time_base = time_base

    def write(self, image: Image, pts: int) -> None:
        if any(self._padding):
            below, right = self._padding
            image = np.pad(image, ((0, below), (0, right), (0, 0)))
        frame = _yuv420p(image)
        frame.pts, frame.time_base = pts, self._base
        try:
            with _uninterrupted():
                self._container.mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            raise PoseError(self._ffmpeg.why()) from error

    def close(self) -> None:
        try:
            with _uninterrupted():
                self._container.mux(self._stream.encode(None))
                self._container.close()
        except (OSError, av.FFmpegError):
            pass  # ffmpeg is gone; its exit code and words say why
        self._ffmpeg.finish()

    def kill(self) -> None:
        self._ffmpeg.kill()


class _Ffmpeg:
    """ffmpeg in its own process, fed through a pipe."""

    def __init__(self, arguments: list[str], path: Path) -> None:
        self._path = path
        self._errors = temporary_file()  # closed with the process
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        # In a process group of its own: Ctrl-C in a terminal goes to the whole group, and ffmpeg would stop
        # in the middle of the segment that we are about to close. It ends when its pipe does.
        self._process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors,
            start_new_session=True, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        self.pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]

    def finish(self) -> None:
        """Wait for it; raises PoseError with its words if it failed."""
        with contextlib.suppress(OSError):  # it may be gone
            self.pipe.close()
        if self._process.wait() != 0:
            raise PoseError(self.why())
        self._errors.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def why(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        words = [
            re.sub(r"^(\[[^]]*\] *)+", "", line).rstrip(". ")
            for line in self._errors.read().decode(errors="replace").splitlines()
        ]
        telling = [line for line in words if line and not line.startswith(SAYS_LITTLE)]
        return f"ffmpeg could not write {self._path}: {telling[-1] if telling else 'it said nothing'}"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the end of the block. PyAV calls our pipe's `write` from C, where Python's interrupt would
    be printed and forgotten: the run would go on, with a picture broken in two."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        usual(*pressed[0])


class _WriteOnly:
    """A pipe as PyAV wants its files: written in order, never sought in."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        return self._pipe.write(data)


def check_output(path: Path, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> None:
    """Raise PoseError for a name that no video can be written to."""
    if path.suffix.lower() not in suffixes:
        raise PoseError(
            f"{path.name} is no video file; give a name that ends in one of {', '.join(suffixes)}."
        )
