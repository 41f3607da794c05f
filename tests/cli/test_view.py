"""The window, on a virtual screen if Xvfb is installed."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from posecli.results.recording import read_result
from posecli.sources.open import open_source
from tests.support.command import call


@pytest.fixture(scope="module")
def screen():
    """Start an X server without a monitor. Gives the environment variables for windows on it."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("no Xvfb with xdotool is installed here")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as told:
        number = told.readline().strip()
    yield {**os.environ, "DISPLAY": f":{number}"}
    server.terminate()
    server.wait()


def press(environment, key: str) -> None:
    """Wait for the window, then press a key."""
    for _ in range(200):
        found = subprocess.run(
            ["xdotool", "search", "--name", "posecli"], capture_output=True, env=environment, check=False
        )
        if found.stdout.split():
            window = found.stdout.split()[-1].decode()
            subprocess.run(
                ["xdotool", "windowfocus", window], env=environment, check=False, capture_output=True
            )
            subprocess.run(["xdotool", "key", "--window", window, key], env=environment, check=True)
            return
        time.sleep(0.1)
    raise AssertionError("no window came")


def start(environment, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "posecli", *map(str, arguments)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_a_screen_there_is_a_sentence(monkeypatch, bus_result, bus_clip, tmp_path, capfd) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for arguments in (
        ("view", bus_result, bus_clip),
        ("run", bus_clip, "--view", "--out", tmp_path / "x.mp4"),
    ):
        code, _, err = call(capfd, *arguments)
        assert code == 1
        assert "there is no screen" in err and "posecli report" in err
    assert list(tmp_path.iterdir()) == []
    assert call(capfd, "view", bus_result)[0] == 1
    assert call(capfd, "view", bus_clip, bus_clip)[0] == 2


@pytest.mark.external
def test_q_stops_a_run_cleanly(screen, clips, tmp_path) -> None:
    clip = clips / "sound.mp4"
    many = tmp_path / "many.mp4"
    subprocess.run(
        [__import__("imageio_ffmpeg").get_ffmpeg_exe(), "-loglevel", "error", "-stream_loop", "200", "-i", clip, "-c", "copy", many],
        check=True,
    )  # fmt: skip
    running = start(screen, "run", many, "--out", tmp_path / "out.mp4", "--view", "--device", "cpu")
    press(screen, "q")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    recording = read_result(tmp_path / "out.json")
    assert 0 < len(recording.frames) < 5000
    video = open_source(str(tmp_path / "out.mp4"))
    assert [float(f.time) for f in video] == pytest.approx(recording.times, abs=1e-5)
    assert not (tmp_path / "out.mp4.partial").exists()


@pytest.mark.external
def test_a_result_is_shown_in_its_time(screen, bus_result, bus_clip) -> None:
    started = time.monotonic()
    running = start(screen, "view", bus_result, bus_clip)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert time.monotonic() - started > 0.8  # eight frames in a second


@pytest.mark.external
def test_q_ends_a_live_view(screen, clips, tmp_path) -> None:
    running = start(screen, "view", clips / "plain.mp4", "--device", "cpu")
    press(screen, "q")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
