"""Frames a second of the page of `posecli export --format web` in Chromium, with a film in place of the camera.

    python scripts/time_web.py site/ camera.y4m

site/: the folder with the runtime's files in it. camera.y4m: one person, as
`ffmpeg -i clip.mp4 -vf scale=640:480 -pix_fmt yuv420p camera.y4m` makes it. Measured without and with the headers that give the
page more than one thread. Needs selenium, Chromium and its driver; leave the machine alone meanwhile.
"""

from __future__ import annotations

import functools
import http.server
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.chromium import chromium, until

SECONDS = 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """A plain web server, with the headers if `isolated`."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    folder, camera = sys.argv[1:3]
    fake = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={Path(camera).resolve()}",
    )
    for isolated in (False, True):
        Handler.isolated = isolated
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory() as profile, chromium(Path(profile), *fake) as browser:
            browser.get(f"http://127.0.0.1:{server.server_port}/")
            until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
            browser.find_element("id", "camera").click()
            time.sleep(SECONDS)
            told = browser.find_element("id", "state").text
            print(f"{'with' if isolated else 'without'} the headers: {told}")
        server.shutdown()


if __name__ == "__main__":
    main()
