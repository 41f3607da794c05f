"""A window that shows frames live."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator

import cv2

from posecli.errors import PoseError
from posecli.types import FramePoses, Image

TITLE = "posecli"
INK, PAPER = (255, 255, 255), (0, 0, 0)
RECENT = 30  # number of frames for the displayed frame rate
QUIT = (ord("q"), 27)  # q, Esc


class Window:
    """Shows frames until the user presses q or closes the window. `stopped` is then True."""

    def __init__(self) -> None:
        """Raises PoseError if no window can be opened."""
        if sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            # Without a display, OpenCV's window library would end the whole process.
            raise PoseError(_sentence("there is no screen"))
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise PoseError(_sentence("this OpenCV was built without windows")) from error
        self.stopped = self._sized = False
        self._shown: deque[float] = deque(maxlen=RECENT)

    def show(self, image: Image) -> None:
        """Show an image (H, W, 3) uint8 BGR with the current frame rate."""
        if self.stopped:
            return
        if not self._sized:
            share = min(1.0, 1280 / image.shape[1], 720 / image.shape[0])
            cv2.resizeWindow(TITLE, round(image.shape[1] * share), round(image.shape[0] * share))
            self._sized = True
        self._shown.append(time.monotonic())
        picture = image.copy()
        if len(self._shown) > 1:
            speed = (len(self._shown) - 1) / max(self._shown[-1] - self._shown[0], 1e-6)
            for colour, width in ((PAPER, 3), (INK, 1)):
                cv2.putText(
                    picture, f"{speed:.1f} frames/s   q: stop", (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, width, cv2.LINE_AA,
                )  # fmt: skip
        cv2.imshow(TITLE, picture)
        self.wait(1)

    def wait(self, milliseconds: int) -> int:
        """Process window events for so many milliseconds. Returns the key that was pressed, or -1."""
        key = cv2.waitKey(max(1, milliseconds)) & 0xFF
        try:
            closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:
            closed = True
        if key in QUIT or (closed and self._sized):
            self.stopped = True
        return -1 if key == 0xFF else key

    def until_stopped(self, frames: Iterable[FramePoses]) -> Iterator[FramePoses]:
        """Yield frames until the user stops, then close their source."""
        try:
            for poses in frames:
                yield poses
                if self.stopped:
                    return
        finally:
            if isinstance(frames, Generator):
                frames.close()

    def close(self) -> None:
        try:
            cv2.destroyWindow(TITLE)
        except cv2.error:
            return  # the user has closed the window


def _sentence(why: str) -> str:
    return f"No window can be opened here: {why}. Make a page to look at instead: posecli report RESULT.json."
