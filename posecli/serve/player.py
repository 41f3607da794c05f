"""Single pictures of a video, one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from posecli.errors import PoseError
from posecli.sources.open import OpenedSource, open_source
from posecli.types import Frame

SLACK = 1e-3  # seconds
KEPT = 200 << 20  # bytes of frames that were shown, for steps back


class Player:
    """The video that was looked at last, kept open: stepping on does not decode it from its start again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._source: OpenedSource | None = None
        self._frames: Iterator[Frame] = iter(())
        self._shown: deque[Frame] = deque()

    def at(self, path: Path, time: float) -> Frame:
        """The first frame at or after a time, or the last one; raises PoseError for a video without frames."""
        with self._lock:
            if path != self._path or not self._shown or time < float(self._shown[0].time) - SLACK:
                self._open(path)
            for frame in self._shown:
                if float(frame.time) >= time - SLACK:
                    return frame
            for frame in self._frames:
                self._shown.append(frame)
                if len(self._shown) * frame.image.nbytes > KEPT and len(self._shown) > 1:
                    self._shown.popleft()
                if float(frame.time) >= time - SLACK:
                    break
            if not self._shown:
                raise PoseError("The video has no frames.")
            return self._shown[-1]

    def close(self) -> None:
        """Let go of the file, which may then be deleted."""
        with self._lock:
            self._close()

    def _open(self, path: Path) -> None:
        self._close()
        self._source = open_source(str(path))
        self._path, self._frames = path, iter(self._source)

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._path, self._source, self._frames = None, None, iter(())
        self._shown.clear()
