"""The names of the stages of a run, and their timer, which `bench` uses in a real run."""

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
    """The same items; how long each took to come is timed."""
    stream = iter(items)
    while True:
        with timer(stage):
            item = next(stream, None)
        if item is None:
            return
        yield item
