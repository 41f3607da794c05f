"""The page's files, and what the server says about itself."""

from __future__ import annotations

import io
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

import posecli
from posecli.metrics.angles import JOINT_ANGLES
from posecli.models import weights
from posecli.models.checkpoints import read_spec
from posecli.output.document import skeleton_record
from posecli.version import __version__

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "frame-src 'self'; base-uri 'none'",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
}
router = APIRouter()


def _file(name: str, kind: str) -> Response:
    data = (resources.files("posecli.serve") / "page" / name).read_bytes()
    return Response(data, media_type=kind, headers=HEADERS)


@router.get("/", include_in_schema=False)
def page() -> Response:
    return _file("page.html", "text/html; charset=utf-8")


@router.get("/page.js", include_in_schema=False)
def script() -> Response:
    return _file("page.js", "text/javascript; charset=utf-8")


@router.get("/page.css", include_in_schema=False)
def style() -> Response:
    return _file("page.css", "text/css; charset=utf-8")


@router.get("/texts.en.json", include_in_schema=False)
def texts() -> Response:
    return _file("texts.en.json", "application/json")


@router.get("/source.zip", include_in_schema=False)
def source() -> Response:
    """The code that runs here (AGPL, section 13)."""
    package, made = Path(posecli.__file__).parent, io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            if path.suffix in (".py", ".html", ".js", ".css", ".json"):
                archive.write(path, Path("posecli") / path.relative_to(package))
    return Response(made.getvalue(), media_type="application/zip")


@router.get("/v1/health")
def health() -> dict[str, str]:
    """Whether the server runs, and where its source code can be had."""
    return {"status": "ok", "posecli": __version__, "source": "/source.zip"}


@router.get("/v1/models")
def models() -> dict[str, Any]:
    """Keypoint networks that can be named in options, the joints that they find, and the angles that can be drawn, each with
    its three joints of one side."""
    return {
        "models": sorted(weights.shipped_models()),
        "default": weights.MODEL,
        "skeleton": skeleton_record(read_spec(weights.find_model(weights.MODEL)).bones, {}),
        "angles": JOINT_ANGLES,
    }
