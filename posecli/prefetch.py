"""Prefetching in a thread, so that decoding, networks and writing run at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
MOST, LEAST = 8, 2  # maximum and minimum size of a queue between two stages, in frames
THREAD = "posecli fetches ahead"
WAITING = 2**26  # maximum size of a queue in bytes, unless LEAST frames need more


def room(width: int, height: int) -> int:
    """Queue size in frames for BGR images of this size. Smaller for large images."""
    return max(LEAST, min(MOST, WAITING // (3 * width * height)))


def still_fetching() -> bool:
    """Whether a thread of `ahead` still runs, for example in a network that takes long for its frames."""
    return any(thread.name == THREAD for thread in threading.enumerate())


def ahead(items: Iterable[T], depth: int, drop: Callable[[], None] | None = None) -> Generator[T, None, None]:
    """Yield the items. A thread fetches up to `depth` of them in advance. Closing the generator ends the thread.

    drop: if the queue is full, the oldest item is dropped and this function is called. None: the thread waits.
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
        except BaseException as error:  # raised again in the consumer
            put("error", error)
        finally:
            if isinstance(items, Generator):  # closes its threads and files
                items.close()

    thread = threading.Thread(target=fetch, name=THREAD, daemon=True)
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
