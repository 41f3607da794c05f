"""Sends the people of each frame to other programs by OSC, UDP and web sockets. The run never waits for them."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from posecli.errors import PoseError
from posecli.optional import library
from posecli.output.document import compact, frame_record
from posecli.skeletons import Skeleton
from posecli.types import FramePoses

WAITING = 32  # messages that wait for an address or a listener before the oldest is dropped
MOST_BYTES = 8192  # of a datagram with several people: macOS refuses more than 9216 by default
MOST_LISTENERS = 32
PATIENCE_SECONDS = 1.0  # for what still waits when the run is over
QUIET = logging.getLogger("posecli.send")
QUIET.addHandler(logging.NullHandler())  # who knocks at the port and goes again is no news for the terminal


@dataclass(frozen=True)
class Message:
    """One frame as it is sent."""

    record: dict[str, Any]  # as it stands in our JSON
    joints: tuple[str, ...]
    size: tuple[int, int]  # width, height of the picture in pixels


class Sender(Protocol):
    """One address."""

    def send(self, message: Message) -> None:
        """Take a message. Never waits."""

    def close(self) -> str:
        """Send what still waits, but not for long; says in a sentence what was not sent, "" if all was."""


class Senders(AbstractContextManager["Senders"]):
    """All addresses that the user names."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """addresses: such as osc://127.0.0.1:9000. Raises PoseError for one that can't be used."""
        self._senders: list[Sender] = []
        try:
            for address in dict.fromkeys(addresses):
                self._senders.append(opened(address))
        except BaseException:
            self.close()
            raise

    def passing(self, frames: Iterable[FramePoses], skeleton: Skeleton) -> Iterable[FramePoses]:
        """The same frames, each sent when it passes."""
        return self._each_sent(frames, skeleton) if self._senders else frames

    def _each_sent(self, frames: Iterable[FramePoses], skeleton: Skeleton) -> Iterator[FramePoses]:
        try:
            for poses in frames:
                self.send(poses, skeleton)
                yield poses
        finally:
            if isinstance(frames, Generator):
                frames.close()

    def send(self, poses: FramePoses, skeleton: Skeleton) -> None:
        """Send a frame to all addresses. Never waits."""
        if not self._senders:
            return
        height, width = poses.frame.image.shape[:2]
        message = Message(frame_record(poses, skeleton), skeleton.joints, (width, height))
        for sender in self._senders:
            sender.send(message)

    def close(self) -> list[str]:
        """Send what still waits, but not for long; says in sentences what was not sent. A second call says nothing."""
        senders, self._senders = self._senders, []
        return [told for sender in senders if (told := sender.close())]

    def __exit__(self, *_: object) -> None:
        self.close()


def opened(address: str) -> Sender:
    """The sender of an address. Raises PoseError if it can't be used."""
    kind, host, port = split_address(address)
    if kind == "osc":
        return Datagrams(address, host, port, osc_datagrams())
    if kind == "udp":
        return Datagrams(address, host, port, lambda message: json_datagrams(message.record))
    return Listeners(address, host, port)


def split_address(address: str) -> tuple[str, str, int]:
    """ "osc://127.0.0.1:9000" -> ("osc", "127.0.0.1", 9000). Raises PoseError for what is no address."""
    try:
        parts = urlsplit(address)
        kind, host, port = parts.scheme, parts.hostname, parts.port
        more: tuple[object, ...] = (
            parts.path not in ("", "/"),
            parts.query,
            parts.fragment,
            parts.username,
            parts.password,
        )
    except ValueError:  # no number, above 65535, or a bracket too many
        kind, host, port, more = address.partition(":")[0], None, None, ()
    if kind not in ("osc", "udp", "ws"):
        raise PoseError(
            f"--send {address} must begin with osc://, udp:// or ws://, such as osc://127.0.0.1:9000."
        )
    if not host or not port:
        raise PoseError(
            f"--send {address} lacks a host or a port from 1 to 65535; give both, such as {kind}://127.0.0.1:9000."
        )
    if any(more):
        raise PoseError(
            f"--send {address} has more than a host and a port; give only these, such as {kind}://127.0.0.1:9000."
        )
    return kind, host, port


class Datagrams:
    """Sends each frame by UDP, whether somebody listens or not."""

    def __init__(self, address: str, host: str, port: int, packed: Callable[[Message], list[bytes]]) -> None:
        """packed: the datagrams of a message. Raises PoseError for a host that nobody knows."""
        self._address, self._packed = address, packed
        family, self._to = _resolved(address, host, port)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._waiting: queue.Queue[Message | None] = queue.Queue(WAITING)
        self._dropped = self._failed = 0  # counted by one thread each
        self._why = "they came faster than they could be sent"
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        self._dropped += put_newest(self._waiting, message)

    def close(self) -> str:
        self._dropped += put_newest(self._waiting, None)
        self._thread.join(PATIENCE_SECONDS)
        # Where the thread is stuck, what ends the queue counts for the frame that it is stuck at.
        unsent = self._dropped + self._failed + self._waiting.qsize()
        self._socket.close()
        return f"{unsent} frames were not sent to {self._address}: {self._why}." if unsent else ""

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            try:
                for datagram in self._packed(message):
                    self._socket.sendto(datagram, self._to)
            except OSError as error:  # no way there, or the network is gone
                self._failed += 1
                self._why = (error.strerror or str(error)).lower()


def _resolved(address: str, host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise PoseError(f"--send {address}: the host {host} was not found; check its name.") from error
    # Programs that listen at `localhost` mostly do so on IPv4.
    family, _, _, _, to = min(found, key=lambda f: f[0] != socket.AF_INET)
    return family, to


def json_datagrams(record: dict[str, Any]) -> list[bytes]:
    """A frame as a line of JSON; one with many people as several, each with some of them."""
    data = (compact(record) + "\n").encode()
    people = record["people"]
    if len(data) <= MOST_BYTES or len(people) < 2:
        return [data]
    half = len(people) // 2
    parts = ({**record, "people": some} for some in (people[:half], people[half:]))
    return [datagram for part in parts for datagram in json_datagrams(part)]


def osc_datagrams() -> Callable[[Message], list[bytes]]:
    """What makes OSC bundles of a message: one for each person, and a last one for the frame. Raises PoseError without
    the package."""
    messages = library("pythonosc.osc_message_builder", "live")
    bundles = library("pythonosc.osc_bundle_builder", "live")

    def bundle(items: Sequence[tuple[str, str, Sequence[float]]]) -> bytes:
        built = bundles.OscBundleBuilder(bundles.IMMEDIATELY)
        for address, types, values in items:
            message = messages.OscMessageBuilder(f"/posecli/{address}")
            for kind, value in zip(types, values, strict=True):
                message.add_arg(value, kind)
            built.add_content(message.build())
        return bytes(built.build().dgram)

    def datagrams(message: Message) -> list[bytes]:
        record, people = message.record, message.record["people"]
        tracks = [n if p["track"] is None else p["track"] for n, p in enumerate(people, 1)]
        made = [
            bundle(_osc_person(track, person, message.joints))
            for track, person in zip(tracks, people, strict=True)
        ]
        whole = (record["frame"], record["time"], len(people), *message.size)
        return [*made, bundle([("tracks", "i" * len(tracks), tracks), ("frame", "ifiii", whole)])]

    return datagrams


def _osc_person(
    track: int, person: dict[str, Any], joints: tuple[str, ...]
) -> list[tuple[str, str, list[float]]]:
    """The box and all joints that are not missing."""
    found = [(f"person/{track}/box", "fffff", [*person["box"], person["score"]])]
    for joint, (x, y, confidence) in zip(joints, person["keypoints"], strict=True):
        if x is not None:
            found.append((f"person/{track}/{joint}", "fff", [x, y, confidence]))
    return found


class Listeners:
    """A web socket server: each frame as a JSON text to whoever is connected. Each listener has a queue of its own, so a
    slow one holds up nobody."""

    def __init__(self, address: str, host: str, port: int) -> None:
        """port: 0 takes a free one, see `port`. Raises PoseError without the package, or where nobody can listen."""
        self._address = address
        self._library = library("websockets.asyncio.server", "live")
        self._closed: type[Exception] = library("websockets.exceptions", "live").ConnectionClosed
        self._hosts = {"localhost", "127.0.0.1", "::1", host}
        self._coming: queue.Queue[Message] = queue.Queue(WAITING)
        self._listeners: dict[asyncio.Queue[str | None], asyncio.Task[Any] | None] = {}
        self._dropped = self._late = 0  # counted by one thread each
        ready: Future[int] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(host, port, ready)), daemon=True
        )
        self._thread.start()
        try:
            self.port = ready.result()
        except (OSError, UnicodeError) as error:
            raise PoseError(
                f"--send {address}: posecli can't listen there ({_reason(error)}); choose another port, or an address of "
                f"this machine."
            ) from error

    def send(self, message: Message) -> None:
        self._dropped += put_newest(self._coming, message)
        self._loop.call_soon_threadsafe(self._hand_out)

    def close(self) -> str:
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(4 * PATIENCE_SECONDS)
        missed = self._dropped + self._late
        return (
            f"{missed} frames did not reach listeners of {self._address} that were too slow."
            if missed
            else ""
        )

    async def _serve(self, host: str, port: int, ready: Future[int]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await self._library.serve(
                self._feed, host, port, process_request=self._admit, compression=None, max_size=1024,
                close_timeout=PATIENCE_SECONDS, logger=QUIET, server_header=None,
            )  # fmt: skip
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(server.sockets[0].getsockname()[1])
        await self._over.wait()
        for waiting in self._listeners:
            self._late += put_newest(waiting, None)
        if feeding := [task for task in self._listeners.values() if task is not None]:
            await asyncio.wait(feeding, timeout=PATIENCE_SECONDS)
        server.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 2 * PATIENCE_SECONDS)

    def _admit(self, connection: Any, request: Any) -> Any:
        """None, or what is answered to pages of other servers: any page in a browser can ask for this address."""
        for origin in request.headers.get_all("Origin"):
            if _host_of(origin) not in self._hosts:
                return connection.respond(403, "Pages of other servers may not listen here.\n")
        return None

    def _hand_out(self) -> None:
        with suppress(queue.Empty):
            message = self._coming.get_nowait()
            text = compact(message.record) if self._listeners else ""
            for waiting in self._listeners:
                self._late += put_newest(waiting, text)

    async def _feed(self, connection: Any) -> None:
        if len(self._listeners) >= MOST_LISTENERS:
            await connection.close(1013, f"At most {MOST_LISTENERS} listeners.")
            return
        waiting: asyncio.Queue[str | None] = asyncio.Queue(WAITING)
        self._listeners[waiting] = asyncio.current_task()
        reading = asyncio.create_task(self._until_gone(connection, waiting))
        try:
            while (text := await waiting.get()) is not None:
                await connection.send(text)
        except self._closed:
            pass
        finally:
            del self._listeners[waiting]
            reading.cancel()

    async def _until_gone(self, connection: Any, waiting: asyncio.Queue[str | None]) -> None:
        """What a listener says is read, so that it can't pile up, and forgotten."""
        with suppress(self._closed):
            async for _ in connection:
                pass
        put_newest(waiting, None)


def put_newest(waiting: queue.Queue[Any] | asyncio.Queue[Any], item: Any) -> bool:
    """Put an item into a queue that one thread alone fills; True if the oldest had to go for it."""
    dropped = False
    if waiting.full():
        with suppress(queue.Empty, asyncio.QueueEmpty):
            waiting.get_nowait()
            dropped = True
    waiting.put_nowait(item)
    return dropped


def _reason(error: OSError | UnicodeError) -> str:
    """asyncio tells a whole sentence where the system has two words."""
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return str(error)


def _host_of(origin: str) -> str | None:
    """None for "null", which pages in files and in sandboxes have: any page can open a sandbox."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
