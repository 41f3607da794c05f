"""Starts and stops the server: address and certificate."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path

from posecli.errors import PoseError
from posecli.optional import library
from posecli.serve.app import create_app
from posecli.serve.parts import Settings

CONNECTIONS = 64  # at once
IDLE_SECONDS = 10  # that a connection may do nothing


def serve(
    port: int, *, data: Path | None, lan: bool, device: str, browser: bool, tell: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C. data: folder of uploads and results; None: one that goes when the server ends."""
    uvicorn = library("uvicorn", "serve")
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="posecli-serve-")))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise PoseError(f"{folder} can't be made ({error.strerror}); choose another --data.") from error
        listening = stack.enter_context(_listening("0.0.0.0" if lan else "127.0.0.1", port))
        port = listening.getsockname()[1]
        names = ["127.0.0.1", "localhost", *([_own_address()] if lan else [])]
        settings = Settings(
            folder, secrets.token_urlsafe(32), frozenset(f"{name}:{port}" for name in names), lan, device
        )
        scheme = "https" if lan else "http"
        certificate = stack.enter_context(_certificate(names)) if lan else {}
        address = f"{scheme}://{names[-1] if lan else names[0]}:{port}/#token={settings.token}"
        tell(address)
        if lan:
            _show_code(address)
            tell("The browser shows a warning once, because the server made its certificate itself.")
        if browser and not lan:
            webbrowser.open(address)
        config = uvicorn.Config(
            create_app(settings), log_level="warning", limit_concurrency=CONNECTIONS, timeout_keep_alive=IDLE_SECONDS,
            ws_max_size=2**23, server_header=False, timeout_graceful_shutdown=5, **certificate,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PoseError(
            f"Port {port} can't be used ({error.strerror}); choose another --port, or 0 for any."
        ) from error
    return listening


def _own_address() -> str:
    """This machine's address in its network. Nothing is sent: a UDP socket only chooses a way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError as error:
            raise PoseError("This machine is not in a network; leave out --lan.") from error


@contextlib.contextmanager
def _certificate(names: list[str]):  # type: ignore[no-untyped-def]
    """uvicorn's options for a certificate of this server's own, for as long as it runs."""
    trustme = library("trustme", "serve")
    issued = trustme.CA().issue_cert(*names)
    with issued.private_key_pem.tempfile() as key, issued.cert_chain_pems[0].tempfile() as chain:
        yield {"ssl_keyfile": key, "ssl_certfile": chain, "ssl_version": ssl.PROTOCOL_TLS_SERVER}


def _show_code(address: str) -> None:
    library("segno", "serve").make(address, error="m").terminal(compact=True)
