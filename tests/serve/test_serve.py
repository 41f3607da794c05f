"""A real server on a loopback port: what it is for, and what people might try with it."""

import json
import socket
import threading
import time

import cv2
import httpx
import jsonschema
import numpy as np
import pytest
from websockets.sync.client import connect

from posecli.engines.backends import PADDED
from posecli.sources.open import open_source
from tests.support.media import ffmpeg
from tests.support.recordings import SCHEMA
from tests.support.server import MOST, TOKEN, Server

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("serve"))
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


def waited(client, number, until=("done", "failed", "cancelled"), seconds=120) -> dict:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job = client.get(f"/v1/jobs/{number}").json()
        if job["state"] in until:
            return job
        time.sleep(0.1)
    raise AssertionError(job)


# ---------------------------------------------------------------- what it is for


def test_a_photo_gives_its_people(client, bus) -> None:
    answer = client.post("/v1/pose", files={"file": ("bus.jpg", bus.read_bytes())})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    jsonschema.validate(document, SCHEMA)
    assert document["source"]["name"] == "bus.jpg"
    assert len(document["frames"][0]["people"]) >= 3
    raw = client.post("/v1/pose?format=coco", content=bus.read_bytes())
    assert {len(p["keypoints"]) for p in raw.json()} == {51}


def test_a_video_is_uploaded_somebody_is_chosen_and_corrected(client, bus_clip) -> None:
    clip = client.post("/v1/clips", files={"file": ("bus: two.mp4", bus_clip.read_bytes())}).json()
    assert client.get(f"/v1/clips/{clip['id']}/frame.jpg").headers["content-type"] == "image/jpeg"
    people = client.get(f"/v1/clips/{clip['id']}/people?time=0").json()
    x, y, width, height = max(people["people"], key=lambda b: b[2] * b[3])
    select = f"{x + width / 2},{y + height / 2}@{people['time']}"
    begun = client.post(f"/v1/jobs?clip={clip['id']}", json={"select": select})
    assert begun.status_code == 202
    assert begun.headers["location"] == f"/v1/jobs/{clip['id']}"
    job = waited(client, clip["id"])
    assert job["state"] == "done", job
    result = client.get(f"/v1/jobs/{clip['id']}/result.json").json()
    jsonschema.validate(result, SCHEMA)
    assert result["source"]["name"] == "bus: two.mp4"
    tracks = {p["track"] for f in result["frames"] for p in f["people"]}
    assert len(tracks) == 1
    for kind, begins in (("csv", b"frame,time"), ("html", b"<!"), ("mp4", b"")):
        assert client.get(f"/v1/jobs/{clip['id']}/result.{kind}").content.startswith(begins)
    part = client.get(f"/v1/jobs/{clip['id']}/result.mp4", headers={"range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)
    [who] = tracks
    frame = result["frames"][2]["frame"]
    edits = {"edits": [{"kind": "move", "text": f"{who}:left_knee@#{frame}=100,120"}]}
    assert client.get(f"/v1/jobs/{clip['id']}/original.json").status_code == 404
    assert client.post(f"/v1/jobs/{clip['id']}/edits", json=edits).status_code == 200
    again = client.get(f"/v1/jobs/{clip['id']}/result.json").json()
    person = again["frames"][2]["people"][0]
    assert person["keypoints"][again["skeleton"]["joints"].index("left_knee")] == [100.0, 120.0, 1.0]
    assert person["joint_flags"] == {"left_knee": ["corrected"]}
    assert client.post(f"/v1/jobs/{clip['id']}/edits", json=edits).status_code == 200
    assert client.get(f"/v1/jobs/{clip['id']}/original.json").json() == result
    assert client.delete(f"/v1/jobs/{clip['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{clip['id']}").status_code == 404


def test_the_video_is_drawn_again_and_the_angles_are_summed_up(client, bus_clip) -> None:
    files = {"file": ("bus.mp4", bus_clip.read_bytes())}
    options = json.dumps({"draw_angles": "knee", "events": "repetitions"})
    begun = client.post("/v1/jobs", files=files, data={"options": options})
    number = begun.json()["id"]
    assert waited(client, number)["state"] == "done"
    video, data = (client.get(f"/v1/jobs/{number}/result.{kind}").content for kind in ("mp4", "json"))
    drawing = {"horizontal": 100, "trails": "left_wrist", "events": "steps"}
    assert client.post(f"/v1/jobs/{number}/drawing", json=drawing).status_code == 204
    assert client.get(f"/v1/jobs/{number}/result.mp4").content != video
    assert client.get(f"/v1/jobs/{number}/result.json").content == data
    told = client.get(f"/v1/jobs/{number}").json()["options"]
    assert (told["horizontal"], told["events"], told.get("draw_angles")) == (100, "steps", None)
    for wrong, said in (({"draw_angles": "toe"}, "no angle"), ({"events": "hops"}, "not a kind of event")):
        answer = client.post(f"/v1/jobs/{number}/drawing", json=wrong)
        assert (answer.status_code, said in answer.json()["error"]) == (422, True)
    assert client.get(f"/v1/jobs/{number}").json()["options"] == told
    page = client.get(f"/v1/jobs/{number}/summary.html?download=true")
    assert "bus.summary.html" in page.headers["content-disposition"]
    assert page.text.count("<h2>Person") == len(
        {p["track"] for f in json.loads(data)["frames"] for p in f["people"]}
    )
    assert client.get("/v1/jobs/none/summary.html").status_code == 404


def test_pictures_of_a_video_come_in_any_order(client, bus_clip) -> None:
    clip = client.post("/v1/clips", files={"file": ("bus.mp4", bus_clip.read_bytes())}).json()
    source = open_source(str(bus_clip))
    frames = [(float(f.time), f.image.copy()) for f in source]
    source.close()
    for n in (0, 3, 2, len(frames) - 1, 1):
        data = client.get(f"/v1/clips/{clip['id']}/frame.jpg?time={frames[n][0]}").content
        shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        off = [float(np.abs(shown.astype(int) - image.astype(int)).mean()) for _, image in frames]
        assert off[n] == min(off), n


def test_a_job_is_followed_line_by_line_and_can_be_deleted_while_it_runs(client, bus_clip) -> None:
    files = {"file": ("bus.mp4", bus_clip.read_bytes())}
    begun = client.post("/v1/jobs", files=files, data={"options": json.dumps({"people": 2})}).json()
    states = []
    with client.stream("GET", f"/v1/jobs/{begun['id']}", headers={"accept": "application/x-ndjson"}) as lines:
        for line in lines.iter_lines():
            states.append(json.loads(line)["state"])
    assert states[-1] == "done"
    assert "running" in states
    second = client.post("/v1/jobs", files=files).json()
    assert client.delete(f"/v1/jobs/{second['id']}").status_code == 204
    assert second["id"] not in {j["id"] for j in client.get("/v1/jobs").json()["jobs"]}


def test_live_pictures_come_back_as_frames_and_the_newest_wins(server, bus) -> None:
    small = cv2.resize(cv2.imread(str(bus)), (405, 540))
    data = cv2.imencode(".jpg", small)[1].tobytes()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with connect(f"ws://{server.host}/v1/live", additional_headers=headers) as live:
        live.send(data)
        first = json.loads(live.recv(timeout=60))  # the networks load
        assert len(first["people"]) >= 2
        for _ in range(50):
            live.send(data)
        began, answers = time.monotonic(), 0
        while True:
            try:
                frame = json.loads(live.recv(timeout=1.5))
            except TimeoutError:
                break
            answers += 1
        assert 1 <= answers < 50  # most were passed over
        assert time.monotonic() - began < 15
        assert {p["track"] for p in first["people"]} & {p["track"] for p in frame["people"]}


# ---------------------------------------------------------------- what people might try


@pytest.mark.parametrize("path", ["/", "/v1/health", "/v1/jobs", "/openapi.json"])
def test_other_names_than_its_own_are_refused(server, path) -> None:
    with server.client() as client:
        assert client.get(path, headers={"host": "evil.example:80"}).status_code == 403
        assert client.get(path, headers={"host": f"evil.example:{server.port}"}).status_code == 403
        assert client.get(path).status_code == 200


def test_writes_need_the_token_and_an_origin_of_its_own(server, bus) -> None:
    data = bus.read_bytes()
    for token, origin, code in (
        (None, None, 401), ("wrong", None, 401), (TOKEN, "http://evil.example", 403), (TOKEN, "null", 403),
        (TOKEN, f"http://{server.host}", 200), (TOKEN, None, 200),
    ):  # fmt: skip
        with server.client(token) as client:
            headers = {"origin": origin} if origin else {}
            assert client.post("/v1/pose", content=data, headers=headers).status_code == code, (token, origin)


def test_the_token_becomes_a_cookie_that_scripts_cannot_read(server, bus) -> None:
    with server.client(None) as client:
        assert client.post("/v1/session", json={"token": "wrong"}).status_code == 401
        begun = client.post("/v1/session", json={"token": TOKEN})
        assert begun.status_code == 204
        assert "HttpOnly" in begun.headers["set-cookie"] and "SameSite=Strict" in begun.headers["set-cookie"]
        assert client.post("/v1/pose", content=bus.read_bytes()).status_code == 200
        for _ in range(12):
            last = client.post("/v1/session", json={"token": "wrong"})
        assert last.status_code == 429


def test_a_web_socket_needs_token_and_origin(server) -> None:
    from websockets.exceptions import InvalidStatus

    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"},
    ):
        with pytest.raises(InvalidStatus):
            connect(f"ws://{server.host}/v1/live", additional_headers=headers)


def test_with_lan_results_are_read_with_the_token_only(tmp_path) -> None:
    server = Server(tmp_path, lan=True)
    try:
        with server.client(None) as client:
            assert client.get("/").status_code == 200
            assert client.get("/v1/jobs").status_code == 401
        with server.client() as client:
            assert client.get("/v1/jobs").status_code == 200
    finally:
        server.stop()


def test_too_much_is_refused_also_when_it_lies_about_its_length(server) -> None:
    with server.client() as client:
        assert client.post("/v1/clips", content=b"0" * (MOST + 1)).status_code == 413

        def pieces():
            for _ in range(40):
                yield b"0" * 100_000

        assert client.post("/v1/clips", content=pieces()).status_code == 413


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(client, tmp_path) -> None:
    import zlib

    rows = zlib.compress(b"\0" * 60_001 * 100)
    head = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(c[4:]).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big")
        for c in (head, b"IDAT" + rows, b"IEND")
    )
    answer = client.post("/v1/pose", content=png)
    assert answer.status_code in (413, 422), answer.text
    assert "pixels" in answer.text or "too large" in answer.text or "not a photo" in answer.text


def test_playlists_and_references_are_not_followed(client, tmp_path) -> None:
    """A server on this machine sees no request, whatever the file says."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.settimeout(0.2)
    port = listening.getsockname()[1]
    clip = tmp_path / "c.ts"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x48:duration=1", clip)
    tries = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/x.ts\n#EXT-X-ENDLIST\n",
        "a.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
        "a.txt": f"ffconcat version 1.0\nfile '{clip}'\n",
        "a.sdp": f"v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
    }
    for name, text in tries.items():
        answer = client.post("/v1/clips", files={"file": (name, text.encode())})
        assert answer.status_code == 422, (name, answer.text)
    with pytest.raises(TimeoutError):
        listening.accept()
    listening.close()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/jobs/..%2f..%2fetc", 404), ("/v1/jobs/x/result.json", 404), ("/v1/clips/..%2fjobs/frame.jpg", 404),
        ("/v1/clips/%2e%2e/frame.jpg", 404), ("/v1/jobs/x/result.exe", 404), ("/nothing", 404),
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(client, path, code) -> None:
    assert client.get(path).status_code == code


def test_bad_options_and_files_are_told_in_a_sentence(client, bus_clip) -> None:
    files = {"file": ("b.mp4", bus_clip.read_bytes())}
    for options, said in (('{"peoples": 2}', "peoples"), ('{"people": 0}', "people"), ("not json", "JSON")):
        answer = client.post("/v1/jobs", files=files, data={"options": options})
        assert answer.status_code == 422
        assert said in answer.json()["error"]
    assert "not a video" in client.post("/v1/clips", content=b"hello").json()["error"]
    assert (
        "no field `file`" in client.post("/v1/clips", data={"a": "b"}, files={"other": b"x"}).json()["error"]
    )


def test_a_server_that_ended_goes_on_with_its_jobs(tmp_path, bus_clip) -> None:
    long = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "9", "-i", bus_clip, "-c", "copy", long)
    first = Server(tmp_path / "data")
    with first.client() as client:
        number = client.post("/v1/jobs", files={"file": ("bus.mp4", long.read_bytes())}).json()["id"]
        end = time.monotonic() + 120
        while (
            client.get(f"/v1/jobs/{number}").json()["frames"] < 2
        ):  # the networks are loaded: it can stop at once
            assert time.monotonic() < end
            time.sleep(0.02)
    first.stop()
    second = Server(tmp_path / "data")
    try:
        with second.client() as client:
            assert waited(client, number)["state"] == "done"
            frames = client.get(f"/v1/jobs/{number}/result.json").json()["frames"]
            assert [f["frame"] for f in frames] == list(range(80))
    finally:
        second.stop()


def test_nothing_of_the_server_is_imported_by_a_run() -> None:
    import subprocess
    import sys

    code = "import posecli.api, posecli.cli.app, sys; print([m for m in ('fastapi', 'uvicorn', 'starlette') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_source_code_is_offered(client) -> None:
    import io
    import zipfile

    assert np.isin(
        "posecli/serve/app.py", zipfile.ZipFile(io.BytesIO(client.get("/source.zip").content)).namelist()
    )


def test_a_server_that_is_killed_in_the_middle_goes_on_where_it_was(tmp_path, bus_clip) -> None:
    """kill -9 while a video is worked on; the next server has its result, and every frame once."""
    import subprocess
    import sys

    long = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "39", "-i", bus_clip, "-c", "copy", long)
    data = tmp_path / "data"
    command = [sys.executable, "-m", "posecli", "serve", "--port", "0", "--no-browser", "--data", str(data)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    address = process.stderr.readline().strip()
    base, _, token = address.partition("/#token=")
    with httpx.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        end = time.monotonic() + 60
        while True:
            try:
                client.get("/v1/health")
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.1)
        number = client.post("/v1/jobs", files={"file": ("long.mp4", long.read_bytes())}).json()["id"]
        while client.get(f"/v1/jobs/{number}").json()["frames"] < 256:  # a segment of 250 is kept whole
            assert time.monotonic() < end + 60
            time.sleep(0.05)
    process.kill()
    process.wait()
    server = Server(data)
    try:
        with server.client() as client:
            assert waited(client, number)["state"] == "done"
            frames = client.get(f"/v1/jobs/{number}/result.json").json()["frames"]
            assert [f["frame"] for f in frames] == list(range(len(frames)))
            assert len(frames) == 320
    finally:
        server.stop()


@pytest.mark.alone
def test_two_hundred_live_frames_at_twice_the_speed_keep_memory_and_latency(server, bus) -> None:
    import psutil

    data = cv2.imencode(".jpg", cv2.resize(cv2.imread(str(bus)), (405, 540)))[1].tobytes()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with connect(f"ws://{server.host}/v1/live", additional_headers=headers) as live:
        for _ in range(PADDED + 2):  # warm; meanwhile the network is compiled for single crops
            live.send(data)
            live.recv(timeout=60)
        began = time.monotonic()
        for _ in range(10):
            live.send(data)
            live.recv(timeout=10)
        each = (time.monotonic() - began) / 10
        process = psutil.Process()
        before = process.memory_info().rss
        answers = 0
        stop = threading.Event()

        def receive() -> None:
            nonlocal answers
            while not stop.is_set():
                try:
                    live.recv(timeout=0.5)
                    answers += 1
                except TimeoutError:
                    continue

        receiving = threading.Thread(target=receive)
        receiving.start()
        for _ in range(200):  # twice as fast as it can
            live.send(data)
            time.sleep(each / 2)
        sent = time.monotonic()
        time.sleep(2 * each + 0.3)
        stop.set()
        receiving.join()
        assert 60 <= answers < 160
        live.send(data)
        live.recv(timeout=10)
        assert time.monotonic() - sent < 5
        assert process.memory_info().rss - before < 60 * 2**20
    with connect(f"ws://{server.host}/v1/live", additional_headers=headers) as live:
        for _ in range(20):  # a pile of pictures at once: the answer is about the newest, and comes at once
            live.send(data)
        live.recv(timeout=10)
        began = time.monotonic()
        live.recv(timeout=10)
        assert time.monotonic() - began < max(0.5, 3 * each)
