"""Files rebuilt from public bug reports about similar tools: their times and streams are read correctly."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

import posecli
from posecli.errors import PoseError
from posecli.output.video import LATE
from posecli.pipeline.choices import Choices
from posecli.sources.open import open_source
from tests.support.media import ffmpeg
from tests.support.stand_ins import run

REPORTS = Path(__file__).parents[1] / "data" / "reports"


def times_of(path: Path) -> list[Fraction]:
    return [frame.time for frame in open_source(str(path))]


def test_the_rate_of_a_browsers_recording_comes_from_its_times() -> None:
    source = open_source(str(REPORTS / "mediarecorder.webm"))  # its header says 1000
    times = [frame.time for frame in source]
    assert float(source.rate) == pytest.approx(float((len(times) - 1) / (times[-1] - times[0])), rel=0.01)


def test_a_high_speed_clip_keeps_its_rate(tmp_path) -> None:
    clip = tmp_path / "fast.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:rate=1000:duration=0.1", clip)
    assert open_source(str(clip)).rate == 1000


def test_a_cover_picture_is_not_the_film(tmp_path) -> None:
    assert len(times_of(REPORTS / "cover_first.mp4")) == 50
    cover = tmp_path / "cover.mka"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi", "-i", "color=size=64x48:duration=0.04",
           "-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic", cover.with_suffix(".m4a"))  # fmt: skip
    with pytest.raises(PoseError, match="only a cover picture"):
        open_source(str(cover.with_suffix(".m4a")))


def test_of_several_films_the_larger_is_taken_or_the_one_that_is_asked_for(tmp_path) -> None:
    clip = tmp_path / "two.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-f", "lavfi", "-i", "testsrc=size=128x96:duration=1",
           "-map", "0", "-map", "1", "-disposition", "0", clip)  # fmt: skip
    assert open_source(str(clip)).width == 128
    assert open_source(str(clip), stream=0).width == 64
    with pytest.raises(PoseError, match="no video stream 2; its 2 are counted from 0"):
        open_source(str(clip), stream=2)


def test_times_that_begin_again_go_on(tmp_path) -> None:
    source = open_source(str(REPORTS / "two_chapters.ts"))
    times = [frame.time for frame in source]
    assert [b - a for a, b in pairwise(times)] == [Fraction(1, 25)] * 99
    assert source.trouble.restarted == 1
    assert "begin again once" in source.trouble.sentences()[0]
    summary = run(REPORTS / "two_chapters.ts", tmp_path / "o.mp4")
    assert times_of(tmp_path / "o.mp4") == times
    assert "begin again once" in summary.messages[0]


def test_the_duration_of_one_of_two_joined_recordings_is_not_told(tmp_path) -> None:
    posecli.annotate(REPORTS / "two_chapters.ts", tmp_path / "o.mp4", video=False, csv=False)
    assert posecli.read(tmp_path / "o.json").header["source"]["duration"] is None


def test_a_jump_ahead_of_an_hour_is_told(tmp_path) -> None:
    source = open_source(str(REPORTS / "mediarecorder.webm"))
    raw = [SimpleNamespace(pts=n + (90_000 if n >= 5 else 0), time_base=Fraction(1, 25)) for n in range(10)]
    times = [float(time) for time, _ in source._in_time(iter(raw))]
    source.close()
    assert times[5] - times[4] == pytest.approx(3600, abs=0.1)
    assert source.trouble.sentences() == [
        "The times in the file jump ahead by 3600 s from one frame to the next; the gap is kept."
    ]


def test_the_source_itself_is_never_written_over(tmp_path) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", clip)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    before = clip.read_bytes()
    for source, out in ((clip, clip), (link, clip), (clip, link)):
        with pytest.raises(PoseError, match="is the source itself; choose another --out"):
            posecli.annotate(source, out, overwrite=True)
    assert clip.read_bytes() == before


def test_a_clip_that_begins_hours_late_gives_a_video_that_plays_at_once(tmp_path) -> None:
    clip = tmp_path / "late.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-f", "lavfi", "-i", "sine=duration=1",
           "-shortest", "-output_ts_offset", "50000", clip)  # fmt: skip
    run(clip, tmp_path / "o.mp4")
    shown = times_of(tmp_path / "o.mp4")
    assert shown[0] < LATE
    assert [b - a for a, b in pairwise(shown)] == [Fraction(1, 25)] * 24
    with av.open(str(tmp_path / "o.mp4")) as container:
        sound = next(container.decode(audio=0)).time
    assert abs(sound - float(shown[0])) < 0.1
    rows = (tmp_path / "o.csv").read_text().splitlines()
    assert float(rows[1].split(",")[1]) > 50_000  # the data keeps the source's own times


def test_an_end_before_the_clip_begins_says_where_it_begins(tmp_path) -> None:

    clip = tmp_path / "late.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-output_ts_offset", "100", clip)
    with pytest.raises(PoseError, match=r"it begins at 101\.4 s\. Nothing was written"):
        run(clip, tmp_path / "o.mp4", choices=Choices(end=5.0))


def test_sound_that_cannot_be_kept_is_told_and_the_results_are_written(tmp_path) -> None:
    summary = run(REPORTS / "dv_unsd.mov", tmp_path / "o.mp4")  # four channels without names
    assert "could not be kept: it fits no encoder" in summary.messages[0]
    assert len(times_of(tmp_path / "o.mp4")) == 27


def test_every_audio_track_is_kept(tmp_path) -> None:
    clip = tmp_path / "tracks.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", "-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi",
           "-i", "sine=frequency=900:duration=1", "-map", "0", "-map", "1", "-map", "2", "-c:a:0", "aac",
           "-c:a:1", "pcm_s16le", clip)  # fmt: skip
    run(clip, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert [s.codec_context.name for s in container.streams.audio] == ["aac", "aac"]
