"""The HTML page of a result: its content, and its behaviour in a real browser."""

import base64
import json
import re
import shutil
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.results.edit import rename
from posecli.results.measure import measure
from posecli.results.page import EMBEDDED_MB, _packed, write_report
from posecli.results.recording import read_result
from posecli.skeletons import BODY19
from tests.support.chromium import chromium, until
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of

TIMES = np.cumsum([0.0, *[0.04, 0.04, 0.05, 0.03, 0.04] * 8])  # not quite even


@pytest.fixture
def walk():
    """Person 1 walks and waves. Person 2 leaves for a while and then has a low confidence. One frame is damaged."""
    first = np.array([standing_at(5.0 * i, 50) for i in range(41)])
    first[:, BODY19.joints.index("left_wrist"), 1] += 40 * np.sin(np.arange(41) / 3)
    rows = [*range(5, 15), *range(25, 41)]
    second = np.array([standing_at(300 - 3 * r, 60, confidence=0.9 if r < 20 else 0.3) for r in rows])
    recording = recording_of([track_of(1, range(41), first), track_of(2, rows, second, place=1)], TIMES)
    flags = tuple(("damaged",) if i == 20 else () for i in range(41))
    return replace(recording, flags=flags)


def data_of(page: Path) -> dict:
    found = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S
    )
    return json.loads(found[1])


def test_what_lies_in_the_page(walk, tmp_path) -> None:
    named = rename(walk, 2, "</script><b>Bo")
    page = write_report(named, tmp_path / "p.html", None)
    assert page.megabytes == pytest.approx((tmp_path / "p.html").stat().st_size / 1e6)
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "</script><b>Bo" not in text
    assert "{{" not in text[: text.index("application/json")]
    assert "default-src 'none'" in text
    data = data_of(tmp_path / "p.html")
    assert data["people"][1]["name"] == "</script><b>Bo"
    assert data["people"][1]["seen"] == [[5, 14], [25, 40]]
    assert data["people"][1]["unsure"] == [[25, 40]]
    assert data["people"][0]["unsure"] == []
    assert data["damaged"] == [20]
    assert set(data["people"][0]["angles"]) >= {"left_knee", "right_elbow", "trunk"}


def test_numbers_are_packed_as_differences() -> None:
    column = np.array([5, 7, -3, 32000, -32000])
    raw = zlib.decompress(base64.b64decode(_packed([(column, 2)])))
    differences = np.frombuffer(raw, "<i2")
    assert np.cumsum(differences, dtype=np.int16).tolist() == column.tolist()


def test_results_and_videos_that_do_not_go_together(walk, clips, tmp_path, capfd, bus_result) -> None:
    untracked = replace(walk, tracks=(replace(walk.tracks[0], number=None),))
    with pytest.raises(PoseError, match="no-tracking"):
        write_report(untracked, tmp_path / "p.html", None)
    with pytest.raises(PoseError, match="another size"):
        write_report(walk, tmp_path / "p.html", clips / "plain.mp4")
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(PoseError, match="can't be read as a video"):
        write_report(walk, tmp_path / "p.html", tmp_path / "text.mp4")
    with pytest.raises(PoseError, match="can't be written"):
        write_report(walk, tmp_path / "nowhere" / "p.html", None)
    code, _, err = call(
        capfd, "report", bus_result, "--video", tmp_path / "none.mp4", "--out", tmp_path / "p.html"
    )
    assert (code, "There is no video" in err) == (1, True)
    assert not (tmp_path / "p.html").exists()
    code, _, err = call(capfd, "report", bus_result, "--out", tmp_path / "p.html", "--quiet")
    assert code == 0, err
    assert call(capfd, "report", bus_result, "--out", tmp_path / "p.html")[0] == 1  # it exists
    nobody = replace(walk, tracks=())
    write_report(nobody, tmp_path / "empty.html", None)
    assert data_of(tmp_path / "empty.html")["people"] == []


def test_large_videos_are_linked_to(walk, bus_result, tmp_path, monkeypatch) -> None:
    recording = read_result(bus_result)
    video = bus_result.with_suffix(".mp4")
    inside = write_report(recording, tmp_path / "in.html", video)
    assert inside.embedded
    assert base64.b64decode(data_of(tmp_path / "in.html")["embedded"]) == video.read_bytes()
    monkeypatch.setattr("posecli.results.page.EMBEDDED_MB", 0)
    beside = write_report(recording, tmp_path / "out.html", video)
    assert not beside.embedded
    told = data_of(tmp_path / "out.html")["video"]
    assert (tmp_path / told).resolve() == video.resolve()
    assert EMBEDDED_MB >= 20


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def opened(browser, page: Path):
    """Open the page and wait until it is ready. Gives (error messages, requested URLs)."""
    browser.get("about:blank")
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(page.as_uri())
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
    asked = [
        json.loads(entry["message"])["message"]["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    return browser.get_log("browser"), asked


@pytest.mark.external
def test_it_opens_from_disk_and_asks_nobody(browser, bus_result, tmp_path) -> None:
    write_report(read_result(bus_result), tmp_path / "p.html", bus_result.with_suffix(".mp4"))
    errors, asked = opened(browser, tmp_path / "p.html")
    assert errors == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert [url for url in asked if url.startswith("file:")] == [(tmp_path / "p.html").as_uri()]
    until(lambda: browser.execute_script("return video.readyState") >= 2)
    assert browser.execute_script("return [video.videoWidth, video.videoHeight]") == [360, 480]
    assert len(browser.find_elements("css selector", "#people button img")) == len(
        read_result(bus_result).tracks
    )


@pytest.mark.external
def test_plot_and_video_follow_each_other(browser, bus_result, tmp_path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    write_report(read_result(bus_result), tmp_path / "p.html", bus_result.with_suffix(".mp4"))
    opened(browser, tmp_path / "p.html")
    until(lambda: browser.execute_script("return video.readyState") >= 2)
    plot = browser.find_element("id", "plot")
    shown = []
    for offset in (-150, 120):
        ActionChains(browser).move_to_element_with_offset(plot, offset, 0).perform()
        until(
            lambda: browser.execute_script(
                "return !video.seeking && pending === null && video.currentTime > 0"
            )
        )
        time.sleep(0.2)
        told, at, slider = browser.execute_script("return [told, video.currentTime, Number(seek.value)]")
        assert at == pytest.approx(told, abs=1e-3)
        assert slider == pytest.approx(told, abs=1e-3)
        line = browser.execute_script("return plot.line")
        assert line == pytest.approx(told, abs=1e-6)
        shown.append(told)
    assert shown[1] > shown[0] + 0.1
    # The other direction: while the video plays, the line in the plot follows.
    browser.execute_script("go(0.1, true)")
    until(lambda: browser.execute_script("return !video.seeking"))
    browser.execute_script("video.muted = true; video.play()")
    until(lambda: browser.execute_script("return video.currentTime > 0.4"))
    browser.execute_script("video.pause()")
    time.sleep(0.2)
    line, at = browser.execute_script("return [plot.line, video.currentTime]")
    assert line == pytest.approx(at, abs=0.15)


@pytest.mark.external
def test_curves_are_those_of_measure(browser, walk, tmp_path) -> None:
    write_report(walk, tmp_path / "p.html", None)
    errors, _ = opened(browser, tmp_path / "p.html")
    assert errors == []
    for n, track in enumerate(walk.tracks):
        found = browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"curves(page.people[{n}]).then(c => done({{times: [...c.times], rows: [...c.rows],"
            " x: c.x.map(v => [...v]), sure: c.sure.map(v => [...v]),"
            " speeds: page.joints.map((_, j) => [...speed(c, j)]),"
            " angles: Object.fromEntries(Object.entries(c.angles).map(([k, v]) => [k, [...v]]))}))"
        )
        assert found["rows"] == track.rows.tolist()
        assert found["times"] == pytest.approx(TIMES[track.rows], abs=2e-6)
        assert pytest.approx(track.keypoints[:, :, 0], abs=0.051) == np.array(found["x"]).T
        assert pytest.approx(track.keypoints[:, :, 2], abs=0.002) == np.array(found["sure"]).T
        for column in measure(walk, track, angles=("knee", "trunk", "upper_arm")):
            assert found["angles"][column.name] == pytest.approx(column.values, abs=0.051)
        [speed] = measure(walk, track, speeds=("left_wrist",))
        # Coordinates are rounded to 0.1 px in the page: at 25 frames/s that is 2.5 px/s.
        assert found["speeds"][BODY19.joints.index("left_wrist")] == pytest.approx(speed.values, abs=4.0)


@pytest.mark.external
def test_people_keys_and_colours(browser, walk, tmp_path) -> None:
    from selenium.webdriver.common.keys import Keys

    write_report(rename(walk, 2, "<b>Bo</b>"), tmp_path / "p.html", None)
    opened(browser, tmp_path / "p.html")
    buttons = browser.find_elements("css selector", "#people button")
    assert [b.get_attribute("aria-pressed") for b in buttons] == ["true", "false"]
    buttons[1].click()
    until(lambda: "Bo" in browser.find_element("id", "who").text)
    assert browser.find_element("id", "who").text.startswith("<b>Bo</b>: 26 frames")
    assert (
        browser.find_element("css selector", "#moments button").text
        == f"unsure {TIMES[25]:.2f}–{TIMES[40]:.2f} s"
    )
    browser.find_element("css selector", "#moments button").click()
    assert browser.execute_script("return told") == pytest.approx(TIMES[25], abs=1e-3)
    body = browser.find_element("tag name", "body")
    body.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert browser.execute_script("return nearest(told)") == 26
    body.send_keys(Keys.ARROW_DOWN)
    until(lambda: browser.find_element("id", "who").text.startswith("Person 1"))
    grounds = []
    for _ in range(2):
        browser.find_element("id", "theme").click()
        grounds.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2
    assert "wrist" in browser.execute_script("return plot.panels[0].lines.map(l => l.name).join()")
    browser.execute_script("$('joint').value = 'nose'; $('joint').dispatchEvent(new Event('change'))")
    until(lambda: "nose" in browser.execute_script("return plot.panels[0].lines.map(l => l.name).join()"))
    assert browser.get_log("browser") == []


@pytest.mark.external
def test_a_page_whose_video_is_gone_says_so(browser, bus_result, tmp_path) -> None:
    video = shutil.copy(bus_result.with_suffix(".mp4"), tmp_path / "v.mp4")
    write_report(read_result(bus_result), tmp_path / "p.html", Path(video), link=True)
    _, asked = opened(browser, tmp_path / "p.html")
    until(lambda: browser.execute_script("return video.readyState") >= 1)
    assert sorted(u for u in asked if u.startswith("file:"))[0] == (tmp_path / "p.html").as_uri()
    Path(video).unlink()
    opened(browser, tmp_path / "p.html")
    until(lambda: "not where it was" in browser.find_element("id", "none").text)


@pytest.mark.external
def test_twenty_minutes_of_ten_people_stay_usable(browser, tmp_path) -> None:
    """36,000 frames: the page is smaller than 60 MB, loads in seconds, and switches to another person within two."""
    count = 36_000
    rng = np.random.default_rng(0)
    tracks = []
    for p in range(10):
        points = np.repeat(standing_at(50.0 * p, 100)[None], count, axis=0)
        points[..., :2] += (
            rng.normal(0, 1.5, (count, 19, 2)) + 80 * np.sin(np.arange(count) / 210 + p)[:, None, None]
        )
        tracks.append(track_of(p + 1, range(count), points, place=p))
    page = write_report(recording_of(tracks, np.arange(count) / 30), tmp_path / "big.html", None)
    assert page.megabytes < 60
    started = time.monotonic()
    errors, _ = opened(browser, tmp_path / "big.html")
    assert time.monotonic() - started < 20
    assert errors == []
    script = "const done = arguments[arguments.length - 1], t = performance.now(); {}.then(() => done(performance.now() - t))"
    assert browser.execute_async_script(script.format("pick(7)")) < 5000
    assert browser.execute_async_script(script.format("draw([100, 200])")) < 2000
    drawn = browser.execute_script("return plot.panels.flatMap(p => p.lines.map(l => l.x.length))")
    assert max(drawn) < 4000  # 36,000 frames are reduced to the minimum and maximum of each part
    low, high = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "draw().then(() => done([Math.min(...plot.panels[0].lines[0].y.filter(v => v !== null)), Math.max(...plot.panels[0].lines[0].y)]))"
    )
    wrist = tracks[7].keypoints[:, BODY19.joints.index("left_wrist"), 0]
    assert (low, high) == pytest.approx((wrist.min(), wrist.max()), abs=0.11)
