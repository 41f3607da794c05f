"""A local RTSP camera: GStreamer's RTSP server in another process.

Debian: apt install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{good,bad,ugly} python3-gi
"""

import itertools
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import chosen_frames, fetched
from posecli.sources import stream
from posecli.sources.open import open_source

pytestmark = pytest.mark.external

SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[1], address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch("( videotestsrc is-live=true ! video/x-raw,width=160,height=96,framerate=25/1,format=I420 !"
                   " x264enc tune=zerolatency key-int-max=5 ! rtph264pay name=pay0 pt=96 )")
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin")


class Camera:
    """The server. It can be stopped and started again at the same address."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"rtsp://127.0.0.1:{self.port}/camera"
        self.start()

    def start(self) -> None:
        command = [SYSTEM_PYTHON, "-c", SERVER, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self.process.stdout.readline() != "ready\n":
            self.end()
            pytest.skip("GStreamer's RTSP server is not installed for the system's Python")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def camera() -> Iterator[Camera]:
    if SYSTEM_PYTHON is None:
        pytest.skip("there is no system Python for GStreamer's RTSP server")
    running = Camera()
    yield running
    running.end()


def test_a_camera_s_frames_come_with_times_that_grow_and_stop_when_asked(camera) -> None:
    source = open_source(camera.address)
    frames = list(fetched(source, chosen_frames(source, Choices(duration=2.0))))
    source.close()
    assert source.live and source.paced
    assert (source.width, source.height) == (160, 96)
    assert 35 <= len(frames) + source.trouble.dropped <= 60
    assert all(a.time < b.time for a, b in itertools.pairwise(frames))
    assert float(frames[-1].time - frames[0].time) == pytest.approx(2.0, abs=0.3)


def test_who_is_slow_gets_the_newest_frames_and_the_others_are_counted(camera) -> None:
    source = open_source(camera.address)
    began, behind = None, []
    for number, frame in enumerate(fetched(source, chosen_frames(source, Choices(duration=5.0)))):
        now = time.monotonic() - float(frame.time)
        began = now if began is None else min(began, now)
        behind.append(now - began)
        time.sleep(0.25)  # 4 frames a second of 25
        if number == 14:
            break
    source.close()
    assert source.trouble.dropped > 30
    assert max(behind[3:]) < 1.5  # seconds; it does not grow
    assert any("were dropped" in told for told in source.trouble.sentences())


def test_a_camera_that_goes_away_and_comes_back_is_found_again(camera, monkeypatch) -> None:
    monkeypatch.setattr(stream, "WAITS", (0.5, 1.0, 2.0, 4.0))
    source = open_source(camera.address)
    frames = []
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == 20:
            camera.end()
            camera.start()
        if len(frames) >= 20 and source.trouble.reconnected and len(frames) % 20 == 0:
            break
    source.close()
    assert source.trouble.reconnected == 1
    assert [f.index for f in frames] == list(range(len(frames)))
    assert all(a.time < b.time for a, b in itertools.pairwise(frames))
