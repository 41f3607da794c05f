"""The annotated video: same times to the tick, same duration, sound carried over, plays in a browser."""

import subprocess
import sys

import av
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.output.video import VideoWriter
from posecli.sources.open import open_source


def copy(source_path, out, **options) -> None:
    """Read a source and write it as it is."""
    source = open_source(str(source_path))
    writer = VideoWriter(
        out, (source.width, source.height), source.rate, source.time_base,
        sound=source.sound, **options,
    )  # fmt: skip
    for frame in source:
        writer.write(frame.image, frame.time)
    writer.close()


def times(path):
    with av.open(str(path)) as container:
        return [f.pts * f.time_base for f in container.decode(video=0)]


@pytest.mark.parametrize(
    "name", ["plain.mp4", "sound.mp4", "ntsc.mp4", "variable.mp4", "late.mkv", "rotated.mp4", "odd.mp4", "stream.ts"]
)  # fmt: skip
def test_times_are_kept_to_the_tick(clips, tmp_path, name) -> None:
    out = tmp_path / "out.mp4"
    copy(clips / name, out)
    assert times(out) == times(clips / name)


def test_it_is_h264_yuv420p_tagged_bt709_with_the_index_in_front(clips, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    copy(clips / "odd.mp4", out)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (frame.colorspace, frame.color_range) == (1, 1)
        assert (frame.color_primaries, frame.color_trc) == (1, 1)
        assert (frame.width, frame.height) == (152, 96)  # padded right and below to even sides
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_sound_is_copied_bit_by_bit(clips, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    copy(clips / "sound.mp4", out)

    def packets(path):
        with av.open(str(path)) as container:
            assert container.streams.audio[0].codec_context.name == "aac"
            return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]

    assert packets(out) == packets(clips / "sound.mp4")


def test_colours_survive_within_3_levels(clips, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    source = open_source(str(clips / "plain.mp4"))
    bars = np.zeros((96, 160, 3), np.uint8)
    for k, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (128, 128, 128)]):
        bars[:, 32 * k : 32 * (k + 1)] = colour
    writer = VideoWriter(out, (160, 96), source.rate, source.time_base, crf=1)
    for frame in source:
        writer.write(bars.copy(), frame.time)
    writer.close()
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
        back = frame.reformat(format="bgr24", src_colorspace="ITU709", src_color_range=1).to_ndarray()
    for k in range(5):
        middle = (slice(30, 60), slice(32 * k + 12, 32 * k + 20))
        assert np.abs(back[middle].astype(int) - bars[middle]).max() <= 3


def test_a_failing_ffmpeg_is_a_sentence(tmp_path) -> None:
    from fractions import Fraction

    writer = VideoWriter(tmp_path / "out.mp4", (64, 64), Fraction(25), Fraction(1, 25))
    (tmp_path / "out.mp4.segments").rmdir()  # ffmpeg has nowhere to write
    with pytest.raises(PoseError, match="ffmpeg could not write"):
        for k in range(200):
            writer.write(np.zeros((64, 64, 3), np.uint8), Fraction(k, 25))
        writer.close()


def test_abandoned_files_are_gone(clips, tmp_path) -> None:
    source = open_source(str(clips / "plain.mp4"))
    writer = VideoWriter(tmp_path / "out.mp4", (160, 96), source.rate, source.time_base)
    frame = next(iter(source))
    writer.write(frame.image, frame.time)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import os, signal, sys
from posecli.output import video
from posecli.sources.open import open_source

usual, writes, given = video._WriteOnly.write, [], []

def interrupted(self, data):
    writes.append(1)
    if len(writes) == 5:
        os.kill(os.getpid(), signal.SIGINT)
    return usual(self, data)

video._WriteOnly.write = interrupted
source = open_source(sys.argv[1])
writer = video.VideoWriter(video.Path(sys.argv[2]), (source.width, source.height), source.rate, source.time_base)
try:
    for frame in source:
        given.append(frame.time)
        writer.write(frame.image, frame.time)
    print("lost")
except KeyboardInterrupt:
    source.close()
    writer.close()
    print(len(given))
"""


def test_ctrl_c_while_ffmpeg_is_written_to_is_neither_lost_nor_tears_a_picture(clips, tmp_path) -> None:
    out = tmp_path / "o.mp4"
    command = [sys.executable, "-c", INTERRUPTED, str(clips / "plain.mp4"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    given = int(done.stdout)
    assert 0 < given < 25
    assert times(out) == times(clips / "plain.mp4")[:given]
