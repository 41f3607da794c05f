"""A real server on a local port."""

import socket
import threading
import time
from pathlib import Path

import httpx
import uvicorn

from posecli.serve.app import Settings, create_app

TOKEN = "a-token-for-tests"
MOST = 3_000_000  # bytes that may be sent


class Server:
    def __init__(self, folder: Path, lan: bool = False) -> None:
        self.folder = folder
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        settings = Settings(folder, TOKEN, frozenset([self.host]), lan, "cpu", MOST, 60.0)
        self.server = uvicorn.Server(
            uvicorn.Config(create_app(settings), log_level="error", ws_max_size=2**23)
        )
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def client(self, token: str | None = TOKEN) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"http://{self.host}", headers=headers, timeout=60)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
