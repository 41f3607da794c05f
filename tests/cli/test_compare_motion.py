"""`compare-motion`: the command, its table, its CSV and its page."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from posecli.results.edit import rename
from posecli.results.recording import write_result
from tests.results.test_motion import even, legs, twice
from tests.support.chromium import chromium, until
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of


@pytest.fixture
def results(tmp_path):
    """The angles differ by 10 degrees, and B takes twice as long. The left ankle of B is missing for a while."""
    a, b = legs(even(3), twice), legs(even(6), lambda t: twice(t / 2) + 10)
    b.tracks[0].keypoints[150:165, list(b.joints).index("left_ankle")] = np.nan
    write_result(rename(a, 1, "</script><b>Bo"), tmp_path / "one.json")
    write_result(b, tmp_path / "two.json")
    return tmp_path


def words(text: str) -> str:
    return " ".join(text.split())


def test_what_is_told_and_written(results, capfd) -> None:
    code, out, err = call(
        capfd, "compare-motion", results / "one.json", results / "two.json", "--angles", "knee"
    )
    assert code == 0, err
    assert "A: one.json, </script><b>Bo, 0.00 to 2.97 s" in out
    assert "B: two.json, person 1, 0.00 to 5.97 s" in out
    assert "by dynamic time warping" in out
    assert re.search(r"left knee +10\.0 +-10\.0 ", out), out
    assert "All angles together differ by 10.0°" in out
    assert "B takes 2.01 times as long" in out
    rows = list(csv.DictReader((results / "one.against.two.csv").open()))
    assert list(rows[0])[:5] == ["frame_a", "time_a", "time_b", "left_knee_a_deg", "left_knee_b_deg"]
    assert len(rows) == 90
    assert float(rows[30]["time_a"]) == 1.0
    assert float(rows[30]["time_b"]) == pytest.approx(2.0, abs=0.05)
    for row in rows:
        told = [row[f"left_knee_{what}_deg"] for what in ("a", "b", "difference")]
        if told[1] == "":
            assert told[2] == ""
        else:
            assert float(told[2]) == pytest.approx(float(told[1]) - float(told[0]), abs=0.002)
    assert {int(r["frame_a"]) for r in rows if r["left_knee_b_deg"] == ""} >= set(range(77, 82))
    page = (results / "one.against.two.html").read_text(encoding="utf-8")
    assert "</script><b>Bo" not in page
    assert "default-src 'none'" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert [a["name"] for a in data["angles"]] == ["left knee", "right knee"]
    assert data["angles"][0]["b"][79] is None
    assert data["video"] is None


def test_where_it_is_written(results, capfd) -> None:
    both = ("compare-motion", results / "one.json", results / "two.json")
    (results / "folder").mkdir()
    assert call(capfd, *both, "--out", results / "folder", "-q")[:2] == (0, "")
    assert call(capfd, *both, "--out", results / "mine.csv", "-q")[0] == 0
    names = {p.relative_to(results).as_posix() for p in results.rglob("*.*")}
    assert names >= {
        "folder/one.against.two.html", "folder/one.against.two.csv", "mine.html", "mine.csv",
    }  # fmt: skip
    code, _, err = call(capfd, *both, "--out", results / "mine.html")
    assert (code, "exists already" in err) == (1, True)
    code, _, err = call(capfd, *both, "--out", results / "mine.pdf")
    assert (code, "ends in .html" in err) == (1, True)
    code, _, err = call(capfd, *both, "--out", results / "two.html", "--overwrite")
    assert (code, "CSV of a result" in err) == (1, True)


def test_who_and_which_part(tmp_path, capfd) -> None:
    points = legs(even(3), twice).tracks[0].keypoints
    two = recording_of([track_of(3, range(40), points[:40]), track_of(5, range(90), points)], even(3))
    write_result(two, tmp_path / "r.json")
    both = ("compare-motion", tmp_path / "r.json", tmp_path / "r.json", "--overwrite", "--align", "start")
    _, out, _ = call(capfd, *both, "--track-b", 3)
    assert "A: r.json, person 5 (of 2 people, the one seen longest), 0.00 to 2.97 s" in out
    assert "B: r.json, person 3 (of 2 people), 0.00 to 1.30 s" in out
    assert "1.30 s of A match 1.30 s of B" in out
    _, out, _ = call(capfd, *both, "--start-a", 0.5, "--end-a", 1.5, "--start-b", 1)
    assert "0.50 to 1.50 s" in out
    assert "1.00 to 2.97 s" in out
    assert call(capfd, *both, "--track-a", 9)[0] == 1


def test_what_is_refused(results, capfd) -> None:
    both = ("compare-motion", results / "one.json", results / "two.json", "-o", results / "x.html")
    for options, code, sentence in (
        (("--align", "magic"), 2, "dtw, events, start"),
        (("--align", "events", "--kind", "dances"), 2, "steps, jumps, repetitions"),
        (("--angles", ","), 2, "at least one angle"),
        (("--angles", "wing"), 1, "no angle 'wing'"),
        (("--align", "events", "--kind", "steps", "--end-b", 0.5), 1, "too few to align them"),
        (("--video", results / "x.gif"), 1, "is no video file"),
        (("--video", results / "x.mp4"), 1, "--source-a"),
        (("--start-a", 50), 1, "is seen in 0 frames"),
    ):
        found, _, err = call(capfd, *both, *options)
        assert (found, sentence in words(err.replace("│", " "))) == (code, True), err
    nobody = recording_of([], even(1))
    write_result(nobody, results / "nobody.json")
    code, _, err = call(capfd, "compare-motion", results / "nobody.json", results / "two.json")
    assert (code, "nobody" in err) == (1, True)
    assert not list(results.glob("x.*"))


def test_by_events(results, capfd) -> None:
    both = ("compare-motion", results / "one.json", results / "two.json", "--angles", "knee")
    code, out, err = call(capfd, *both, "--align", "events", "-o", results / "x.html")
    assert code == 0, err
    assert "Aligned by repetitions, 2 in each: A has 2, B has 2." in out


def test_with_a_video(clips, tmp_path, capfd) -> None:
    shutil.copy(clips / "plain.mp4", tmp_path / "walk.mp4")  # the name in the header
    times = np.arange(25) / 25
    points = np.array([standing_at(20 + 2 * n, 5, scale=0.4) for n in range(25)])
    recording = recording_of([track_of(1, range(25), points)], times, size=(160, 96))
    write_result(recording, tmp_path / "a.json")
    moved = replace(
        recording, header={**recording.header, "source": {**recording.header["source"], "name": "gone.mp4"}}
    )
    write_result(moved, tmp_path / "b.json")
    both = ("compare-motion", tmp_path / "a.json", tmp_path / "b.json", "--video", tmp_path / "both #1.mp4")
    code, _, err = call(capfd, *both)
    assert (code, "--source-b" in err) == (1, True)
    code, _, err = call(capfd, *both, "--source-b", tmp_path / "walk.mp4")
    assert code == 0, err
    assert (tmp_path / "both #1.mp4").stat().st_size > 1000
    page = (tmp_path / "a.against.b.html").read_text(encoding="utf-8")
    assert '"video": "both%20%231.mp4"' in page
    code, _, err = call(capfd, *both[:3], "--video", tmp_path / "walk.mp4", "--overwrite")
    assert (code, "the source itself" in err) == (1, True)


@pytest.mark.external
def test_the_page_in_a_browser(results, tmp_path, capfd) -> None:
    call(capfd, "compare-motion", results / "one.json", results / "two.json", "--angles", "knee")
    with chromium(tmp_path / "profile") as browser:
        browser.get((results / "one.against.two.html").as_uri())
        until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
        assert len(browser.find_elements("css selector", "canvas")) == 2
        coloured = (
            "const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let n = [0, 0]; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) {"
            " if (d[i] - d[i + 2] > 80) n[0]++; if (d[i + 2] - d[i] > 80) n[1]++; } return n"
        )
        assert not browser.find_element("id", "video").is_displayed()  # there is none
        warm, cool = browser.execute_script(coloured)
        assert warm > 200 and cool > 200  # A's curve and B's
        browser.execute_script("tell(1.0)")
        text = browser.find_element("id", "now").text
        assert text.startswith("A 1.00 s, B 2.0")
        assert re.search(r"left knee 100\.\d° and 90\.\d°", text), text
        assert browser.get_log("browser") == []
