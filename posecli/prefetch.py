"""A thread that works ahead: it decodes before the networks need a frame, and runs the networks before the writer does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
MOST, LEAST = 8, 2  # pictures that wait between two stages
WAITING = 2**26  # bytes that they may take, if that allows LEAST


def room(width: int, height: int) -> int:
    """How many BGR pictures of a size may wait between two stages: fewer of large ones."""
    return max(LEAST, min(MOST, WAITING // (3 * width * height)))


def ahead(items: Iterable[T], depth: int, drop: Callable[[], None] | None = None) -> Generator[T, None, None]:
    """The same items, fetched by a thread up to `depth` before they are asked for. Closed, it ends the thread.

    drop: called for each item that is passed over, the oldest, because there is no room for a new one;
    None: the thread waits instead.
    """
    box: queue.Queue[tuple[str, object]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: object) -> bool:
        while not stopped.is_set():
            try:
                box.put((kind, value), timeout=0.1 if drop is None or kind != "item" else 0)
                return True
            except queue.Full:
                if drop is not None and kind == "item":
                    with suppress(queue.Empty):
                        box.get_nowait()
                        drop()
        return False

    def fetch() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # raised again where the items are used
            put("error", error)
        finally:
            if isinstance(items, Generator):  # its own threads and files end with it
                items.close()

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = box.get()
            if kind == "end":
                return
            if kind == "error":
                raise value  # type: ignore[misc]
            yield value  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join(timeout=5)
