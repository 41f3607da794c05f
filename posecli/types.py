"""The data types of posecli, with shape, dtype and unit of each array.

Coordinates are 0-based pixels of the upright display picture; integers are pixel centres,
x grows to the right, y downwards. A box (x, y, w, h) covers [x - 0.5, x + w - 0.5); as xyxy,
x2 = x + w is exclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]

IMPLAUSIBLE = "implausible"  # flag of joints that can't be right


@dataclass(frozen=True)
class Frame:
    """One picture of a source, upright and in display pixels."""

    index: int  # place in the source, 0-based
    time: Fraction  # presentation time in seconds
    image: Image  # (H, W, 3) uint8 BGR; of photos in a folder each in its own size
    flags: tuple[str, ...] = ()  # such as "damaged"
    photo: Photo | None = None  # which photo of a folder this is


@dataclass(frozen=True)
class Photo:
    """A photo among others. Its people's coordinates are pixels of this photo."""

    name: str
    width: int  # upright
    height: int


@dataclass(frozen=True)
class Sound:
    """The audio tracks of a file."""

    path: str
    codecs: tuple[str, ...]  # of each track, in ffmpeg's names; "" where nobody knows it


@dataclass(frozen=True)
class Boxes:
    """People found in one frame."""

    xyxy: Array  # (N, 4) float32, frame pixels
    scores: Array  # (N,) float32 in [0, 1]

    def __len__(self) -> int:
        return len(self.xyxy)

    def take(self, keep: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Boxes:
        return Boxes(self.xyxy[keep], self.scores[keep])

    @staticmethod
    def none() -> Boxes:
        return Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True)
class Person:
    """One person in one frame."""

    track: int | None  # the same number for the same person; None without tracking
    score: float  # the box's score in [0, 1]
    box: Array  # (4,) float32 xyxy, frame pixels
    keypoints: (
        Array  # (K, 3) float32: x, y in frame pixels, confidence in [0, 1]; a missing joint is NaN, NaN, 0
    )
    flags: tuple[str, ...] = ()
    marks: Mapping[str, Flags] = field(default_factory=dict)  # (K,) by flag: which joints it is about


@dataclass(frozen=True)
class FramePoses:
    """A frame and everybody in it: what `posecli.run` yields and what the sinks write."""

    frame: Frame
    people: tuple[Person, ...] = ()
    heatmaps: tuple[Heatmaps, ...] = field(default=(), repr=False)
    seen: Seen | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Chosen:
    """The bounding boxes of the selected people in each frame of the source; the network runs on these only."""

    numbers: tuple[int, ...]
    boxes: dict[int, Boxes]
    ids: dict[int, list[int | None]]  # whose those boxes are

    def boxes_at(self, index: int) -> Boxes:
        return self.boxes.get(index, Boxes.none())


@dataclass(frozen=True)
class Followed:
    """A frame with its boxes, before their joints are known."""

    frame: Frame
    finds: Boxes  # what the detector found, or what stands for it between two looks
    boxes: Boxes  # those of them that are people
    ids: list[int | None]  # (N,) the tracker's; None without tracking


@dataclass(frozen=True)
class Seen:
    """The exact state of the tracker after a frame, so that a run can continue without the picture."""

    index: int  # of the frame
    time: Fraction  # of the frame, in seconds
    boxes: Boxes  # what the tracker was given
    shown: tuple[int, ...]  # rows of the boxes that it followed, which were people
    people: tuple[Person, ...]  # with the joints of the network's own skeleton


@dataclass(frozen=True)
class Heatmaps:
    """The heatmaps of one person's joints, kept only if they are drawn."""

    maps: Array  # (stacks, K, h, w) float32, about 1 where the network is sure
    affine: Array  # (2, 3) float64, crop pixels -> frame pixels
    crop_size: tuple[int, int]  # (height, width) of the crop in pixels
