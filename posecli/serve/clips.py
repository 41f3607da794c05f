"""Uploaded videos that are not started yet: their size, their pictures, and the people to choose from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from posecli.errors import PoseError
from posecli.serve.jobs import Jobs
from posecli.serve.parts import Missing, Sent, Settings, TheJobs, TheLive, ThePlayer, TheSettings, received
from posecli.serve.uploads import check_video
from posecli.sources.open import open_source

router = APIRouter()


@router.post("/v1/clips", status_code=201)
async def upload(request: Request, jobs: TheJobs, settings: TheSettings) -> JSONResponse:
    """A video that is worked on later: its id and its size."""
    number, video = await received_video(request, jobs, settings)
    told = await run_in_threadpool(_size, video.path)
    known = {"name": video.name, "upload": video.path.name}
    (jobs.folder / number / "clip.json").write_text(json.dumps(known), encoding="utf-8")
    return JSONResponse({"id": number, "name": video.name, **told}, 201)


@router.get("/v1/clips/{number}/frame.jpg")
def frame(number: str, jobs: TheJobs, player: ThePlayer, time: float = Query(0.0, ge=0)) -> Response:
    """The picture at a time, without skeletons: to choose people on, and to correct joints."""
    ok, data = cv2.imencode(
        ".jpg", player.at(clip(jobs, number).path, time).image, [cv2.IMWRITE_JPEG_QUALITY, 90]
    )
    if not ok:
        raise PoseError("The picture can't be encoded.")
    return Response(data.tobytes(), media_type="image/jpeg")


@router.get("/v1/clips/{number}/people")
def people(
    number: str, jobs: TheJobs, live: TheLive, player: ThePlayer, time: float = Query(0.0, ge=0)
) -> dict[str, Any]:
    """Bounding boxes x, y, width, height of the people at a time."""
    found = player.at(clip(jobs, number).path, time)
    with live.networks() as (_, detector):
        boxes = detector.find(found.image)
    shown = [[round(float(v), 1) for v in (x1, y1, x2 - x1, y2 - y1)] for x1, y1, x2, y2 in boxes.xyxy]
    return {"time": float(found.time), "people": shown}


async def received_video(request: Request, jobs: Jobs, settings: Settings) -> tuple[str, Sent]:
    """(id, video): stored in a folder of its own, and checked; nothing stays of one that can't be taken."""
    number, folder = jobs.new_folder()
    try:
        video = await received(request, folder / "upload")
        await run_in_threadpool(check_video, video.path, settings.max_seconds)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return number, video


def clip(jobs: Jobs, number: str) -> Sent:
    """A video that was sent; raises Missing. Ids are our own, so that no other path can be meant."""
    if not (number.isalnum() and number.isascii()):
        raise Missing
    job = jobs.get(number)
    if job is not None:
        return Sent(jobs.upload_of(job), job.name, "{}")
    path = jobs.folder / number / "clip.json"
    if not path.is_file():
        raise Missing
    known = json.loads(path.read_text(encoding="utf-8"))
    return Sent(path.with_name(known["upload"]), known["name"], "{}")


def _size(path: Path) -> dict[str, Any]:
    source = open_source(str(path))
    try:
        return {"width": source.width, "height": source.height, "duration": source.duration}
    finally:
        source.close()
