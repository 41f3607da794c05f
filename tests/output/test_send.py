"""Frames sent over loopback: to listeners who are there, slow, gone or never came."""

import json
import logging
import socket
import struct
import sys
import threading
import time
from fractions import Fraction

import jsonschema
import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from posecli import defaults
from posecli.api import Watch, write_poses
from posecli.draw.skeleton import Drawing
from posecli.engines.load import Networks
from posecli.errors import Interrupted, PoseError
from posecli.output import send
from posecli.output.document import compact, frame_record
from posecli.output.record import Outputs, Style
from posecli.output.send import Datagrams, Listeners, Message, Senders, json_datagrams
from posecli.pipeline.choices import Choices
from posecli.skeletons import BODY19
from posecli.types import Frame, FramePoses, Person
from tests.support.command import call
from tests.support.recordings import SCHEMA, standing_at

FRAME = {"$defs": SCHEMA["$defs"], **SCHEMA["properties"]["frames"]["items"]}
PICTURE = np.zeros((480, 640, 3), np.uint8)


def poses_of(index: int, people: int = 1, tracked: bool = True, missing: tuple[str, ...] = ()) -> FramePoses:
    """A frame with people who stand side by side."""
    found = []
    for number in range(people):
        keypoints = standing_at(50 + 100 * number).astype(np.float32)
        keypoints[[BODY19.joints.index(j) for j in missing]] = (np.nan, np.nan, 0)
        box = np.array([100 * number, 0, 100 * number + 50, 200], np.float32)
        found.append(Person(number + 4 if tracked else None, 0.75, box, keypoints))
    return FramePoses(Frame(index, Fraction(index, 25), PICTURE), tuple(found))


def message_of(poses: FramePoses) -> Message:
    return Message(frame_record(poses, BODY19), BODY19.joints, (640, 480))


@pytest.fixture
def receiver():
    """A UDP socket on loopback, with room for everything that a test sends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        yield receiver


def address(kind: str, receiver: socket.socket) -> str:
    return f"{kind}://127.0.0.1:{receiver.getsockname()[1]}"


def left_in(receiver: socket.socket) -> list[bytes]:
    """The datagrams that wait in a receiver, when nothing more is sent."""
    receiver.settimeout(0.2)
    found = []
    while True:
        try:
            found.append(receiver.recv(65536))
        except TimeoutError:
            return found


# ---------------------------------------------------------------- UDP


def test_udp_gets_each_frame_as_a_line_of_our_json(receiver) -> None:
    frames = [poses_of(n, people=n) for n in range(5)]
    with Senders([address("udp", receiver)]) as senders:
        assert list(senders.passing(frames, BODY19)) == frames
        assert senders.close() == []
    lines = left_in(receiver)
    assert all(line.endswith(b"\n") for line in lines)
    assert [json.loads(line) for line in lines] == [frame_record(f, BODY19) for f in frames]
    for line in lines:
        jsonschema.validate(json.loads(line), FRAME)


def test_missing_joints_are_null_in_json(receiver) -> None:
    with Senders([address("udp", receiver)]) as senders:
        senders.send(poses_of(0, missing=("nose",)), BODY19)
    [person] = json.loads(receiver.recv(65536))["people"]
    assert person["keypoints"][0] == [None, None, 0.0]
    assert None not in person["keypoints"][1]


def test_a_crowd_comes_as_several_datagrams_of_one_frame(receiver) -> None:
    crowd = poses_of(7, people=60)
    with Senders([address("udp", receiver)]) as senders:
        senders.send(crowd, BODY19)
    datagrams = left_in(receiver)
    assert len(datagrams) > 2
    assert max(map(len, datagrams)) <= send.MOST_BYTES
    parts = [json.loads(d) for d in datagrams]
    assert {p["frame"] for p in parts} == {7}
    assert [person for p in parts for person in p["people"]] == frame_record(crowd, BODY19)["people"]


def test_nobody_who_listens_is_no_trouble() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    senders = Senders([f"udp://127.0.0.1:{port}", f"osc://127.0.0.1:{port}"])
    for n in range(20):
        senders.send(poses_of(n), BODY19)
        time.sleep(0.002)
    assert senders.close() == []


def test_of_a_name_with_two_addresses_the_ipv4_one_is_taken(receiver, monkeypatch) -> None:
    port = receiver.getsockname()[1]
    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with Senders([f"udp://localhost:{port}"]) as senders:
        senders.send(poses_of(0), BODY19)
    assert json.loads(receiver.recv(65536))["frame"] == 0


def test_a_receiver_that_goes_and_comes_back_gets_what_is_sent_then(receiver) -> None:
    to = address("udp", receiver)
    with Senders([to]) as senders:
        senders.send(poses_of(0), BODY19)
        assert json.loads(receiver.recv(65536))["frame"] == 0
        where = receiver.getsockname()
        receiver.close()
        for n in range(1, 6):
            senders.send(poses_of(n), BODY19)
            time.sleep(0.01)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(where)
            again.settimeout(5)
            senders.send(poses_of(6), BODY19)
            assert json.loads(again.recv(65536))["frame"] == 6
        assert senders.close() == []


def test_a_network_that_takes_nothing_holds_up_nobody_and_is_counted(receiver) -> None:
    opened = threading.Event()

    def held(message: Message) -> list[bytes]:
        assert opened.wait(20)
        return json_datagrams(message.record)

    sender = Datagrams("udp://somewhere:1", "127.0.0.1", receiver.getsockname()[1], held)
    message = message_of(poses_of(0))
    began = time.monotonic()
    for n in range(200):
        sender.send(Message({**message.record, "frame": n}, message.joints, message.size))
    assert time.monotonic() - began < 1
    opened.set()
    told = sender.close()
    arrived = [json.loads(d)["frame"] for d in left_in(receiver)]
    assert (
        told
        == f"{200 - len(arrived)} frames were not sent to udp://somewhere:1: they came faster than they could be sent."
    )
    assert 2 <= len(arrived) <= send.WAITING + 1
    assert arrived[-1] == 199, "the oldest goes, the newest stays"


def test_a_network_that_never_takes_anything_ends_with_the_run(receiver) -> None:
    never = threading.Event()

    def stuck(_: Message) -> list[bytes]:
        never.wait(20)
        return []

    sender = Datagrams("udp://somewhere:1", "127.0.0.1", receiver.getsockname()[1], stuck)
    for n in range(3):
        sender.send(message_of(poses_of(n)))
    began = time.monotonic()
    told = sender.close()
    assert time.monotonic() - began < 3
    assert told.startswith("3 frames were not sent")
    never.set()


def test_what_the_system_refuses_is_told(receiver) -> None:
    sender = Datagrams("udp://somewhere:1", "127.0.0.1", receiver.getsockname()[1], lambda _: [bytes(70_000)])
    for n in range(3):
        sender.send(message_of(poses_of(n)))
    assert sender.close() == "3 frames were not sent to udp://somewhere:1: message too long."


# ---------------------------------------------------------------- OSC


def osc_of(datagrams: list[bytes]) -> list[tuple[str, list]]:
    """(address, values) of all messages, in order."""
    return [(m.address, m.params) for d in datagrams for m in OscBundle(d)]


def test_osc_people_come_first_and_the_frame_last(receiver) -> None:
    with Senders([address("osc", receiver)]) as senders:
        senders.send(poses_of(50, people=2, missing=("nose", "left_eye")), BODY19)
    datagrams = left_in(receiver)
    assert len(datagrams) == 3
    assert max(map(len, datagrams)) < 1472, "a datagram that no network takes apart"
    messages = osc_of(datagrams)
    assert messages[-2:] == [("/posecli/tracks", [4, 5]), ("/posecli/frame", [50, 2.0, 2, 640, 480])]
    assert messages[0] == ("/posecli/person/4/box", [0.0, 0.0, 50.0, 200.0, 0.75])
    there = dict(messages)
    for place, joint in enumerate(BODY19.joints):
        if joint in ("nose", "left_eye"):
            assert f"/posecli/person/5/{joint}" not in there
        else:
            np.testing.assert_allclose(
                there[f"/posecli/person/5/{joint}"], standing_at(150)[place], atol=0.006
            )
    assert len(messages) == 2 * (1 + 17) + 2


def test_osc_without_tracking_or_people(receiver) -> None:
    with Senders([address("osc", receiver)]) as senders:
        senders.send(poses_of(0, people=2, tracked=False), BODY19)
        senders.send(poses_of(100, people=0), BODY19)
    messages = osc_of(left_in(receiver))
    assert ("/posecli/tracks", [1, 2]) in messages
    assert {a.split("/")[3] for a, _ in messages if a.startswith("/posecli/person")} == {"1", "2"}
    assert messages[-2:] == [
        ("/posecli/tracks", []),
        ("/posecli/frame", [100, 4.0, 0, 640, 480]),
    ]


# ---------------------------------------------------------------- web sockets


@pytest.fixture
def server():
    server = Listeners("ws://127.0.0.1:0", "127.0.0.1", 0)
    yield server
    server.close()


def joined(server: Listeners, count: int) -> None:
    """Wait until so many listeners are there."""
    end = time.monotonic() + 10
    while len(server._listeners) != count:
        assert time.monotonic() < end, len(server._listeners)
        time.sleep(0.01)


def fed(server: Listeners, frames: int, people: int = 1, readers: tuple[list, ...] = ()) -> float:
    """Send so many frames, as quickly as the readers keep up; the longest time that one took, in seconds."""
    message = message_of(poses_of(0, people))
    longest = 0.0
    for n in range(frames):
        began = time.monotonic()
        server.send(Message({**message.record, "frame": n}, message.joints, message.size))
        longest = max(longest, time.monotonic() - began)
        while any(len(reader) < n - 8 for reader in readers):
            assert time.monotonic() - began < 20, "a listener waits for another one"
            time.sleep(0.001)
    return longest


def heard(port: int, into: list[dict]) -> threading.Thread:
    """A listener that reads as fast as it can, until the run is over."""

    def listen() -> None:
        with connect(f"ws://127.0.0.1:{port}") as listener:
            for text in listener:
                into.append(json.loads(text))

    thread = threading.Thread(target=listen)
    thread.start()
    return thread


def asleep(port: int) -> socket.socket:
    """A listener that shakes hands and then reads nothing more."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.connect(("127.0.0.1", port))
    listener.sendall(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"101" in listener.recv(20)
    return listener


def test_listeners_get_each_frame_of_our_json_to_the_end(server) -> None:
    one, other = [], []
    threads = [heard(server.port, one), heard(server.port, other)]
    joined(server, 2)
    fed(server, 50, readers=(one, other))
    assert server.close() == ""
    for thread in threads:
        thread.join(10)
    assert [f["frame"] for f in one] == list(range(50))
    assert one == other
    jsonschema.validate(one[0], FRAME)


def test_a_slow_listener_holds_up_neither_the_run_nor_the_others(server) -> None:
    quick: list[dict] = []
    slow = asleep(server.port)
    thread = heard(server.port, quick)
    joined(server, 2)
    longest = fed(
        server, 600, people=40, readers=(quick,)
    )  # 25 kB each: more than the system holds for the slow one
    began = time.monotonic()
    told = server.close()
    assert time.monotonic() - began < 5
    thread.join(10)
    assert longest < 0.5
    assert [f["frame"] for f in quick] == list(range(600))
    missed = int(told.split()[0])
    assert told == f"{missed} frames did not reach listeners of ws://127.0.0.1:0 that were too slow."
    assert 100 < missed < 600
    slow.close()


def test_what_waits_for_a_slow_listener_is_sent_when_the_run_is_over(server) -> None:
    slow = asleep(server.port)
    slow.settimeout(10)
    joined(server, 1)
    [waiting] = server._listeners
    message, sent = message_of(poses_of(0, people=40)), 0
    while waiting.qsize() < 10:
        server.send(Message({**message.record, "frame": sent}, message.joints, message.size))
        sent += 1
        time.sleep(0.002)
    closing = threading.Thread(target=server.close)
    closing.start()
    heard = b"".join(iter(lambda: slow.recv(2**20), b""))
    closing.join()
    slow.close()
    assert heard.count(b'"frame":') == sent
    assert f'"frame":{sent - 1},'.encode() in heard


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_a_listener_that_vanishes_is_forgotten(server, reset) -> None:
    quick: list[dict] = []
    gone = asleep(server.port)
    thread = heard(server.port, quick)
    joined(server, 2)
    if reset:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    joined(server, 1)
    fed(server, 100, readers=(quick,))
    assert server.close() == ""
    thread.join(10)
    assert [f["frame"] for f in quick] == list(range(100))


def test_nobody_needs_to_listen_and_who_comes_late_gets_what_comes_then(server) -> None:
    for _ in range(10):
        fed(server, 10)
        time.sleep(0.05)
    late: list[dict] = []
    thread = heard(server.port, late)
    joined(server, 1)
    fed(server, 10)
    assert server.close() == ""
    thread.join(10)
    assert len(late) == 10


def test_a_listener_that_talks_is_not_heard(server) -> None:
    with connect(f"ws://127.0.0.1:{server.port}") as listener:
        for _ in range(100):
            listener.send("hello")
        joined(server, 1)
        fed(server, 3)
        assert [json.loads(listener.recv(5))["frame"] for _ in range(3)] == [0, 1, 2]
        listener.send("x" * 5000)
        with pytest.raises(ConnectionClosed):
            listener.recv(5)
    joined(server, 0)


def test_too_many_listeners_are_sent_away(server, monkeypatch) -> None:
    monkeypatch.setattr(send, "MOST_LISTENERS", 1)
    with connect(f"ws://127.0.0.1:{server.port}") as first:
        joined(server, 1)
        with (
            connect(f"ws://127.0.0.1:{server.port}") as second,
            pytest.raises(ConnectionClosed, match="1013"),
        ):
            second.recv(5)
        fed(server, 1)
        assert json.loads(first.recv(5))["frame"] == 0


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        (None, True), ("http://localhost:5173", True), ("https://127.0.0.1", True), ("http://[::1]:80", True),
        ("https://elsewhere.example", False), ("http://localhost.elsewhere.example", False), ("null", False),
        ("http://[", False),
    ],
)  # fmt: skip
def test_pages_of_other_servers_may_not_listen(server, origin, taken) -> None:
    if taken:
        with connect(f"ws://127.0.0.1:{server.port}", origin=origin):
            joined(server, 1)
    else:
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{server.port}", origin=origin)


def test_who_only_knocks_leaves_no_trace_on_the_terminal(server, capfd, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's, which a run has not
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff" * 50):
        with socket.create_connection(("127.0.0.1", server.port)) as knocking:
            knocking.sendall(said)
    fed(server, 20)
    server.close()
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- addresses and packages


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("9000", "must begin with"),
        ("127.0.0.1:9000", "must begin with"),
        ("http://127.0.0.1:9000", "must begin with"),
        ("wss://127.0.0.1:9000", "must begin with"),
        ("osc://127.0.0.1", "lacks a host or a port"),
        ("udp://:9000", "lacks a host or a port"),
        ("ws://127.0.0.1:0", "lacks a host or a port"),
        ("osc://127.0.0.1:70000", "lacks a host or a port"),
        ("osc://127.0.0.1:nine", "lacks a host or a port"),
        ("udp://[::1:9000", "lacks a host or a port"),
        ("osc://127.0.0.1:9000/people", "more than a host and a port"),
        ("ws://me:secret@127.0.0.1:9000", "more than a host and a port"),
        ("udp://no..where:9000", "was not found"),
        ("ws://192.0.2.1:9000", "posecli can't listen there"),
    ],
)
def test_a_wrong_address_is_one_sentence_before_any_work(wrong, sentence, clips, tmp_path, capfd) -> None:
    code, _, err = call(capfd, "run", clips / "plain.mp4", "--out", tmp_path / "o.mp4", "--send", wrong)
    assert code == 1
    assert sentence in err and wrong in err
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_one_sentence_and_the_other_addresses_are_let_go(server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        PoseError, match=f"{server.port}: posecli can't listen there .address already in use.; choose"
    ):
        Senders([f"ws://127.0.0.1:{port}", f"ws://127.0.0.1:{server.port}"])
    with Senders([f"ws://127.0.0.1:{port}"]):
        pass


@pytest.mark.parametrize(("kind", "package"), [("osc", "pythonosc"), ("ws", "websockets")])
def test_without_the_package_it_is_said_how_to_install_it(kind, package, monkeypatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PoseError, match=r"pip install 'posecli\[live\]'"):
        Senders([f"{kind}://127.0.0.1:9000"])
    Senders(["udp://127.0.0.1:9000"]).close()


# ---------------------------------------------------------------- runs


def test_a_run_sends_what_it_writes(bus_clip, receiver, tmp_path, capfd) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as osc:
        osc.bind(("127.0.0.1", 0))
        code, _, err = call(
            capfd, "run", bus_clip, "--out", tmp_path / "o.mp4", "--device", "cpu", "--skeleton", "coco17",
            "--send", address("udp", receiver), "--send", address("osc", osc),
        )  # fmt: skip
        messages = osc_of(left_in(osc))
    assert code == 0, err
    assert "not sent" not in err
    written = json.loads((tmp_path / "o.json").read_text())["frames"]
    assert len(written) == 8
    assert [json.loads(d) for d in left_in(receiver)] == written
    frames = [values for name, values in messages if name == "/posecli/frame"]
    assert [f[0] for f in frames] == [f["frame"] for f in written]
    assert {tuple(f[3:]) for f in frames} == {(360, 480)}
    joints = [
        name for name, _ in messages if name.startswith("/posecli/person/") and name.split("/")[4] != "box"
    ]
    assert len(joints) == 17 * sum(len(f["people"]) for f in written)


def test_what_was_not_sent_is_told_and_not_written(bus_clip, receiver, tmp_path, capfd, monkeypatch) -> None:
    monkeypatch.setattr(send, "json_datagrams", lambda record: [bytes(70_000)])
    code, _, err = call(
        capfd,
        "run",
        bus_clip,
        "--out",
        tmp_path / "o.mp4",
        "--device",
        "cpu",
        "--send",
        address("udp", receiver),
    )
    assert code == 0, err
    assert f"8 frames were not sent to {address('udp', receiver)}: message too long." in err
    assert "not sent" not in (tmp_path / "o.json").read_text()


def test_a_resumed_run_sends_only_frames_that_were_not_done(
    bus_clip, receiver, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 3)

    def stop(poses: FramePoses) -> None:
        if poses.frame.index == 4:
            raise KeyboardInterrupt

    def work(resume: bool, watch: Watch) -> list[int]:
        outputs = Outputs(None, None, tmp_path / "o.json")
        networks = Networks("cpu", None, None, False)
        write_poses(
            str(bus_clip), outputs, Choices(), networks, Style(Drawing()), send=[address("udp", receiver)],
            resume=resume, watch=watch,
        )  # fmt: skip
        return [json.loads(d)["frame"] for d in left_in(receiver)]

    with pytest.raises(Interrupted):
        work(False, Watch(written=stop))
    before = [json.loads(d)["frame"] for d in left_in(receiver)]
    assert before[:5] == [0, 1, 2, 3, 4]
    assert work(True, Watch()) == [3, 4, 5, 6, 7]


def test_several_sources_are_refused(clips, tmp_path, capfd) -> None:
    code, _, err = call(
        capfd,
        "run",
        clips / "plain.mp4",
        clips / "sound.mp4",
        "--out",
        tmp_path,
        "--send",
        "udp://127.0.0.1:9000",
    )
    assert code == 2
    assert "--send is for a single source" in err


def test_view_sends_what_it_shows(bus_clip, bus_result, receiver, monkeypatch, capfd) -> None:
    from posecli.cli import window

    class Blind:
        """A window that nobody sees."""

        stopped = False

        def wait(self, milliseconds: int) -> int:
            return -1

        def show(self, image: np.ndarray) -> None:
            assert image.shape == (480, 360, 3)

        def until_stopped(self, frames):
            return frames

        def close(self) -> None:
            pass

    monkeypatch.setattr(window, "Window", Blind)
    written = json.loads(bus_result.read_text())["frames"]
    assert call(capfd, "view", bus_result, bus_clip, "--send", address("udp", receiver))[0] == 0
    assert [json.loads(d)["frame"] for d in left_in(receiver)] == [f["frame"] for f in written]
    assert call(capfd, "view", bus_clip, "--device", "cpu", "--send", address("udp", receiver))[0] == 0
    assert [json.loads(d) for d in left_in(receiver)] == written


def test_messages_are_compact() -> None:
    [datagram] = json_datagrams(frame_record(poses_of(0), BODY19))
    assert datagram.decode() == compact(json.loads(datagram)) + "\n"
