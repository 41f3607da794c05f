"""Shared parts of the server: settings, jobs and live networks. Endpoints get them by their types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from posecli.errors import PoseError
from posecli.files import readable_name
from posecli.serve.jobs import Jobs
from posecli.serve.live import Live
from posecli.serve.player import Player
from posecli.serve.uploads import stored


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


class Missing(Exception):
    """There is nothing at this address."""


def _settings(request: Request) -> Settings:
    return request.app.state.settings  # type: ignore[no-any-return]


def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs  # type: ignore[no-any-return]


def _live(request: Request) -> Live:
    return request.app.state.live  # type: ignore[no-any-return]


def _player(request: Request) -> Player:
    return request.app.state.player  # type: ignore[no-any-return]


TheSettings = Annotated[Settings, Depends(_settings)]
TheJobs = Annotated[Jobs, Depends(_jobs)]
TheLive = Annotated[Live, Depends(_live)]
ThePlayer = Annotated[Player, Depends(_player)]


@dataclass(frozen=True)
class Sent:
    """A file that came with a request."""

    path: Path  # ours, with a suffix that says what it should be
    name: str  # its sender's; shown, never opened
    options: str  # the form's field `options`: JSON


async def received(request: Request, path: Path) -> Sent:
    """Store the body, or the `file` of a form, at `path` with the suffix of its name."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        await stored(request.stream(), path)
        return Sent(path, "upload", "{}")
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if file is None or isinstance(file, str):
            raise PoseError("The form has no field `file` with a file.")

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await file.read(2**20):
                yield piece

        await stored(pieces(), path)
        options = form.get("options")
        name = readable_name(file.filename or "upload")
    return Sent(
        path.rename(path.with_name(path.name + _suffix(name))),
        name,
        options if isinstance(options, str) else "{}",
    )


def _suffix(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 6 else ".bin"
