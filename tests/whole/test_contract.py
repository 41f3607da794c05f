"""Checks for every kind of video: all frames, correct times, upright, and the same times in the output."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.output.record import Outputs, Style, check_outputs, record
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from posecli.types import Boxes
from tests.support.media import ffmpeg
from tests.support.stand_ins import Middle

pytestmark = pytest.mark.media

X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast")
SINE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1", "-c:a", "aac")


@dataclass(frozen=True)
class Case:
    suffix: str
    arguments: tuple[str, ...]  # of ffmpeg, after the picture's
    rate: str = "25"
    shape: str = "160x96"
    size: tuple[int, int] = (160, 96)  # upright, square pixels
    frames: int = 25
    copied: tuple[str, ...] = ()  # a second pass that copies the streams


CASES = {
    "25 frames a second": Case(".mp4", X264),
    "24000/1001": Case(".mp4", X264, rate="24000/1001", frames=24),
    "30000/1001": Case(".mov", X264, rate="30000/1001", frames=30),
    "120 frames a second": Case(".mp4", X264, rate="120", frames=120),
    "variable rate": Case(".mp4", ("-vf", "select='mod(n,3)*mod(n,7)'", "-fps_mode", "vfr", *X264), frames=14),
    "variable rate, matroska": Case(
        ".mkv", ("-vf", "select='mod(n,3)*mod(n,7)'", "-fps_mode", "vfr", *X264), frames=14
    ),
    "b-frames": Case(".mp4", (*X264, "-preset", "medium", "-bf", "3")),
    "late start": Case(".mkv", X264, copied=("-copyts",)),
    "edit list": Case(".mp4", (*X264, "-g", "5"), copied=("-ss", "0.32"), frames=17),
    "sound": Case(".mp4", (*SINE, *X264)),
    "rotated 90": Case(".mp4", X264, size=(96, 160), copied=("-display_rotation", "90")),
    "rotated 180": Case(".mp4", X264, copied=("-display_rotation", "180")),
    "rotated 270": Case(".mov", X264, size=(96, 160), copied=("-display_rotation", "270")),
    "mirrored": Case(".mp4", X264, copied=("-display_hflip",)),
    "pixels not square": Case(".mp4", ("-vf", "setsar=2", *X264), size=(320, 96)),
    "odd sides": Case(".mp4", ("-vf", "format=yuv444p,crop=151:95", "-c:v", "libx264"), size=(151, 95)),
    "hevc, 10 bits": Case(".mp4", ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error")),
    "vp9": Case(".webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv420p", "-cpu-used", "8")),
    "av1": Case(".mp4", ("-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p")),
    "prores": Case(".mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")),
    "motion jpeg": Case(".avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
    "mpeg-4 in avi": Case(".avi", ("-c:v", "mpeg4", "-bf", "0")),
    "gif": Case(".gif", (), rate="10", frames=10),
    "alpha": Case(".mov", ("-vf", "format=rgba,colorchannelmixer=aa=0.5", "-c:v", "qtrle")),
    "grey": Case(".mp4", ("-c:v", "libx264", "-pix_fmt", "gray")),
    "full range": Case(".mkv", ("-c:v", "libx264", "-pix_fmt", "yuvj420p")),
    "interlaced": Case(".mp4", ("-vf", "setfield=tff", *X264, "-flags", "+ildct+ilme", "-x264opts", "tff=1")),
    "mpeg-2 transport": Case(".ts", ("-c:v", "mpeg2video")),
    "portrait 4k": Case(".mp4", (*X264, "-frames:v", "3"), shape="2160x3840", size=(2160, 3840), frames=3),
    # What browsers record: Chrome's WebM has no duration, Safari's MP4 comes in fragments.
    "chrome's recorder": Case(
        ".webm",
        (*SINE[:-2], "-c:a", "libopus", "-vf", "select='mod(n,3)*mod(n,7)'", "-fps_mode", "vfr", "-c:v", "libvpx",
         "-deadline", "realtime", "-live", "1"),
        rate="30", frames=17,
    ),
    "safari's recorder": Case(
        ".mp4",
        (*SINE, "-vf", "select='mod(n,3)*mod(n,7)'", "-fps_mode", "vfr", *X264, "-g", "10", "-video_track_timescale", "600",
         "-movflags", "frag_keyframe+empty_moov+default_base_moof"),
        rate="30", frames=17,
    ),
    "one frame": Case(".mp4", (*X264, "-frames:v", "1"), frames=1),
    "pq": Case(
        ".mp4",
        ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error", "-vf",
         "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class One:
    """Finds one person in the middle of any image."""

    confidence: float = 0.25

    def find(self, image, confidence=None) -> Boxes:
        height, width = image.shape[:2]
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        return Boxes(box, np.array([0.9], np.float32))


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")

    def make(name: str) -> Path:
        case = CASES[name]
        path = folder / f"{name.replace('/', '-')}{case.suffix}"
        if not path.exists():
            picture = ("-f", "lavfi", "-i", f"testsrc2=size={case.shape}:rate={case.rate}:duration=1")
            sound = case.arguments[:4] == SINE[:4]
            inputs, rest = (case.arguments[:4], case.arguments[4:]) if sound else ((), case.arguments)
            first = path.with_name("first" + path.name) if case.copied else path
            ffmpeg(*picture, *inputs, *rest, first)
            if case.copied:
                late = ("-itsoffset", "0.5") if "-copyts" in case.copied else ()
                ffmpeg(*late, *[a for a in case.copied if a != "-copyts"], "-i", first, "-c", "copy",
                       *(["-copyts"] if late else []), path)  # fmt: skip
        return path

    return make


def run(clip: Path, out: Path, choices: Choices = Choices(), style: Style = Style()):
    source = open_source(str(clip))
    outputs = Outputs(out, out.with_suffix(".csv"), out.with_suffix(".json"))
    check_outputs(outputs, overwrite=False)
    summary = record(
        source, lambda before: poses(source, One(), Middle(), choices, before), BODY19, outputs, style, {"version": 1},
        span=(choices.start, choices.end),
    )  # fmt: skip
    return source, summary


def times_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return sorted(f.pts * f.time_base for f in container.decode(video=0))


@pytest.mark.parametrize("name", CASES)
def test_every_frame_comes_upright_with_its_time_and_is_written_back_at_it(clip_of, tmp_path, name) -> None:
    case, clip, out = CASES[name], clip_of(name), tmp_path / "out.mp4"
    source, summary = run(clip, out)
    expected = times_of(clip)
    assert summary.frames == len(expected) == case.frames
    assert (source.width, source.height) == case.size
    assert times_of(out) == pytest.approx(expected, abs=1e-5)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == tuple(s + s % 2 for s in case.size)
        assert bool(container.streams.audio) == ("-c:a" in case.arguments)
    rows = list(csv.DictReader(out.with_suffix(".csv").open()))
    assert [int(r["frame"]) for r in rows] == list(range(case.frames))
    assert [float(r["time"]) for r in rows] == pytest.approx([float(t) for t in expected], abs=1e-6)
    document = json.loads(out.with_suffix(".json").read_text())
    assert len(document["frames"]) == case.frames
    values = [float(v) for r in rows for k, v in r.items() if k.endswith(("_x", "_y"))]
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    "name", ["25 frames a second", "variable rate", "late start", "b-frames", "edit list", "gif"]
)
def test_parts_are_the_frames_between_their_times(clip_of, tmp_path, name) -> None:
    clip, out = clip_of(name), tmp_path / "out.mp4"
    expected = times_of(clip)
    start, end = float(expected[len(expected) // 3]), float(expected[-2])
    run(clip, out, Choices(start=start, end=end, stride=2))
    rows = list(csv.DictReader(out.with_suffix(".csv").open()))
    inside = [(k, float(t)) for k, t in enumerate(expected) if start <= float(t) < end][::2]
    assert [int(r["frame"]) for r in rows] == [k for k, _ in inside]
    assert [float(r["time"]) for r in rows] == pytest.approx([t for _, t in inside], abs=1e-6)
    assert times_of(out) == pytest.approx([t for _, t in inside], abs=1e-5)


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_other_codecs_keep_the_times_too(clip_of, tmp_path, codec) -> None:
    clip, out = clip_of("variable rate"), tmp_path / "out.mp4"
    run(clip, out, style=Style(codec=codec))
    assert times_of(out) == pytest.approx(times_of(clip), abs=1e-5)
    with av.open(str(out)) as container:
        name = container.streams.video[0].codec_context.name
        assert {"h264": "h264", "h265": "hevc", "av1": "libdav1d"}[codec] == name


def test_unknown_and_missing_encoders_are_one_sentence() -> None:
    from posecli.output.encoder import HARDWARE, encoder_options

    with pytest.raises(PoseError, match="--codec divx is not known; choose one of h264, h265, av1"):
        encoder_options("divx", 20, "veryfast")
    with pytest.raises(PoseError, match="--preset quick is not known"):
        encoder_options("h264", 20, "quick")
    for encoder in HARDWARE[:1]:
        try:
            assert encoder in encoder_options(encoder, 20, "veryfast")
        except PoseError as error:
            assert "does not work on this machine" in str(error)
