"""Reads local cameras. Frame times come from the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import cv2

from posecli.errors import PoseError
from posecli.sources.video import Trouble
from posecli.types import Frame


@dataclass
class CameraSource:
    """A local camera by number. Times are seconds since it was opened."""

    name: str
    width: int
    height: int
    rate: Fraction
    capture: Any = field(repr=False)
    trouble: Trouble = field(default_factory=Trouble)

    path = None
    live = True
    paced = True
    still = False
    rotation = 0
    stream = None
    origin = Fraction(0)
    sound = None
    time_base = Fraction(1, 1_000_000)
    duration = None
    frame_count = None

    @staticmethod
    def open(number: int) -> CameraSource:
        # Hide OpenCV's own message about a missing camera. The PoseError below replaces it.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
        capture = cv2.VideoCapture(number)
        ok, image = capture.read() if capture.isOpened() else (False, None)
        if not ok or image is None:
            capture.release()
            raise PoseError(f"There is no camera {number}, or another program uses it; try another number.")
        rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
        height, width = image.shape[:2]
        return CameraSource(
            f"camera {number}", width, height, Fraction(rate).limit_denominator(1001), capture
        )

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Yield frames live. `first` is ignored, because earlier frames of a camera can't be read again."""
        start = time.monotonic()
        index = 0
        while True:
            ok, image = self.capture.read()
            if not ok:
                self.trouble.ended = "the camera gave no more pictures"
                return
            stamp = round((time.monotonic() - start) / float(CameraSource.time_base)) * CameraSource.time_base
            yield Frame(index, stamp, image)
            index += 1

    def close(self) -> None:
        self.capture.release()
