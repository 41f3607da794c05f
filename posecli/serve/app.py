"""The server: a page for people without a terminal, and JSON for programs. See docs/serve.md."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
from fastapi import FastAPI, Query, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

import posecli
from posecli import __version__
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.files import readable_name
from posecli.formats.convert import convert
from posecli.models import weights
from posecli.pipeline.choices import Choices
from posecli.pipeline.header import photo_document
from posecli.pipeline.photo import photo_poses
from posecli.results.edit import KINDS, BadEdit, edited
from posecli.results.page import write_report
from posecli.results.recording import read_result, write_result
from posecli.results.render import redraw, reopened
from posecli.serve.guard import Asgi, Guard, TooLarge, TooSlow
from posecli.serve.jobs import Busy, Job, Jobs
from posecli.serve.live import MAX_BYTES, Live
from posecli.serve.uploads import check_photo, check_video, stored
from posecli.skeletons import find_skeleton
from posecli.sources.open import open_source

STATUS = {TooLarge: 413, TooSlow: 408, Busy: 429}  # other errors of this kind: 422
RESULTS = {"json": "application/json", "csv": "text/csv", "mp4": "video/mp4", "html": "text/html"}
PAGE_POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; frame-src 'self'; base-uri 'none'"
# The report has its script in it; it may reach nothing but the server's own video.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self' data: blob:; base-uri 'none'"
)


@dataclass(frozen=True)
class Settings:
    """How a server runs."""

    data: Path  # uploads and results
    token: str
    hosts: frozenset[str]  # names and ports that it goes by
    lan: bool = False
    device: str = "auto"
    max_bytes: int = 2 * 2**30  # of an upload
    max_seconds: float = 3600.0  # of a video


class RunOptions(BaseModel):
    """What is done with a video."""

    model_config = ConfigDict(extra="forbid")

    select: str | None = Field(
        None, description="largest, longest, centre, track IDs, or x,y@seconds of people"
    )
    people: int | None = Field(None, ge=1, le=50, description="there are exactly so many")
    max_people: int | None = Field(None, ge=1, le=50)
    start: float | None = Field(None, ge=0)
    end: float | None = Field(None, ge=0)
    repair_sides: bool = False
    blur_faces: bool = False
    black: bool = False
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


def create_app(settings: Settings) -> Asgi:
    """The whole server as an ASGI application, guarded."""
    live = Live(settings.device)
    jobs = Jobs(settings.data / "jobs", settings.device, lambda: live.busy > 0)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = FastAPI(title="posecli", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.exception_handler(PoseError)
    async def _told(_: Request, error: PoseError) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
        return JSONResponse(
            {"error": str(error)}, status, {"connection": "close"} if status in (408, 413) else None
        )

    _add_page(app)
    _add_photos(app, settings, live)
    _add_jobs(app, settings, jobs, live)
    _add_live(app, live)
    return Guard(app, settings.token, set(settings.hosts), settings.lan, settings.max_bytes)


# ---------------------------------------------------------------- page


def _add_page(app: FastAPI) -> None:
    files = resources.files("posecli.serve") / "page"

    def serve(name: str, kind: str) -> Response:
        headers = {
            "content-security-policy": PAGE_POLICY,
            "cache-control": "no-store",
            "x-frame-options": "DENY",
        }
        return Response((files / name).read_bytes(), media_type=kind, headers=headers)

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return serve("page.html", "text/html; charset=utf-8")

    @app.get("/page.js", include_in_schema=False)
    def script() -> Response:
        return serve("page.js", "text/javascript; charset=utf-8")

    @app.get("/page.css", include_in_schema=False)
    def style() -> Response:
        return serve("page.css", "text/css; charset=utf-8")

    @app.get("/texts.en.json", include_in_schema=False)
    def texts() -> Response:
        return serve("texts.en.json", "application/json")

    @app.get("/v1/health")
    def health() -> dict[str, str]:
        """Whether the server runs, and where its source code can be had."""
        return {"status": "ok", "posecli": __version__, "source": "/source.zip"}

    @app.get("/source.zip", include_in_schema=False)
    def source() -> Response:
        """The code that runs here (AGPL, section 13)."""
        import io
        import zipfile

        package, made = Path(posecli.__file__).parent, io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(package.rglob("*")):
                if path.suffix in (".py", ".html", ".js", ".css", ".json"):
                    archive.write(path, Path("posecli") / path.relative_to(package))
        return Response(made.getvalue(), media_type="application/zip")

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        """Keypoint networks that can be named in options."""
        return {"models": sorted(weights.shipped_models()), "default": weights.default_model("cpu")}


# ---------------------------------------------------------------- photos


def _add_photos(app: FastAPI, settings: Settings, live: Live) -> None:
    @app.post("/v1/pose")
    async def pose(request: Request, format: str = Query("posecli", pattern="^(posecli|coco)$")) -> Response:
        """A photo, as the body or as `file` of a form -> its people: our JSON with one frame, or COCO results."""
        folder = settings.data / "photos"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{id(request)}-{asyncio.get_running_loop().time():.6f}"
        try:
            name = await _received(request, path)
            document = await run_in_threadpool(
                work, path.rename(path.with_name(path.name + _suffix(name))), name
            )
            if format == "coco":
                document = await run_in_threadpool(as_coco, document, path.with_suffix(".json"))
        finally:
            for left in folder.glob(f"{path.name}*"):
                left.unlink(missing_ok=True)
        return Response(document, media_type="application/json")

    def work(path: Path, name: str) -> str:
        check_photo(path)
        choices = Choices(tracking=False)
        with live.networks() as (estimator, detector):
            poses = photo_poses(path, detector, estimator, choices)
        bones = find_skeleton(estimator.spec.skeleton)
        document = json.loads(photo_document(path, poses, None, None, estimator, bones, choices))
        document["source"]["name"] = name
        for frame in document["frames"]:
            frame["photo"]["name"] = name
        return json.dumps(document)

    def as_coco(document: str, path: Path) -> str:
        path.write_text(document, encoding="utf-8")
        out = path.with_suffix(".coco.json")
        try:
            convert(read_result(path), "coco", out, lossy=True)
            return out.read_text(encoding="utf-8")
        finally:
            path.unlink()
            out.unlink(missing_ok=True)


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 6 else ".bin"


async def _received(request: Request, path: Path) -> str:
    """Stores the body, or the `file` of a form; returns the name that its sender gave it."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        await stored(request.stream(), path)
        return "upload"
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if file is None or isinstance(file, str):
            raise PoseError("The form has no field `file` with a file.")

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await file.read(2**20):
                yield piece

        await stored(pieces(), path)
        options = form.get("options")
        request.state.options = options if isinstance(options, str) else "{}"
        return readable_name(file.filename or "upload")


# ---------------------------------------------------------------- videos


def _add_jobs(app: FastAPI, settings: Settings, jobs: Jobs, live: Live) -> None:
    def found(number: str) -> Job:
        job = jobs.get(number)
        if job is None:
            raise _Missing
        return job

    @app.exception_handler(_Missing)
    async def _gone(_: Request, __: _Missing) -> JSONResponse:
        return JSONResponse({"error": "There is no such video."}, 404)

    @app.post("/v1/clips", status_code=201)
    async def upload(request: Request) -> JSONResponse:
        """A video that is worked on later: its size, and the people in its first frame to choose from."""
        number, folder = jobs.new_folder()
        path = folder / "upload"
        try:
            name = await _received(request, path)
            path = path.rename(path.with_name("upload" + _suffix(name)))
            await run_in_threadpool(check_video, path, settings.max_seconds)
            told = await run_in_threadpool(_clip, path)
        except BaseException:
            _remove(folder)
            raise
        (folder / "clip.json").write_text(json.dumps({"name": name, "upload": path.name}), encoding="utf-8")
        return JSONResponse({"id": number, "name": name, **told}, 201)

    @app.get("/v1/clips/{number}/frame.jpg")
    async def clip_frame(number: str, time: float = Query(0.0, ge=0)) -> Response:
        """The picture at a time."""
        path = _clip_path(jobs, number)
        return Response(await run_in_threadpool(_frame_at, path, time), media_type="image/jpeg")

    @app.get("/v1/clips/{number}/people")
    async def clip_people(number: str, time: float = Query(0.0, ge=0)) -> dict[str, Any]:
        """Bounding boxes x, y, width, height of the people at a time."""
        return await run_in_threadpool(people_at, _clip_path(jobs, number), time)

    def people_at(path: Path, time: float) -> dict[str, Any]:
        frame = _nearest(path, time)
        with live.networks() as (_, detector):
            boxes = detector.find(frame.image)
        return {
            "time": float(frame.time),
            "people": [
                [round(float(v), 1) for v in (x1, y1, x2 - x1, y2 - y1)] for x1, y1, x2, y2 in boxes.xyxy
            ],
        }

    @app.post("/v1/jobs", status_code=202)
    async def begin(request: Request, clip: str | None = None) -> JSONResponse:
        """Work on a video: one that was uploaded before (`clip`, and options as JSON), or one that is sent now (a form
        with `file` and `options`)."""
        jobs.check_room()
        if clip is not None:
            _clip_path(jobs, clip)
            folder = jobs.folder / clip
            known = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
            number, name, upload = clip, known["name"], known["upload"]
            if jobs.get(clip) is not None:
                raise PoseError("This video is worked on already.")
            options = _options((await request.body()).decode("utf-8", "replace") or "{}")
        else:
            number, folder = jobs.new_folder()
            path = folder / "upload"
            try:
                name = await _received(request, path)
                path = path.rename(path.with_name("upload" + _suffix(name)))
                options = _options(getattr(request.state, "options", "{}"))
                await run_in_threadpool(check_video, path, settings.max_seconds)
            except BaseException:
                _remove(folder)
                raise
            upload = path.name
        job = jobs.add(Job(number, name, upload, options.model_dump(exclude_none=True)))
        return JSONResponse(asdict(job), 202, {"location": f"/v1/jobs/{number}"})

    @app.get("/v1/jobs")
    def listed() -> dict[str, Any]:
        """All videos that are there."""
        return {"jobs": [asdict(job) for job in jobs.all()]}

    @app.get("/v1/jobs/{number}")
    async def state(number: str, request: Request) -> Response:
        """How far it is; with `Accept: application/x-ndjson` a line whenever that changes, until it ends."""
        job = found(number)
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

    @app.delete("/v1/jobs/{number}", status_code=204)
    async def delete(number: str) -> Response:
        """End it, and take its video and results away."""
        await run_in_threadpool(jobs.delete, found(number))
        return Response(status_code=204)

    @app.get("/v1/jobs/{number}/result.{kind}")
    def result(number: str, kind: str, download: bool = False) -> Response:
        """The result: json, csv, mp4 (the video with skeletons) or html (a page with curves)."""
        job = found(number)
        path = jobs.folder_of(job) / f"result.{kind}"
        if kind not in RESULTS or job.state != "done" or not path.is_file():
            raise _Missing
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        if kind == "html":
            headers["content-security-policy"] = REPORT_POLICY
        name = f"{Path(job.name).stem}.pose.{kind}" if download else None
        return FileResponse(path, media_type=RESULTS[kind], headers=headers, filename=name)

    @app.get("/v1/jobs/{number}/frame.jpg")
    async def frame(number: str, time: float = Query(0.0, ge=0)) -> Response:
        """The picture at a time, without skeletons: to correct joints on."""
        path = jobs.upload_of(found(number))
        return Response(await run_in_threadpool(_frame_at, path, time), media_type="image/jpeg")

    @app.post("/v1/jobs/{number}/edits")
    async def correct(number: str, body: Edits) -> dict[str, Any]:
        """Correct a result, as `posecli edit` does; JSON, CSV, page and video are written anew."""
        job = found(number)
        if job.state != "done":
            raise PoseError("The video is not done yet.")
        return await run_in_threadpool(corrected, job, [(e.kind, e.text) for e in body.edits])

    def corrected(job: Job, edits: list[tuple[str, str]]) -> dict[str, Any]:
        base = jobs.folder_of(job) / "result.json"
        try:
            recording = edited(read_result(base), edits)
        except BadEdit as error:
            raise PoseError(str(error)) from error
        drawing = Drawing(
            blur_faces=bool(job.options.get("blur_faces")), black=bool(job.options.get("black"))
        )
        source = reopened(recording, str(jobs.upload_of(job)))
        try:
            redraw(recording, source, base.with_suffix(".mp4"), drawing)
        finally:
            source.close()
        write_result(recording, base, base.with_suffix(".csv"))
        write_report(recording, base.with_suffix(".html"), base.with_suffix(".mp4"))
        return {"edits": recording.header["options"]["edits"], "tracks": len(recording.tracks)}


class _Missing(Exception):
    pass


def _options(text: str) -> RunOptions:
    try:
        return RunOptions.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise PoseError(f"Option {'.'.join(map(str, first['loc'])) or 'list'}: {first['msg']}.") from error


def _clip_path(jobs: Jobs, number: str) -> Path:
    """An upload by its id; raises where there is none. Ids are our own, so that no other path can be meant."""
    if not (number.isalnum() and number.isascii()):
        raise _Missing
    path = jobs.folder / number / "clip.json"
    if not path.is_file():
        raise _Missing
    return path.with_name(json.loads(path.read_text(encoding="utf-8"))["upload"])


def _clip(path: Path) -> dict[str, Any]:
    source = open_source(str(path))
    try:
        return {"width": source.width, "height": source.height, "duration": source.duration}
    finally:
        source.close()


def _nearest(path: Path, time: float) -> Any:
    """The first frame at or after a time, or the last one; raises PoseError for a video without frames."""
    source = open_source(str(path))
    last = None
    try:
        for last in source:
            if float(last.time) >= time - 1e-3:
                break
    finally:
        source.close()
    if last is None:
        raise PoseError("The video has no frames.")
    return last


def _frame_at(path: Path, time: float) -> bytes:
    ok, data = cv2.imencode(".jpg", _nearest(path, time).image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not ok:
        raise PoseError("The picture can't be encoded.")
    return data.tobytes()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- live


def _add_live(app: FastAPI, live: Live) -> None:
    @app.websocket("/v1/live")
    async def stream(socket: WebSocket) -> None:
        """JPEG pictures in, one frame of our JSON out for each that was worked on. The newest picture wins: those that
        came before it are passed over."""
        await socket.accept()
        session = live.session()
        newest: asyncio.Queue[bytes | None] = asyncio.Queue(1)

        async def receive() -> None:
            try:
                while True:
                    data = await socket.receive_bytes()
                    if newest.full():
                        newest.get_nowait()
                    newest.put_nowait(data if len(data) <= MAX_BYTES else b"")
            except (WebSocketDisconnect, RuntimeError, KeyError):
                if newest.full():
                    newest.get_nowait()
                newest.put_nowait(None)

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
