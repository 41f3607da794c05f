"""Finds the people in an uploaded photo."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from posecli.formats.convert import convert
from posecli.pipeline.choices import Choices
from posecli.pipeline.header import photo_document
from posecli.pipeline.photo import photo_poses
from posecli.results.recording import read_result
from posecli.serve.live import Live
from posecli.serve.parts import Sent, TheLive, TheSettings, received
from posecli.serve.uploads import check_photo
from posecli.skeletons import find_skeleton

router = APIRouter()


@router.post("/v1/pose")
async def pose(
    request: Request,
    settings: TheSettings,
    live: TheLive,
    format: str = Query("posecli", pattern="^(posecli|coco)$"),
) -> Response:
    """A photo, as the body or as `file` of a form -> its people: our JSON with one frame, or COCO results."""
    folder = settings.data / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / secrets.token_hex(8)
    try:
        document = await run_in_threadpool(_document, await received(request, path), live)
        if format == "coco":
            document = await run_in_threadpool(_as_coco, document, path)
    finally:
        for left in folder.glob(f"{path.name}*"):
            left.unlink(missing_ok=True)
    return Response(document, media_type="application/json")


def _document(photo: Sent, live: Live) -> str:
    check_photo(photo.path)
    choices = Choices(tracking=False)
    with live.networks() as (estimator, detector):
        poses = photo_poses(photo.path, detector, estimator, choices)
    bones = find_skeleton(estimator.spec.skeleton)
    document = json.loads(photo_document(photo.path, poses, None, None, estimator, bones, choices))
    document["source"]["name"] = photo.name
    for frame in document["frames"]:
        frame["photo"]["name"] = photo.name
    return json.dumps(document)


def _as_coco(document: str, path: Path) -> str:
    """path: files beside it may be written; the caller takes them away."""
    ours, coco = path.with_suffix(".json"), path.with_suffix(".coco.json")
    ours.write_text(document, encoding="utf-8")
    convert(read_result(ours), "coco", coco, lossy=True)
    return coco.read_text(encoding="utf-8")
