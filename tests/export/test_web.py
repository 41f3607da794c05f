"""The page of `export --format web` in a real browser. Its joints must be the same as in Python."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from posecli.engines.check import PEOPLE, picture
from posecli.engines.load import load_estimator
from posecli.export.web import export_web, write_page
from tests.support.chromium import chromium, until
from tests.support.command import call

DATA = Path(__file__).parents[1] / "data"
RUNTIME = os.environ.get("POSECLI_ORT_WEB")  # a folder with the files of onnxruntime-web, see the manual
LITERT = os.environ.get("POSECLI_LITERT_WEB")  # a folder with the files of LiteRT.js


def served(folder):
    """Serve a folder over HTTP, like `python -m http.server`."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(exported folder, its URL)."""
    if RUNTIME is None:
        pytest.skip("POSECLI_ORT_WEB names no folder with onnxruntime-web")
    folder = tmp_path_factory.mktemp("site") / "site"
    export_web(load_estimator("small", "cpu", backend="torch"), folder)
    shutil.copytree(RUNTIME, folder / "ort")
    cv2.imwrite(str(folder / "photo.png"), picture())
    server = served(folder)
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


ESTIMATE = """
const [boxes, done] = arguments;
(async () => {
  const bitmap = await createImageBitmap(await (await fetch("photo.png")).blob(), { colorSpaceConversion: "none" });
  const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const image = pen.getImageData(0, 0, bitmap.width, bitmap.height), found = [];
  for (const box of boxes) found.push(await posecli.network.estimate(image, box));
  done(found);
})().catch(error => done(String(error)));
"""


@pytest.mark.external
def test_the_page_s_joints_are_python_s_and_it_follows_the_camera(site, tmp_path) -> None:
    folder, address = site
    fake = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={_clip(tmp_path)}",
    )
    with chromium(tmp_path / "chromium", *fake) as browser:
        browser.set_script_timeout(120)
        browser.get(address)
        until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
        found = browser.execute_async_script(ESTIMATE, PEOPLE.tolist())
        [expected] = load_estimator("small", "cpu", backend="torch").estimate([picture()], [PEOPLE])
        assert np.abs(np.array(found)[..., :2] - expected[..., :2]).max() < 0.1
        assert np.abs(np.array(found)[..., 2] - expected[..., 2]).max() < 0.02

        browser.find_element("id", "file").send_keys(str(folder / "photo.png"))
        until(lambda: "joints" in browser.find_element("id", "state").text)
        browser.find_element("id", "camera").click()
        until(lambda: int(browser.execute_script("return document.documentElement.dataset.frames || 0")) > 5)
        assert "frames/s" in browser.find_element("id", "state").text
        assert "nobody" not in browser.find_element("id", "state").text
        browser.find_element("id", "stop").click()
        asked = [e["message"] for e in browser.get_log("browser") if "favicon" not in e["message"]]
        assert asked == []


def _clip(folder: Path) -> Path:
    """The man on the left of the photo, as raw frames for a fake camera."""
    x1, y1, x2, y2 = (int(v) for v in PEOPLE[0])
    man = cv2.resize(picture()[max(y1 - 40, 0) : y2 + 40, max(x1 - 60, 0) : x2 + 60], (240, 480))
    path = folder / "camera.y4m"
    planes = cv2.cvtColor(man, cv2.COLOR_BGR2YUV_I420).tobytes()
    path.write_bytes(b"YUV4MPEG2 W240 H480 F10:1 Ip A1:1 C420jpeg\n" + 20 * (b"FRAME\n" + planes))
    return path


@pytest.mark.external
def test_a_page_without_its_runtime_says_what_is_missing(site, tmp_path) -> None:
    folder, address = site
    (folder / "bare").mkdir()
    for file in folder.glob("*.*"):
        if file.is_file():
            shutil.copy(file, folder / "bare" / file.name)
    with chromium(tmp_path / "chromium") as browser:
        browser.get(f"{address}bare/")
        until(lambda: "onnxruntime-web is missing" in browser.find_element("id", "state").text)


@pytest.mark.external
def test_the_page_runs_a_litert_file_too(tmp_path) -> None:
    """Uses a converted file from the repository, because the converter is too slow for every test run."""
    if LITERT is None:
        pytest.skip("POSECLI_LITERT_WEB names no folder with LiteRT.js")
    pytest.importorskip("ai_edge_litert")
    tiny = load_estimator(str(DATA / "tiny.tflite"), "cpu")
    write_page(tiny.spec, tmp_path / "site", "litert")
    shutil.copy(DATA / "tiny.tflite", tmp_path / "site" / "network.tflite")
    shutil.copytree(LITERT, tmp_path / "site" / "litert")
    cv2.imwrite(str(tmp_path / "site" / "photo.png"), picture())
    server = served(tmp_path / "site")
    with chromium(tmp_path / "chromium") as browser:
        browser.set_script_timeout(120)
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
        found = browser.execute_async_script(ESTIMATE, PEOPLE.tolist())
    server.shutdown()
    [expected] = tiny.estimate([picture()], [PEOPLE])
    # The network is untrained, so some heatmaps have two nearly equal peaks.
    gaps = np.linalg.norm(np.array(found)[..., :2] - expected[..., :2], axis=-1)
    assert np.quantile(gaps, 0.9) < 0.5
    assert np.abs(np.array(found)[..., 2] - expected[..., 2]).max() < 0.02


@pytest.mark.models
def test_the_command_refuses_what_the_page_cannot_run(tmp_path, capfd) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    code, _, err = call(capfd, "export", "small", "--format", "web", "--out", tmp_path / "full")
    assert (code, "is not empty" in err) == (1, True)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
