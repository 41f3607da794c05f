"""Local streams: read live, and reconnected after a break."""

import http.server
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from posecli.errors import PoseError
from posecli.results.recording import read_result
from posecli.sources import stream
from posecli.sources.open import open_source
from posecli.sources.stream import StreamSource
from tests.support.command import call
from tests.support.media import ffmpeg


class Server(http.server.ThreadingHTTPServer):
    """Sends a clip without its length to the first `patience` clients. Later ones get nothing."""

    data = b""
    patience = 1
    visits = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.visits += 1
        if self.server.visits > self.server.patience:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(clips, monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(stream, "WAITS", (0.01, 0.02))
    with Server(("127.0.0.1", 0), Handler) as running:
        running.data = (clips / "stream.ts").read_bytes()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/a.ts"


def test_a_stream_that_breaks_off_is_taken_up_again(server, clips) -> None:
    server.patience = 3
    source = open_source(address(server))
    assert isinstance(source, StreamSource)
    source.paced = True
    frames = list(source.frames())
    source.close()
    assert [f.index for f in frames] == list(range(75))
    assert all(a.time < b.time for a, b in pairwise(frames))
    assert source.trouble.reconnected == 2
    told = " ".join(source.trouble.sentences())
    assert "opened again 2 times" in told
    assert "did not come back" in told
    assert server.visits == 5  # two more attempts that fail


def test_a_file_behind_an_address_ends_where_it_ends(server) -> None:
    source = open_source(address(server))
    source.paced = False
    assert len(list(source)) == 25
    source.close()
    assert server.visits == 1


def test_nobody_there_is_a_sentence(server) -> None:
    server.patience = 0
    with pytest.raises(PoseError, match="check that the camera or stream is there"):
        open_source(address(server))


def test_joints_of_a_stream_are_calmed_as_they_come(server, bus_clip, tmp_path, capfd) -> None:
    ffmpeg("-i", bus_clip, "-c", "copy", "-f", "mpegts", tmp_path / "bus.ts")
    server.data = (tmp_path / "bus.ts").read_bytes()
    arguments = (
        "run",
        address(server),
        "--smooth",
        "--out",
        tmp_path / "live.mp4",
        "--device",
        "cpu",
        "--quiet",
    )
    code, _, err = call(capfd, *arguments)
    assert code == 0, err
    found = read_result(tmp_path / "live.json")
    assert found.header["options"]["smoothing"]["method"] == "one-euro"
    assert len(found.tracks) >= 2
    for track in found.tracks:
        again = [i > 0 and track.rows[i - 1] == row - 1 for i, row in enumerate(track.rows)]
        assert ["smoothed" in flags for flags in track.flags] == again
    code, _, err = call(capfd, "run", bus_clip, "--smooth", "--out", tmp_path / "file.mp4")
    assert (code, "posecli smooth RESULT" in " ".join(err.split())) == (1, True), err
