"""The server: a page for people without a terminal, and JSON for programs. See docs/serve.md."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from posecli.errors import PoseError
from posecli.serve import clips, live, photos, site, videos
from posecli.serve.guard import Asgi, Guard, TooLarge, TooSlow
from posecli.serve.jobs import Busy, Jobs
from posecli.serve.live import Live
from posecli.serve.parts import Missing, Settings
from posecli.serve.player import Player
from posecli.version import __version__

STATUS = {TooLarge: 413, TooSlow: 408, Busy: 429}  # other errors of this kind: 422
CLOSES = (408, 413)  # the rest of the request is not read


def create_app(settings: Settings) -> Asgi:
    """The whole server as an ASGI application, guarded."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.jobs.close()
        app.state.player.close()

    app = FastAPI(title="posecli", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    networks = Live(settings.device)
    app.state.settings, app.state.live, app.state.player = settings, networks, Player()
    app.state.jobs = Jobs(settings.data / "jobs", settings.device, lambda: networks.busy > 0)
    for part in (site, photos, clips, videos, live):
        app.include_router(part.router)
    app.add_exception_handler(PoseError, _told)
    app.add_exception_handler(Missing, _missing)
    return Guard(app, settings.token, set(settings.hosts), settings.lan, settings.max_bytes)


async def _told(_: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    return JSONResponse({"error": str(error)}, status, {"connection": "close"} if status in CLOSES else None)


async def _missing(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse({"error": "There is no such video."}, 404)
