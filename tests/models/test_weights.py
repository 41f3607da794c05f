"""`posecli weights`: downloads from a local server that disconnects and sends wrong files."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from posecli.cli.app import main
from posecli.errors import PoseError
from posecli.models import download, weights
from posecli.models.download import PUBLISHED, Published, pull, pulled, verify

BODY = bytes(range(256)) * 8000  # 2 MB
HASH = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    broken_after: int | None = None  # bytes of a transfer, then the connection ends
    ranges = True
    body = BODY
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.server.ranges else 0
        if start >= len(self.server.body):
            self.send_error(416)
            return
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.broken_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("POSECLI_WEIGHTS", str(tmp_path / "cache"))
    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("POSECLI_MIRROR", f"http://127.0.0.1:{running.server_address[1]}/m")
        yield running
        running.shutdown()


FILE = Published("tiny", "https://example.org/a/tiny.pth", HASH[:8], 2, "mpii16", "", "MIT")


def test_a_file_is_fetched_once_and_its_full_hash_kept(server, tmp_path) -> None:
    seen = []
    path = pull(FILE, progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "cache" / "tiny.pth"
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert pull(FILE) == path
    assert server.asked == ["/m/a/tiny.pth"]
    assert verify(FILE, path) == HASH
    # Another file could have the same hash prefix. The full hash detects it.
    path.with_name("tiny.pth.sha256").write_text(HASH[:8] + "0" * 56)
    with pytest.raises(PoseError, match="changed or is damaged"):
        verify(FILE, path)


def test_a_broken_connection_is_taken_up_where_it_broke(server) -> None:
    server.broken_after = 900_000
    assert pull(FILE).read_bytes() == BODY
    assert server.asked[1:] == ["/m/a/tiny.pth bytes=900000-", "/m/a/tiny.pth bytes=1800000-"]


def test_what_arrived_is_kept_for_the_next_call(server, monkeypatch, tmp_path) -> None:
    server.broken_after = 100_000
    with pytest.raises(PoseError, match="the next try goes on"):
        pull(FILE)
    part = tmp_path / "cache" / "tiny.pth.part"
    assert part.stat().st_size == 400_000
    assert not part.with_name("tiny.pth").exists()
    server.broken_after = None
    assert pull(FILE).read_bytes() == BODY
    assert server.asked[-1] == "/m/a/tiny.pth bytes=400000-"


def test_a_server_without_ranges_begins_anew(server, tmp_path) -> None:
    server.ranges = False
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tiny.pth.part").write_bytes(b"x" * 1000)
    assert pull(FILE).read_bytes() == BODY


def test_another_file_s_hash_is_refused_and_nothing_stays(server, tmp_path) -> None:
    server.body = BODY[:-1] + b"!"
    with pytest.raises(PoseError, match="is not tiny: its sha256 begins"):
        pull(FILE)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_disk_no_address_and_no_server_are_one_sentence(server, monkeypatch, tmp_path) -> None:
    with pytest.raises(PoseError, match="answers 404"):
        pull(replace(FILE, url="https://example.org/missing.pth"))
    with pytest.raises(PoseError, match="no http or https"):
        pull(FILE, mirror="ftp://x")
    with pytest.raises(PoseError, match="Offline"):
        pull(FILE, mirror="http://127.0.0.1:9")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(PoseError, match="MB free"):
        pull(FILE)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSECLI_WEIGHTS", str(tmp_path / "file" / "x"))
    with pytest.raises(PoseError, match="POSECLI_WEIGHTS"):
        pull(FILE)


def test_a_named_model_is_never_fetched_by_itself(server) -> None:
    with pytest.raises(PoseError, match="weights pull hg2"):
        weights.find_model("hg2")
    assert server.asked == []
    cached = download.weights_folder() / PUBLISHED["hg2"].file_name
    cached.parent.mkdir()
    cached.write_bytes(b"")
    assert pulled() == {"hg2": cached}
    assert weights.find_model("hg2") == cached


def test_the_networks_of_a_run_are_shipped() -> None:
    assert weights.find_model(weights.MODEL).stat().st_size < 30e6
    assert weights.find_detector(weights.DETECTOR).stat().st_size < 30e6


def test_the_command(server, monkeypatch, capsys) -> None:
    monkeypatch.setitem(PUBLISHED, "tiny", FILE)
    for arguments, expected in (
        (["weights", "list"], "hrnet-w32"),
        (["weights", "pull", "tiny"], "tiny.pth"),
        (["weights", "verify"], HASH),
        (["weights", "path", "tiny"], "tiny.pth"),
        (["weights", "path", "small"], "small.safetensors"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
        assert expected in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["weights", "pull", "huge"])
    assert ended.value.code == 1
    assert "no weights 'huge'" in capsys.readouterr().err


def test_published_addresses_name_their_hash() -> None:
    for p in PUBLISHED.values():
        if not p.sha256:  # princeton-vl publishes neither a hash nor names of their own
            assert p.name.startswith("princeton-") and p.file_name != "checkpoint.pt"
            continue
        assert p.url.startswith("https://")
        assert p.sha256[:8] in p.url
        assert Path(p.file_name).suffix == ".pth"
    assert len({p.file_name for p in PUBLISHED.values()}) == len(PUBLISHED)


def test_without_a_published_hash_the_first_file_s_is_kept(server) -> None:
    free = replace(FILE, sha256="", stored_as="tiny_free.pt")
    file = pull(free)
    assert file.name == "tiny_free.pt"
    assert verify(free, file) == HASH
    file.write_bytes(b"another")
    with pytest.raises(PoseError, match="has changed"):
        verify(free, file)
