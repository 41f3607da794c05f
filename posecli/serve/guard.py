"""Checks each request to the server: host name, origin, token and size."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any

from posecli.errors import PoseError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "posecli"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
OPEN = (
    "/",
    "/page.js",
    "/page.css",
    "/texts.en.json",
    "/v1/session",
)  # what a browser needs before it has the cookie
PATIENCE_SECONDS = 30.0  # between two pieces of a request
DRAIN_BYTES, DRAIN_SECONDS = 64 * 2**20, 5.0  # of what is too large and still comes
TRIES = 10  # wrong tokens a minute


class TooLarge(PoseError):
    """More than the server takes."""


class TooSlow(PoseError):
    """Somebody keeps a connection open and sends nothing."""


class Guard:
    """ASGI middleware in front of everything, web sockets too.

    Requests must name one of `hosts` (a page elsewhere can make a browser ask a name that leads here: DNS rebinding).
    Writes and web sockets must come from such a host, and know the token: as `Authorization: Bearer`, or as the cookie
    that `POST /v1/session` gives for it. With `lan`, so must reads of results.
    """

    def __init__(self, app: Asgi, token: str, hosts: set[str], lan: bool, max_bytes: int) -> None:
        self._app, self._token, self._lan, self._max_bytes = app, token, lan, max_bytes
        self._hosts = hosts
        self._origins = {f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")}
        self._session = secrets.token_urlsafe(32)
        self._wrong: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        if scope["type"] == "http" and scope["path"] == "/v1/session" and scope["method"] == "POST":
            await self._begin_session(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        if int(headers.get("content-length") or 0) > self._max_bytes:
            await _drained(receive)
            await _refuse(scope, send, 413, f"Too large: at most {self._max_bytes} bytes can be sent.")
            return
        await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        if headers.get("host", "") not in self._hosts:
            return 403, "This server does not go by that name."
        writes = scope["type"] == "websocket" or scope["method"] in WRITES
        origin = headers.get("origin")
        if writes and origin is not None and origin not in self._origins:
            return 403, "Pages of other servers may not write here."
        path = scope["path"]
        if path in OPEN or not (writes or (self._lan and path.startswith("/v1/"))):
            return None
        if not self._knows_token(headers):
            return 401, "The token is missing or wrong. Open the address that `posecli serve` printed."
        return None

    def _knows_token(self, headers: dict[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _same(given, self._token)
        cookie: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
        return COOKIE in cookie and _same(cookie[COOKIE].value, self._session)

    async def _begin_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token from the address's fragment -> a cookie that scripts can't read."""
        now = time.monotonic()
        while self._wrong and now - self._wrong[0] > 60:
            self._wrong.popleft()
        if len(self._wrong) >= TRIES:
            await _refuse(scope, send, 429, "Too many wrong tokens; wait a minute.")
            return
        body = b""
        while True:
            message = await asyncio.wait_for(receive(), PATIENCE_SECONDS)
            body += message.get("body", b"")
            if len(body) > 1000 or not message.get("more_body"):
                break
        try:
            given = str(json.loads(body)["token"])
        except (ValueError, KeyError, TypeError):
            given = ""
        if not _same(given, self._token):
            self._wrong.append(now)
            await _refuse(
                scope, send, 401, "That token is wrong. Open the address that `posecli serve` printed."
            )
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/{secure}"
        await send(
            {"type": "http.response.start", "status": 204, "headers": [(b"set-cookie", cookie.encode())]}
        )
        await send({"type": "http.response.body", "body": b""})

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what is really sent, and gives up on who sends nothing for a while."""
        seen, whole = 0, False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal seen, whole
            if whole:  # what comes now is the end of the connection
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), PATIENCE_SECONDS)
            except TimeoutError:
                raise TooSlow("Nothing came for too long.") from None
            seen, whole = seen + len(message.get("body", b"")), not message.get("more_body")
            if seen > self._max_bytes:
                if not whole:
                    await _drained(receive)
                raise TooLarge(f"Too large: at most {self._max_bytes} bytes can be sent.")
            return message

        await self._app(scope, counted, send)


async def _drained(receive: Receive) -> None:
    """Read on for a while and forget it: who is cut off in the middle of sending never sees the answer."""
    dropped, end = 0, time.monotonic() + DRAIN_SECONDS
    while dropped < DRAIN_BYTES and time.monotonic() < end:
        try:
            message = await asyncio.wait_for(receive(), DRAIN_SECONDS)
        except TimeoutError:
            return
        dropped += len(message.get("body", b""))
        if not message.get("more_body"):
            return


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:120]})
        return
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
