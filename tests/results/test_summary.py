"""The printable summary page."""

import re

import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.results.edit import rename
from posecli.results.recording import write_result
from posecli.results.summary import summary_page
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of

J = {name: BODY19.joints.index(name) for name in BODY19.joints}


def bending(frames=40):
    """A person whose left knee slowly bends to 90 degrees and back. The right one does not move."""
    points = np.array([standing_at(100) for _ in range(frames)])
    shank = points[0, J["left_ankle"], :2] - points[0, J["left_knee"], :2]
    for n, angle in enumerate(np.radians(90) * np.sin(np.linspace(0, np.pi, frames))):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points[n, J["left_ankle"], :2] = points[n, J["left_knee"], :2] + turn @ shank
    return recording_of([track_of(1, range(frames), points)], np.arange(frames) / 20)


def test_it_tells_least_most_and_range_of_both_sides() -> None:
    page = summary_page(rename(bending(), 1, "Anna & <b>"), "repetitions")
    assert "Anna &amp; &lt;b&gt;" in page and "<b>" not in page
    knee = re.search(r"<tr><td>knee(.*?)(?=<tr>|</tbody>)", page, re.S)[1]
    low, high, span, *right, difference = (float(v) for v in re.findall(r"<td>([+-]?\d+)", knee))
    assert low == pytest.approx(90, abs=3) and high >= 175 and span == pytest.approx(high - low, abs=1)
    assert right[2] == 0 and difference == span
    assert "Anna &amp; &lt;b&gt;: 1 repetition, lowest 13" in page


def test_the_trunk_has_no_side_and_somebody_seen_for_a_moment_no_table() -> None:
    made = bending()
    moment = track_of(2, [3, 4], made.tracks[0].keypoints[:2])
    page = summary_page(recording_of([made.tracks[0], moment], made.times))
    assert re.search(r"<tr><td>trunk<td colspan='6' class='middle'>-?\d+ to -?\d+, range \d+", page)
    assert page.count("<table>") == 1 and "Seen in 2 frames only." in page


def test_the_report_writes_it_beside_itself(tmp_path, capfd) -> None:
    write_result(bending(), tmp_path / "r.json", tmp_path / "r.csv")
    code, _, err = call(capfd, "report", tmp_path / "r.json", "--no-video", "--summary")
    assert code == 0, err
    assert "<td>knee" in (tmp_path / "r.summary.html").read_text(encoding="utf-8")
    (tmp_path / "r.html").unlink()
    code, _, err = call(capfd, "report", tmp_path / "r.json", "--no-video", "--summary")
    assert (code, (tmp_path / "r.html").exists()) == (1, False)


def test_without_tracking_there_is_none() -> None:
    made = bending()
    nobody = recording_of([track_of(None, [0], made.tracks[0].keypoints[:1])], [0.0])
    with pytest.raises(PoseError, match="--no-tracking"):
        summary_page(nobody)
