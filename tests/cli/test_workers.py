"""Several clips in parallel, in local processes and on a local Ray cluster. Killed workers lose no frames."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from posecli.cli.workers import Job, run_jobs
from tests.support.command import call

FRACTION = re.compile(r"(-?\d+\.\d+)")
# For each file: the text between fractions, and the fractions.
Results = dict[str, tuple[list[str], np.ndarray]]


@pytest.fixture(scope="module")
def many(bus_clip, tmp_path_factory) -> Path:
    """Three clips of 32 frames."""
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("many")
    for name in ("a", "b", "c"):
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-stream_loop", "3", "-i", bus_clip, "-c", "copy", folder / f"{name}.mp4"],
            check=True,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def alone(many, tmp_path_factory) -> Results:
    """The results of the clips, processed one after the other."""
    out = tmp_path_factory.mktemp("alone")
    command = [
        sys.executable,
        "-m",
        "posecli",
        "run",
        many,
        "--out",
        out,
        "--no-video",
        "--quiet",
        "--device",
        "cpu",
    ]
    subprocess.run(command, check=True)
    return contents(out)


def contents(folder: Path) -> Results:
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".csv", ".json")]
    parts = {p.name: FRACTION.split(p.read_text()) for p in files}
    return {name: (found[::2], np.array(found[1::2], float)) for name, found in parts.items()}


def assert_same(found: Results, expected: Results) -> None:
    """Compare results, except for the last digit of fractions. Workers have fewer threads, which changes the rounding."""
    assert found.keys() == expected.keys()
    for name, (text, numbers) in expected.items():
        assert found[name][0] == text
        np.testing.assert_allclose(found[name][1], numbers, rtol=0, atol=0.0101)


def kill_one(whose: str, partial_in: Path) -> list[int]:
    """Kill the first process with `whose` in its command line after it has started its clip.

    The list then contains its process ID.
    """
    killed: list[int] = []

    def work() -> None:
        end = time.monotonic() + 100
        while time.monotonic() < end and not killed:
            time.sleep(0.02)
            begun = [p for p in partial_in.glob("*.partial/frames.jsonl") if p.stat().st_size]
            for process in psutil.Process().children(recursive=True) if begun else []:
                try:
                    if whose in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        return
                except psutil.Error:
                    continue

    threading.Thread(target=work, daemon=True).start()
    return killed


@pytest.mark.media
def test_two_workers_give_what_one_gives(many, alone, tmp_path, capfd) -> None:
    arguments = ("run", many, "--out", tmp_path, "--no-video", "--device", "cpu", "--workers", 2)
    code, _, err = call(capfd, *arguments)
    assert code == 0, err
    assert_same(contents(tmp_path), alone)
    assert "3 of 3 sources" in err
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.json").unlink()
    code, _, err = call(capfd, *arguments)
    assert code == 0
    assert err.count("already done") == 2  # only the missing clip is processed
    assert_same(contents(tmp_path), alone)


@pytest.mark.media
def test_a_killed_worker_s_clip_is_taken_up(many, alone, tmp_path, capfd) -> None:
    killed = kill_one("-m posecli run", tmp_path)
    code, _, err = call(
        capfd, "run", many, "--out", tmp_path, "--no-video", "--device", "cpu", "--workers", 2, "-q"
    )
    assert code == 0, err
    assert len(killed) == 1
    assert_same(contents(tmp_path), alone)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.media
def test_what_fails_is_told_and_the_others_are_done(many, tmp_path, capfd) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    sources = (many / "a.mp4", tmp_path / "bad.mp4", tmp_path / "none.mp4")
    code, _, err = call(
        capfd,
        "run",
        *sources,
        "--out",
        tmp_path / "out",
        "--no-video",
        "--no-json",
        "--end",
        0.5,
        "--workers",
        3,
    )
    assert code == 1
    assert "2 of 3 sources failed" in err
    assert err.index("bad.mp4: ") < err.index("none.mp4: ")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.csv"]  # options reached it


def test_a_worker_that_is_killed_each_time_is_given_up(tmp_path) -> None:
    class Killed:
        returncode = -9

        def __init__(self, *_: object, **__: object) -> None:
            starts.append(1)

        def communicate(self) -> tuple[None, str]:
            return None, ""

    starts: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("posecli.cli.workers.subprocess.Popen", Killed)
        [told] = run_jobs([Job("x", tmp_path / "none", ("run", "x"))], 1, "local")
    assert told is not None and "killed 3 times" in told
    assert len(starts) == 3


def test_usage(many, tmp_path, capfd) -> None:
    for arguments, sentence in (
        (("--workers", 2), "need several sources"),
        (("--engine", "slurm"), "neither local nor ray"),
    ):
        code, _, err = call(capfd, "run", many / "a.mp4", "--out", tmp_path / "x.mp4", *arguments)
        assert code == 2
        assert sentence in " ".join(err.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.external
def test_ray_takes_up_a_killed_worker_s_clip(many, alone, tmp_path, capfd) -> None:
    pytest.importorskip("ray")
    killed = kill_one("ray::_in_worker", tmp_path)
    code, _, err = call(
        capfd,
        "run",
        many,
        "--out",
        tmp_path,
        "--no-video",
        "--device",
        "cpu",
        "--workers",
        2,
        "--engine",
        "ray",
        "-q",
    )
    assert code == 0, err
    assert len(killed) == 1
    assert_same(contents(tmp_path), alone)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.external
def test_a_ray_cluster_that_is_not_there_is_one_sentence(many, tmp_path, capfd) -> None:
    pytest.importorskip("ray")
    code, _, err = call(capfd, "run", many, "--out", tmp_path, "--engine", "ray:127.0.0.1:1", "-q")
    assert code == 1
    assert "no Ray cluster at 127.0.0.1:1" in err
