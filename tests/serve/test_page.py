"""The page in a real browser: drop a video, click on somebody, run, drag a joint, save."""

import json
import re

import cv2
import pytest

from tests.support.chromium import chromium, until
from tests.support.server import TOKEN, Server

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("serve"))
    yield server
    server.stop()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["wide", "phone"])
def browser(request, tmp_path):
    width, height = request.param
    with chromium(tmp_path / "chromium") as running:
        running.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        yield running


def test_a_video_is_measured_and_corrected_without_a_terminal(browser, server, bus_clip) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    def the(name):
        return browser.find_element("id", name)

    browser.get(f"http://{server.host}/#token={TOKEN}")
    until(lambda: the("begin").is_displayed())
    until(lambda: "token" not in browser.current_url)
    assert browser.execute_script(
        "return document.documentElement.scrollWidth <= innerWidth"
    )  # nothing sticks out
    the("file").send_keys(str(bus_clip))
    until(lambda: the("choose").is_displayed() and browser.execute_script("return picture.width") != 300)
    until(lambda: browser.execute_script("return count.textContent") == "Everybody")
    shown = the("picture").rect
    # The man on the left, whose box fills the left quarter.
    ActionChains(browser).move_to_element_with_offset(
        the("picture"), round(-0.30 * shown["width"]), round(0.1 * shown["height"])
    ).click().perform()
    until(lambda: the("count").text == "1 chosen")
    the("run").click()
    until(lambda: the("result").is_displayed())
    assert "Done" in the("message").text
    browser.switch_to.frame(the("report"))
    until(lambda: browser.execute_script("return document.querySelectorAll('#people button').length") == 1)
    until(lambda: browser.execute_script("return video.readyState") >= 2)
    browser.switch_to.default_content()
    the("to_correct").click()
    until(lambda: "Frame" in the("where").text and browser.execute_script("return frame.width") != 300)
    [number] = [j["id"] for j in server.client().get("/v1/jobs").json()["jobs"]][-1:]
    result = server.client().get(f"/v1/jobs/{number}/result.json").json()
    joint = result["skeleton"]["joints"].index("left_wrist")
    first = next(n for n, f in enumerate(result["frames"]) if f["people"])
    x, y, _ = result["frames"][first]["people"][0]["keypoints"][joint]
    browser.execute_script("frame.scrollIntoView({block: 'center'})")
    place = browser.execute_script(
        "const r = frame.getBoundingClientRect(); return [r.width / frame.width, r.width, r.height]"
    )
    scale, width, height = place
    there = (x * scale - width / 2, y * scale - height / 2)
    ActionChains(browser).move_to_element_with_offset(
        the("frame"), *map(round, there)
    ).click_and_hold().move_by_offset(round(40 * scale), round(-30 * scale)).release().perform()
    assert the("unsaved").text == "Changes not saved: 1"
    the("undo").click()
    assert the("unsaved").text == ""
    ActionChains(browser).move_to_element_with_offset(
        the("frame"), *map(round, there)
    ).click_and_hold().move_by_offset(round(40 * scale), round(-30 * scale)).release().perform()
    the("save").click()
    until(lambda: the("message").text == "Saved")
    again = server.client().get(f"/v1/jobs/{number}/result.json").json()
    moved = again["frames"][first]["people"][0]
    found = moved["keypoints"][joint]
    assert found[0] == pytest.approx(x + 40, abs=3 / scale + 1)
    assert found[1] == pytest.approx(y - 30, abs=3 / scale + 1)
    assert moved["joint_flags"]["left_wrist"] == ["corrected"]
    body = browser.find_element("tag name", "body")
    before = the("where").text
    body.send_keys("\ue014")  # arrow right
    until(lambda: the("where").text != before)
    the("called").send_keys("Anna")
    the("rename").click()
    the("blank").click()  # the nose
    the("save").click()
    until(lambda: the("message").text == "Saved" and the("unsaved").text == "")
    assert the("who").find_element("tag name", "option").text == "Anna"
    browser.execute_script("draw_angles.value = 'ankle'; has_level.click()")
    the("redraw").click()
    until(lambda: "drawn again" in the("message").text)
    assert server.client().get(f"/v1/jobs/{number}").json()["options"]["draw_angles"] == "ankle"
    again = server.client().get(f"/v1/jobs/{number}/result.json").json()
    assert "Anna" in again["names"].values()
    nose = again["skeleton"]["joints"].index("nose")
    assert {p["keypoints"][nose][2] for f in again["frames"] for p in f["people"]} == {0}
    summary = the("get_summary").get_attribute("href")
    assert "Anna" in server.client().get(summary).text
    assert the("get_original").is_displayed()
    browser.execute_script("document.activeElement.blur()")
    place = the("where").text
    body.send_keys(" ")
    until(lambda: the("where").text != place)
    body.send_keys(" ")
    errors = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert errors == [], json.dumps(errors)


def test_the_menu_has_the_angles_that_a_result_gives(browser, server, bus_clip) -> None:
    def menu() -> dict[str, str]:
        return browser.execute_script(
            "return Object.fromEntries([...draw_angles.options].filter(o => !o.hidden).map(o => [o.text, o.value]))"
        )

    def opened() -> None:
        browser.get(f"http://{server.host}/#token={TOKEN}")
        browser.refresh()
        until(lambda: browser.find_elements("css selector", "#videos button"))
        browser.find_element("css selector", "#videos button").click()  # the newest
        until(lambda: "result.html" in (browser.find_element("id", "report").get_attribute("src") or ""))

    client, form = server.client(), {"options": json.dumps({"draw_angles": "left_knee,ankle"})}
    sent = client.post("/v1/jobs", data=form, files={"file": ("bus.mp4", bus_clip.read_bytes())})
    number = sent.json()["id"]
    until(lambda: client.get(f"/v1/jobs/{number}").json()["state"] == "done", seconds=300)
    opened()
    assert menu()["ankles"] == "ankle"
    assert menu()["all of these"] == "knee,hip,elbow,shoulder,ankle"
    assert browser.execute_script("return draw_angles.value") == "left_knee,ankle"
    assert "left knee, ankle" in menu()
    [path] = server.folder.rglob(f"{number}/result.json")
    result = json.loads(path.read_text())
    skeleton = result["skeleton"]
    skeleton.update(joints=skeleton["joints"][:19], edges=[e for e in skeleton["edges"] if max(e) < 19])
    path.write_text(json.dumps(result))
    opened()
    assert "ankles" not in menu()
    assert menu()["all of these"] == "knee,hip,elbow,shoulder"


def test_the_camera_is_watched_live(server, tmp_path, bus) -> None:
    planes = cv2.cvtColor(cv2.resize(cv2.imread(str(bus)), (640, 480)), cv2.COLOR_BGR2YUV_I420).tobytes()
    (tmp_path / "camera.y4m").write_bytes(
        b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + 20 * (b"FRAME\n" + planes)
    )
    fake = (
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}",
    )  # fmt: skip
    with chromium(tmp_path / "chromium", *fake) as browser:
        browser.get(f"http://{server.host}/#token={TOKEN}")
        until(lambda: browser.find_element("id", "begin").is_displayed())
        browser.find_element("id", "watch").click()
        until(lambda: re.search(r"People: [2-9]", browser.find_element("id", "rate").text))
        browser.find_element("css selector", "#live .home").click()
        until(lambda: browser.find_element("id", "begin").is_displayed())


def test_without_the_token_the_page_says_what_to_do(browser, server, bus_clip) -> None:
    browser.get(f"http://{server.host}/")
    until(lambda: browser.find_element("id", "begin").is_displayed())
    browser.find_element("id", "file").send_keys(str(bus_clip))
    until(lambda: "Open the address" in browser.find_element("id", "message").text)


def test_without_the_token_a_broken_upload_says_the_same(browser, server, bus_clip) -> None:
    """The server does not wait for the end of what it refuses, so its status can be lost."""
    browser.get(f"http://{server.host}/")
    until(lambda: browser.find_element("id", "begin").is_displayed())
    browser.execute_script(
        "XMLHttpRequest.prototype.send = function () { this.dispatchEvent(new Event('error')); };"
    )
    browser.find_element("id", "file").send_keys(str(bus_clip))
    until(lambda: "Open the address" in browser.find_element("id", "message").text)
