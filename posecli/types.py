"""The data types of posecli, with shape, dtype and unit of each array.

Coordinates are 0-based pixels of the upright frame as displayed. Integers are pixel centres. x grows to the
right and y downwards. A box (x, y, w, h) covers [x - 0.5, x + w - 0.5). In xyxy form, x2 = x + w is exclusive.
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

IMPLAUSIBLE = "implausible"  # flag for joints that are probably wrong


@dataclass(frozen=True)
class Frame:
    """One frame of a source, upright and in display pixels."""

    index: int  # position in the source, 0-based
    time: Fraction  # presentation time in seconds
    image: Image  # (H, W, 3) uint8 BGR; photos in a folder may differ in size
    flags: tuple[str, ...] = ()  # such as "damaged"
    photo: Photo | None = None  # the photo, if the source is a folder of photos


@dataclass(frozen=True)
class Photo:
    """A photo of a folder. The coordinates of its people are pixels of this photo."""

    name: str
    width: int  # pixels, upright
    height: int  # pixels, upright


@dataclass(frozen=True)
class Sound:
    """The audio tracks of a file."""

    path: str
    codecs: tuple[str, ...]  # ffmpeg's name of each track's codec; "" if unknown


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

    track: int | None  # track ID; None without tracking
    score: float  # detection confidence in [0, 1]
    box: Array  # (4,) float32 xyxy, frame pixels
    # (K, 3) float32: x, y in frame pixels, confidence in [0, 1]. A missing joint is NaN, NaN, 0.
    keypoints: Array
    flags: tuple[str, ...] = ()
    marks: Mapping[str, Flags] = field(default_factory=dict)  # for each flag, which joints (K,) have it


@dataclass(frozen=True)
class FramePoses:
    """A frame and the people in it. `posecli.run` yields these, and the output files are written from them."""

    frame: Frame
    people: tuple[Person, ...] = ()
    heatmaps: tuple[Heatmaps, ...] = field(default=(), repr=False)
    seen: Seen | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Chosen:
    """The bounding boxes of the selected people. The keypoint network runs on these only."""

    numbers: tuple[int, ...]  # track IDs
    boxes: dict[int, Boxes]  # by frame index
    ids: dict[int, list[int | None]]  # track ID of each of these boxes, by frame index

    def boxes_at(self, index: int) -> Boxes:
        return self.boxes.get(index, Boxes.none())


@dataclass(frozen=True)
class Followed:
    """A frame with its bounding boxes, before the joints are predicted."""

    frame: Frame
    finds: Boxes  # detections, or predicted boxes in frames where the detector does not run
    boxes: Boxes  # the boxes among them that count as people
    ids: list[int | None]  # (N,) track IDs; None without tracking


@dataclass(frozen=True)
class Seen:
    """The tracker's input and output in a frame. With it, an interrupted run can be resumed without the image."""

    index: int  # of the frame
    time: Fraction  # of the frame, in seconds
    boxes: Boxes  # input of the tracker
    shown: tuple[int, ...]  # rows of the tracked boxes that count as people
    people: tuple[Person, ...]  # with the joints of the network's own skeleton


@dataclass(frozen=True)
class Heatmaps:
    """The heatmaps of one person. They are kept only if they are drawn."""

    maps: Array  # (stacks, K, h, w) float32, about 1 at a joint with high confidence
    affine: Array  # (2, 3) float64, crop pixels -> frame pixels
    crop_size: tuple[int, int]  # (height, width) of the crop in pixels
