"""The stages of a run, and the timer that `bench` uses to measure them in a real run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

Stage = Literal["decode", "detect", "track", "crop", "network", "heatmaps", "draw", "encode", "write"]
Timer = Callable[[Stage], AbstractContextManager[object]]  # called by several threads
T = TypeVar("T")


def untimed(_: Stage) -> AbstractContextManager[object]:
    return nullcontext()


def each_timed(items: Iterable[T], stage: Stage, timer: Timer) -> Iterator[T]:
    """Yield the items, and time how long each one takes to arrive."""
    stream = iter(items)
    while True:
        with timer(stage):
            item = next(stream, None)
        if item is None:
            return
        yield item
