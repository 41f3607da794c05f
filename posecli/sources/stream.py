"""Reads video streams from a URL, and reconnects to a broken stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from posecli.errors import PoseError
from posecli.sources.video import VideoSource
from posecli.types import Frame

WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds before each attempt to reconnect


@dataclass
class StreamSource(VideoSource):
    """A video at a URL.

    A stream without a duration is live (`paced`). A slow reader then loses frames, and a broken connection is opened
    again.
    """

    options: dict[str, str] | None = None

    @staticmethod
    def reach(address: str) -> StreamSource:
        """Open an rtsp://, http:// or other URL. Raises PoseError if there is no stream."""
        options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
        video = VideoSource.open(address, live=True, options=options)
        values = {name: getattr(video, name) for name in video.__dataclass_fields__}
        stream = StreamSource(**values, options=options)
        stream.paced = stream.duration is None
        return stream

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Yield frames live. After a reconnect, times continue by the clock, and indices continue without a gap."""
        index, offset, last = 0, Fraction(0), Fraction(0)
        heard = time.monotonic()
        broken = False
        while True:
            for frame in super().frames():
                if broken:  # times of a new connection can start anywhere
                    silence = round((time.monotonic() - heard) / float(self.time_base)) * self.time_base
                    offset, broken = last + max(silence, self.time_base) - frame.time, False
                last, heard = frame.time + offset, time.monotonic()
                if index >= first:
                    yield replace(frame, index=index, time=last)
                index += 1
            if not self.paced or not self._reached_again():
                return
            broken = True

    def _reached_again(self) -> bool:
        self.container.close()
        for wait in WAITS:
            time.sleep(wait)
            try:
                again = VideoSource.open(self.path, live=True, options=self.options)
            except PoseError:
                continue
            self.container, self.early = again.container, again.early
            self.trouble.reconnected += 1
            self.trouble.ended = ""
            return True
        self.trouble.ended = f"the stream broke off and did not come back within {sum(WAITS):.0f} s"
        return False
