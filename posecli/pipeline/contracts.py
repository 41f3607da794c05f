"""The interfaces of detector, network, source and tracker. Tests replace them with small stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Protocol

from posecli.skeletons import Skeleton
from posecli.sources.video import Trouble
from posecli.stages import Timer
from posecli.types import Array, Boxes, Frame, Heatmaps, Image, Sound


class Source(Protocol):
    """A video, photos, a camera or a stream, opened."""

    name: str
    width: int  # upright display pixels
    height: int
    rate: Fraction  # nominal; nothing but headers and progress bars goes by it
    trouble: Trouble

    @property
    def time_base(self) -> Fraction: ...
    @property
    def duration(self) -> float | None: ...  # seconds
    @property
    def frame_count(self) -> int | None: ...
    @property
    def origin(self) -> Fraction: ...  # seconds: where its times begin
    @property
    def rotation(self) -> int: ...
    @property
    def stream(self) -> int | None: ...  # the video stream that was asked for
    @property
    def sound(self) -> Sound | None: ...
    @property
    def live(self) -> bool: ...  # what has passed can't be had again
    @property
    def paced(self) -> bool: ...  # comes in real time, whether or not somebody keeps up
    @property
    def still(self) -> bool: ...  # photos need not have to do with each other

    def frames(self, first: int = 0) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class Detector(Protocol):
    """Finds people in a picture."""

    def find(self, image: Image, confidence: float | None = None) -> Boxes: ...


class KnowsBones(Protocol):
    @property
    def bones(self) -> Skeleton: ...


class Estimator(Protocol):
    """Places the joints of people in boxes."""

    @property
    def spec(self) -> KnowsBones: ...

    def estimate_with_maps(
        self, images: Sequence[Image], boxes: Sequence[Array], keep: bool, timer: Timer
    ) -> list[tuple[Array, tuple[Heatmaps, ...]]]: ...


class Tracker(Protocol):
    """Says which box of a frame belongs to which box of the frames before."""

    def update(self, boxes: Boxes, time: Fraction) -> list[int | None]: ...
