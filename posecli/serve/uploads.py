"""Stores uploads under names of the server, and opens them only as the declared kind of file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import av

from posecli.errors import PoseError
from posecli.files import local
from posecli.serve.guard import TooLarge
from posecli.sources.photos import photo_size

MAX_PIXELS = 60_000_000  # of a photo, and of a frame
# Containers that hold their own bytes. A playlist is none: it makes a reader fetch files and addresses.
FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,gif,ogg,asf,mxf,mpegvideo,m4v,h264,hevc,ivf"
SAFE = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}


async def stored(pieces: AsyncIterator[bytes], path: Path) -> int:
    """Write what comes; returns how many bytes."""
    size = 0
    with path.open("wb") as file:
        async for piece in pieces:
            file.write(piece)
            size += len(piece)
    return size


def check_photo(path: Path) -> None:
    """Raise PoseError for what is no photo, or one of too many pixels, before it is decoded."""
    size = photo_size(path)
    if size is None:
        raise PoseError("This is not a photo that can be read.")
    if size[0] * size[1] > MAX_PIXELS:
        raise TooLarge(
            f"The photo has {size[0]}x{size[1]} pixels; at most {MAX_PIXELS // 10**6} million are taken."
        )


def check_video(path: Path, max_seconds: float) -> None:
    """Raise PoseError for what is no video with all its bytes in this file, too large or too long."""
    try:
        with av.open(local(path), options=SAFE) as container:
            if not container.streams.video:
                raise PoseError("This file holds no video.")
            context = container.streams.video[0].codec_context
            if context.width * context.height > MAX_PIXELS:
                raise TooLarge(f"The video has {context.width}x{context.height} pixels, which is too many.")
            seconds = (container.duration or 0) / av.time_base
            if seconds > max_seconds:
                raise TooLarge(f"The video is {seconds:.0f} s long; at most {max_seconds:.0f} s are taken.")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise PoseError("This is not a video that can be read, or it refers to other files.") from error
