"""Requests for videos: start, progress, result, corrections, delete."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.results.edit import KINDS
from posecli.results.recording import read_result
from posecli.results.summary import summary_page
from posecli.serve.clips import clip as sent_before
from posecli.serve.clips import received_video
from posecli.serve.jobs import ORIGINAL, Job, Jobs
from posecli.serve.parts import Missing, TheJobs, ThePlayer, TheSettings

RESULTS = {"json": "application/json", "csv": "text/csv", "mp4": "video/mp4", "html": "text/html"}
# The report has its script in it; it may reach nothing but the server's own video.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self' data: blob:; base-uri 'none'"
)
router = APIRouter()


class DrawOptions(BaseModel):
    """What is drawn into a video."""

    model_config = ConfigDict(extra="forbid")

    draw_angles: str | None = Field(None, max_length=200, description="such as knee,hip")
    trails: str | None = Field(None, max_length=200, description="paths of joints, such as left_wrist")
    horizontal: float | None = Field(None, ge=0, description="a level line: pixels below the upper edge")
    events: str | None = Field(None, max_length=200, description="such as steps, jumps or repetitions:elbow")
    blur_faces: bool = False
    black: bool = False


class RunOptions(DrawOptions):
    """What is done with a video."""

    select: str | None = Field(
        None, description="largest, longest, centre, track IDs, or x,y@seconds of people"
    )
    people: int | None = Field(None, ge=1, le=50, description="there are exactly so many")
    max_people: int | None = Field(None, ge=1, le=50)
    start: float | None = Field(None, ge=0)
    end: float | None = Field(None, ge=0)
    repair_sides: bool = False
    angles: str | None = Field(None, max_length=200)
    model: str | None = Field(None, pattern="^(small|base)$")


class Edit(BaseModel):
    """One correction, as an option of `posecli edit`."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(description=", ".join(KINDS))
    text: str = Field(max_length=300, description="such as 2:left_knee@4.000=312.5,208")


class Edits(BaseModel):
    model_config = ConfigDict(extra="forbid")

    edits: list[Edit] = Field(min_length=1, max_length=10_000)


@router.post("/v1/jobs", status_code=202)
async def begin(
    request: Request, jobs: TheJobs, settings: TheSettings, clip: str | None = None
) -> JSONResponse:
    """Work on a video: one that was uploaded before (`clip`, and options as JSON), or one that is sent now (a form
    with `file` and `options`)."""
    jobs.check_room()
    if clip is None:
        number, video = await received_video(request, jobs, settings)
        try:
            options = _options(video.options)
        except PoseError:
            jobs.discard(number)
            raise
    else:
        number, video = clip, sent_before(jobs, clip)
        if jobs.get(clip) is not None:
            raise PoseError("This video is already being processed.")
        options = _options((await request.body()).decode("utf-8", "replace") or "{}")
    job = jobs.add(Job(number, video.name, video.path.name, options.model_dump(exclude_none=True)))
    return JSONResponse(asdict(job), 202, {"location": f"/v1/jobs/{number}"})


def _options(text: str) -> RunOptions:
    try:
        return RunOptions.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise PoseError(f"Option {'.'.join(map(str, first['loc'])) or 'list'}: {first['msg']}.") from error


@router.get("/v1/jobs")
def listed(jobs: TheJobs) -> dict[str, Any]:
    """All videos that are there."""
    return {"jobs": [asdict(job) for job in jobs.all()]}


@router.get("/v1/jobs/{number}")
async def state(number: str, request: Request, jobs: TheJobs) -> Response:
    """How far it is; with `Accept: application/x-ndjson` a line whenever that changes, until it ends."""
    job = _job(jobs, number)
    if "ndjson" not in request.headers.get("accept", ""):
        return JSONResponse(asdict(job))

    async def lines() -> AsyncIterator[str]:
        last = None
        while True:
            now = asdict(job)
            if now != last:
                yield json.dumps(now) + "\n"
                last = now
            if job.state not in ("queued", "running") or await request.is_disconnected():
                return
            await asyncio.sleep(0.25)

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.delete("/v1/jobs/{number}", status_code=204)
async def delete(number: str, jobs: TheJobs, player: ThePlayer) -> Response:
    """End it, and take its video and results away."""
    player.close()
    await run_in_threadpool(jobs.delete, _job(jobs, number))
    return Response(status_code=204)


@router.get("/v1/jobs/{number}/result.{kind}")
def result(number: str, kind: str, jobs: TheJobs, download: bool = False) -> Response:
    """The result: json, csv, mp4 (the video with skeletons) or html (a page with curves)."""
    job = _job(jobs, number)
    path = jobs.folder_of(job) / f"result.{kind}"
    if kind not in RESULTS or job.state != "done" or not path.is_file():
        raise Missing
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if kind == "html":
        headers["content-security-policy"] = REPORT_POLICY
    name = f"{Path(job.name).stem}.pose.{kind}" if download else None
    return FileResponse(path, media_type=RESULTS[kind], headers=headers, filename=name)


@router.post("/v1/jobs/{number}/edits")
async def correct(number: str, body: Edits, jobs: TheJobs) -> dict[str, Any]:
    """Correct a result, as `posecli edit` does; JSON, CSV, page and video are written anew."""
    job = _job(jobs, number)
    if job.state != "done":
        raise PoseError("The video is not done yet.")
    recording = await run_in_threadpool(jobs.correct, job, [(e.kind, e.text) for e in body.edits])
    return {"edits": recording.header["options"]["edits"], "tracks": len(recording.tracks)}


@router.post("/v1/jobs/{number}/drawing", status_code=204)
async def draw(number: str, body: DrawOptions, jobs: TheJobs) -> Response:
    """Draw the video of a result again, as `posecli draw` does; the joints stay as they are."""
    job = _job(jobs, number)
    if job.state != "done":
        raise PoseError("The video is not done yet.")
    await run_in_threadpool(jobs.draw, job, body.model_dump())
    return Response(status_code=204)


@router.get("/v1/jobs/{number}/original.json")
def original(number: str, jobs: TheJobs) -> Response:
    """The result as it was before it was corrected for the first time."""
    job = _job(jobs, number)
    path = jobs.folder_of(job) / ORIGINAL
    if not path.is_file():
        raise Missing
    headers = {"cache-control": "no-store"}
    return FileResponse(
        path, media_type=RESULTS["json"], headers=headers, filename=f"{Path(job.name).stem}.original.json"
    )


@router.get("/v1/jobs/{number}/summary.html")
def summary(number: str, jobs: TheJobs, download: bool = False) -> Response:
    """One page to print: the angles of each person, left against right."""
    job = _job(jobs, number)
    if job.state != "done":
        raise Missing
    page = jobs.folder_of(job) / "summary.html"
    text = summary_page(read_result(page.with_name("result.json")), job.options.get("events") or "")
    with replacing(page) as part:
        part.write_text(text, encoding="utf-8")
    headers = {"cache-control": "no-store", "content-security-policy": REPORT_POLICY}
    name = f"{Path(job.name).stem}.summary.html" if download else None
    return FileResponse(page, media_type="text/html", headers=headers, filename=name)


def _job(jobs: Jobs, number: str) -> Job:
    job = jobs.get(number)
    if job is None:
        raise Missing
    return job
