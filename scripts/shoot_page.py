"""docs/page.jpg: the page of `posecli serve` with the demo's clip, in headless Chromium. python scripts/shoot_page.py"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.chromium import chromium, until  # noqa: E402
from tests.support.server import TOKEN, Server  # noqa: E402

WIDTH, HEIGHT = 1060, 960  # of the browser; each half of the picture is smaller by SHRUNK
SHRUNK = 0.7


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "posecli", "demo"], check=True, cwd=folder)
        clip = (folder / "posecli-demo-1" / "clip.mp4").rename(folder / "street.mp4")
        server = Server(folder / "serve")
        try:
            with chromium(folder / "chromium") as browser:
                halves = shots(browser, server, clip, folder / "shot.png")
        finally:
            server.stop()
    halves = [cv2.resize(h, None, fx=SHRUNK, fy=SHRUNK, interpolation=cv2.INTER_AREA) for h in halves]
    line = np.full((len(halves[0]), 4, 3), 170, np.uint8)
    page = np.hstack([halves[0], line, halves[1]])
    cv2.imwrite(str(ROOT / "docs" / "page.jpg"), page, [cv2.IMWRITE_JPEG_QUALITY, 82])


def shots(browser, server: Server, clip: Path, file: Path) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    """The curves of a video, and a frame whose joints can be moved."""

    def shot() -> np.ndarray:
        browser.save_screenshot(str(file))
        picture = cv2.imread(str(file))
        assert picture is not None
        return picture[:HEIGHT, :WIDTH]

    def the(name: str):  # type: ignore[no-untyped-def]
        return browser.find_element("id", name)

    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get(f"http://{server.host}/#token={TOKEN}")
    until(lambda: the("begin").is_displayed())
    the("file").send_keys(str(clip))
    until(lambda: the("choose").is_displayed() and browser.execute_script("return picture.width") != 300)
    the("run").click()
    until(lambda: the("result").is_displayed())
    browser.switch_to.frame(the("report"))
    until(lambda: browser.execute_script("return document.querySelectorAll('#people button').length") == 3)
    until(lambda: browser.execute_script("return video.readyState") >= 2)
    browser.switch_to.default_content()
    left = shot()
    the("to_correct").click()
    until(lambda: "Frame" in the("where").text and browser.execute_script("return frame.width") != 300)
    browser.execute_script("frame.scrollIntoView({block: 'center'})")
    return [left, shot()]


if __name__ == "__main__":
    main()
