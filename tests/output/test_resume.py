"""A run that is killed at any moment, and resumed, gives what the unbroken run gives."""

import csv
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from posecli import defaults
from posecli.draw.skeleton import Drawing
from posecli.errors import Interrupted, PoseError
from posecli.output.record import Outputs, Style, record
from posecli.output.resume import Partial, SeenWriter, read_seen
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from posecli.types import Boxes, Person, Seen
from tests.support.media import ffmpeg
from tests.support.stand_ins import HEADER, Middle, MovingPeople, results, run


@pytest.fixture
def short_segments(monkeypatch) -> None:
    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 5)


def killed(work, seconds: float) -> None:
    """Do work in a child that is killed after some time, without a chance to tidy up."""
    child = os.fork()
    if child == 0:
        try:
            gc.disable()  # what other tests left behind may have threads that did not come along
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends it: no handler, no finally
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.media
@pytest.mark.skipif(sys.platform == "win32", reason="fork is POSIX's")
@pytest.mark.parametrize("choices", [Choices(), Choices(detect_every=4, stride=2)], ids=["plain", "sparse"])
def test_killed_at_random_moments_and_resumed(clips, tmp_path, short_segments, choices) -> None:
    clip = clips / "variable.mp4"
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    started = time.monotonic()
    summary = run(clip, tmp_path / "whole" / "o.mp4", choices=choices)
    took = time.monotonic() - started
    expected = results(tmp_path / "whole")
    random.seed(7)
    folder = tmp_path / "broken"
    out, resumed = folder / "o.mp4", 0
    left = Partial(folder / "o.mp4.partial")
    for _ in range(15):
        for path in folder.iterdir():
            path.unlink()
        for _ in range(12):
            begun = left.folder.is_dir()
            resumed += begun
            killed(lambda begun=begun: run(clip, out, begun, choices), random.uniform(0, took))
            if not left.folder.exists() and out.exists():
                break
        else:
            again = run(clip, out, left.folder.is_dir() and not left.empty, choices)
            assert (again.frames, again.people, again.tracks) == (
                summary.frames,
                summary.people,
                summary.tracks,
            )
        assert results(folder) == expected
        assert sorted(p.name for p in folder.iterdir()) == ["o.csv", "o.json", "o.mp4"]
    assert resumed >= 3


def test_a_run_that_could_move_only_some_of_its_results_moves_the_rest_afterwards(clips, tmp_path) -> None:
    out = tmp_path / "o.mp4"
    source = open_source(str(clips / "plain.mp4"))

    def block(_: object) -> None:
        (tmp_path / "o.csv").mkdir(exist_ok=True)  # no file can take its place

    with pytest.raises(IsADirectoryError):
        record(
            source, lambda before: poses(source, MovingPeople(), Middle(), Choices(), before), BODY19,
            Outputs(out, tmp_path / "o.csv", tmp_path / "o.json"), Style(), HEADER, progress=block,
        )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv", "o.json", "o.mp4.partial"]
    (tmp_path / "o.csv").rmdir()
    assert run(clips / "plain.mp4", out, resume=True).frames == 25
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv", "o.json", "o.mp4"]


@pytest.mark.media
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_ctrl_c_in_a_terminal_closes_everything_and_resumes(bus_clip, tmp_path) -> None:
    clip, out = tmp_path / "lång clip.mp4", tmp_path / "utdata ö.mp4"
    ffmpeg("-stream_loop", 24, "-i", bus_clip, "-c", "copy", clip)
    command = [sys.executable, "-m", "posecli", "run", str(clip), "--out", str(out)]
    # As in a terminal: the signal goes to the whole process group.
    child = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    segments = Partial(tmp_path / "utdata ö.mp4.partial").segments
    deadline = time.monotonic() + 120
    while not (list(segments.glob("*.nut")) and (segments.parent / "rows.csv").exists()):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    time.sleep(1.5)
    os.killpg(child.pid, signal.SIGINT)
    _, told = child.communicate(timeout=60)
    told = " ".join(told.split())
    assert (child.returncode, "Interrupted." in told, "Traceback" in told) == (130, True, False), told
    kept = int(re.search(r"(\d+) frames are kept", told)[1])
    assert not out.exists()
    played = 0
    for segment in segments.glob("*.nut"):
        with av.open(str(segment)) as container:
            played += sum(1 for _ in container.decode(video=0))
    # The signal may have come after a frame was written and before it was counted.
    assert 0 < kept <= played <= kept + 1
    with (segments.parent / "rows.csv").open() as rows:
        assert len({row["frame"] for row in csv.DictReader(rows)}) in (kept, kept + 1)
    done = subprocess.run([*command, "--resume", "--quiet"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert out.exists()


def test_other_options_or_another_file_are_refused_by_name(clips, tmp_path, short_segments) -> None:
    def broken(frames):
        for n, one in enumerate(frames):
            if n == 12:
                raise KeyboardInterrupt
            yield one

    source = open_source(str(clips / "plain.mp4"))
    out = tmp_path / "o.mp4"
    outputs = Outputs(out, out.with_suffix(".csv"), out.with_suffix(".json"))
    with pytest.raises(Interrupted, match=r"12 frames are kept in .*--resume"):
        record(
            source, lambda before: broken(poses(source, MovingPeople(), Middle(), Choices(), before)), BODY19,
            outputs, Style(), HEADER,
        )  # fmt: skip
    with pytest.raises(PoseError, match="another style crf"):
        run(clips / "plain.mp4", out, resume=True, style=Style(crf=30))
    with pytest.raises(PoseError, match="another bytes"):
        run(clips / "late.mkv", out, resume=True)
    with pytest.raises(PoseError, match="add --resume"):
        run(clips / "plain.mp4", out)
    assert run(clips / "plain.mp4", out, resume=True).frames == 25
    with pytest.raises(PoseError, match=r"no .* to resume"):
        run(clips / "plain.mp4", tmp_path / "other.mp4", resume=True)


def test_what_frames_left_behind_is_read_back_bit_by_bit(tmp_path) -> None:
    rng = np.random.default_rng(0)
    boxes = Boxes(rng.random((3, 4), np.float32) * 1000, rng.random(3, np.float32))
    person = Person(4, 0.1 + 0.2, boxes.xyxy[1], rng.random((19, 3), np.float32))
    seen = [Seen(7, Fraction(7, 30), boxes, (1,), (person,)), Seen(9, Fraction(3, 10), Boxes.none(), (), ())]
    writer = SeenWriter(tmp_path / "s.jsonl")
    for one in seen:
        writer.write(one)
    writer.close()
    back = list(read_seen(tmp_path / "s.jsonl"))
    assert [(s.index, s.shown) for s in back] == [(7, (1,)), (9, ())]
    assert (back[0].boxes.xyxy == boxes.xyxy).all()
    assert (back[0].boxes.scores == boxes.scores).all()
    assert (back[0].people[0].track, back[0].people[0].score) == (4, 0.1 + 0.2)
    assert (back[0].people[0].keypoints == person.keypoints).all()
    assert len(back[1].boxes) == 0


@pytest.mark.parametrize("keep", [(), ("segments",), ("segments", "header.part")], ids=str)
def test_a_run_killed_as_it_began_left_nothing_to_resume_and_is_no_obstacle(clips, tmp_path, keep) -> None:
    left = Partial(tmp_path / "o.mp4.partial")
    left.begin(HEADER)
    left.header.rename(left.header.with_suffix(".part"))
    for path in left.folder.iterdir():
        if path.name not in keep:
            path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(PoseError, match=r"no .* to resume; leave out --resume"):
        run(clips / "plain.mp4", tmp_path / "o.mp4", resume=True)
    assert run(clips / "plain.mp4", tmp_path / "o.mp4").frames == 25


@pytest.mark.media
def test_killed_at_every_step_of_the_last_cleaning_up(clips, tmp_path, monkeypatch) -> None:
    original = Path.unlink
    for steps in range(9):
        left = Partial(tmp_path / f"{steps}.mp4.partial")
        done = 0

        def unlink(path: Path, missing_ok: bool = False, steps: int = steps) -> None:
            nonlocal done
            if done == steps:
                raise KeyboardInterrupt
            done += 1
            original(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", unlink)
        try:
            run(clips / "plain.mp4", tmp_path / f"{steps}.mp4")
        except KeyboardInterrupt:
            monkeypatch.setattr(Path, "unlink", original)
            assert run(clips / "plain.mp4", tmp_path / f"{steps}.mp4", resume=True).frames == 25
        assert not left.folder.exists()
        assert (tmp_path / f"{steps}.mp4").exists()
    assert done < steps  # the last of them went through


def test_torn_marks_are_passed_over(tmp_path) -> None:
    partial = Partial(tmp_path / "p")
    partial.begin({})
    for path in (partial.rows, partial.lines, partial.seen):
        path.write_bytes(b"x" * 10)
    good = {"frames": 5, "segments": 0, "rows": 10, "lines": 10, "seen": 8}
    for torn in ('{"frames": 9, "seg', json.dumps({**good, "frames": 9, "rows": 99})):
        (tmp_path / "p" / "marks.jsonl").write_text(json.dumps(good) + "\n" + torn)
        assert partial._last_mark().frames == 5
    assert replace(partial._last_mark(), frames=0).rows == 10


def test_a_resumed_run_draws_the_paths_of_the_unbroken_one(clips, tmp_path, short_segments) -> None:
    style = Style(Drawing(trails=("left_wrist",), trail_seconds=1.0))
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    run(clips / "plain.mp4", tmp_path / "whole" / "o.mp4", style=style)
    source = open_source(str(clips / "plain.mp4"))
    out = tmp_path / "broken" / "o.mp4"
    outputs = Outputs(out, out.with_suffix(".csv"), out.with_suffix(".json"))

    def broken(frames):
        for n, frame in enumerate(frames):
            if n == 12:
                raise PoseError("the disk is full")
            yield frame

    with pytest.raises(PoseError, match="the disk is full"):
        record(
            source, lambda before: broken(poses(source, MovingPeople(), Middle(), Choices(), before)), BODY19, outputs,
            style, HEADER,
        )  # fmt: skip
    run(clips / "plain.mp4", out, resume=True, style=style)
    assert results(tmp_path / "broken") == results(tmp_path / "whole")
