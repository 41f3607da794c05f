"""Finds and tracks people in pictures that arrive over a web socket."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from PIL import Image
from starlette.concurrency import run_in_threadpool

from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.engines.load import Networks
from posecli.errors import PoseError
from posecli.output.document import frame_record
from posecli.pipeline.choices import Choices
from posecli.pipeline.interpolation import Looks
from posecli.pipeline.loop import in_skeleton
from posecli.pipeline.people import People
from posecli.types import Frame, FramePoses

MAX_SIDE = 4096  # pixels of a live picture
MAX_BYTES = 8 * 2**20
router = APIRouter()


class Live:
    """The networks for single pictures, live ones and photos: their own, so that they never wait for a video's."""

    def __init__(self, device: str) -> None:
        self._networks = Networks(device)
        self._lock = threading.Lock()
        self.busy = 0  # pictures that are being worked on, or wait

    @contextmanager
    def networks(self) -> Iterator[tuple[Estimator, Detector]]:
        """The networks, for one thread at a time: an engine works on one request."""
        with self._lock:
            yield self._networks.loaded


@router.websocket("/v1/live")
async def stream(socket: WebSocket) -> None:
    """JPEG pictures in, one frame of our JSON out for each that was worked on. The newest picture wins: those that came
    before it are passed over."""
    live: Live = socket.app.state.live
    await socket.accept()
    session = Session(live)
    newest: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    def put(data: bytes | None) -> None:
        if newest.full():
            newest.get_nowait()
        newest.put_nowait(data)

    async def receive() -> None:
        try:
            while True:
                data = await socket.receive_bytes()
                put(data if len(data) <= MAX_BYTES else b"")
        except (WebSocketDisconnect, RuntimeError, KeyError):
            put(None)

    receiving = asyncio.create_task(receive())
    try:
        while (data := await newest.get()) is not None:
            live.busy += 1
            try:
                answer = await run_in_threadpool(session.work, data)
            except PoseError as error:
                answer = {"error": str(error)}
            finally:
                live.busy -= 1
            await socket.send_json(answer)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        receiving.cancel()


class Session:
    """One camera."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._choices = Choices()
        self._people, self._looks = People(self._choices), Looks(None)
        self._began, self._index = time.monotonic(), 0

    def work(self, data: bytes) -> dict[str, Any]:
        """A JPEG or PNG -> one frame as it stands in our JSON; raises PoseError for what is none."""
        image = decoded(data)
        now = Fraction(round((time.monotonic() - self._began) * 1e6), 10**6)
        frame = Frame(self._index, now, image)
        with self._live.networks() as (estimator, detector):
            boxes = detector.find(image) if self._looks.due(self._index, now) else None
            followed = self._people.follow(frame, boxes)
            [(keypoints, _)] = estimator.estimate_with_maps([image], [followed.boxes.xyxy], keep=False)
            shown, _, _ = self._people.show(followed, keypoints)
        self._index += 1
        poses = FramePoses(frame, in_skeleton(shown, estimator, self._choices))
        return frame_record(poses, estimator.spec.bones)


def decoded(data: bytes) -> Any:
    """(H, W, 3) BGR; raises PoseError, before decoding, for pictures that are too large."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            size = picture.size
    except Exception as error:
        raise PoseError("This is no JPEG or PNG.") from error
    if max(size) > MAX_SIDE:
        raise PoseError(f"The picture has {size[0]}x{size[1]} pixels; at most {MAX_SIDE} a side are taken.")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise PoseError("This is no JPEG or PNG.")
    return image
