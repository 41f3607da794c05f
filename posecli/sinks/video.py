"""The annotated video: frames with their own times to ffmpeg, audio carried over.

imageio-ffmpeg's ffmpeg runs in its own process. Frames go to it as NUT, which keeps each frame's time;
`-copyts` keeps a late start's offset to the audio, `-fps_mode passthrough` every frame at its time, and
without `-enc_time_base demux` ffmpeg would round times to the nominal rate.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import imageio_ffmpeg

from posecli.errors import PoseError
from posecli.types import Image

# Audio that each container can hold as it is; anything else becomes AAC (or Opus in WebM).
COPIED_AUDIO = {
    ".mp4": {"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"},
    ".m4v": {"aac", "mp3", "ac3", "eac3", "alac"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s16be"},
    ".webm": {"opus", "vorbis"},
}
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")


class VideoWriter:
    """Writes frames one by one; `close` finishes the file, `abandon` ends ffmpeg without one."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        rate: Fraction,
        time_base: Fraction,
        *,
        audio_from: str | None = None,
        audio_codec: str = "",
        span: tuple[float | None, float | None] = (None, None),
        codec: str = "libx264",
        crf: int = 20,
        preset: str = "veryfast",
    ) -> None:
        """size: (width, height); time_base: the source's tick in seconds, of which all its times are
        multiples. span: the part of the source's time, in seconds, that audio is taken of."""
        self.path, self.size = path, size
        self._last: int | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
        command += ["-copyts", "-f", "nut", "-thread_queue_size", "8", "-i", "pipe:0"]
        if audio_from is not None:
            start, end = span
            command += (["-ss", f"{start:.6f}"] if start else []) + (["-to", f"{end:.6f}"] if end else [])
            command += ["-i", audio_from, "-map", "0:v:0", "-map", "1:a:0?"]
            copied = COPIED_AUDIO.get(path.suffix.lower())
            keep = copied is None or audio_codec in copied
            other = "libopus" if path.suffix.lower() == ".webm" else "aac"
            command += ["-c:a", "copy" if keep else other]
        # yuv420p has even sides only; the padding goes right and below, so that no coordinate moves.
        colours = "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd"
        command += ["-vf", f"pad=ceil(iw/2)*2:ceil(ih/2)*2,{colours},format=yuv420p"]
        command += ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        command += ["-color_range", "tv", "-c:v", codec, "-crf", str(crf), "-preset", preset]
        command += ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-max_muxing_queue_size", "4096"]
        if path.suffix.lower() in (".mp4", ".m4v", ".mov"):
            command += ["-movflags", "+faststart"]
        command += [str(path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors
        )
        pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        self._container: Any = av.open(_WriteOnly(pipe), "w", format="nut")
        self._stream = self._container.add_stream("rawvideo", rate=rate)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "bgr24"
        self._base = time_base
        self._stream.time_base = self._stream.codec_context.time_base = time_base

    def write(self, image: Image, time: Fraction) -> None:
        """Add a picture (H, W, 3) uint8 BGR shown from `time` (seconds) on."""
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        pts = round(time / self._base)
        # Two frames of one time can't both be shown; the second follows a tick later.
        frame.pts = pts if self._last is None or pts > self._last else self._last + 1
        frame.time_base = self._base
        self._last = frame.pts
        try:
            self._container.mux(self._stream.encode(frame))
        except (OSError, av.FFmpegError) as error:
            raise PoseError(self._why()) from error

    def close(self) -> None:
        """Finish the file; raises PoseError if ffmpeg could not write it."""
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._process.stdin.close()  # type: ignore[union-attr]
        except (OSError, av.FFmpegError):
            pass  # ffmpeg is gone; its exit code and words say why
        if self._process.wait() != 0:
            raise PoseError(self._why())
        self._errors.close()

    def abandon(self) -> None:
        """End ffmpeg and take away what it wrote."""
        self._process.kill()
        self._process.wait()
        self._errors.close()
        self.path.unlink(missing_ok=True)

    def _why(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip().splitlines()
        last = words[-1] if words else "it said nothing"
        return f"ffmpeg could not write {self.path}: {last}"


class _WriteOnly:
    """A pipe as PyAV wants its files: written in order, never sought in."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        return self._pipe.write(data)


def check_output(path: Path, suffixes: Sequence[str] = VIDEO_SUFFIXES) -> None:
    """Raise PoseError for a name that no video can be written to."""
    if path.suffix.lower() not in suffixes:
        raise PoseError(f"{path.name} is no name for a video; end it in one of {', '.join(suffixes)}.")
