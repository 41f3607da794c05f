"""Filters that use the frame times, on signals with known answers."""

import csv
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.results.recording import poses_of, read_result, write_result
from posecli.results.smooth import METHODS, LiveSmoother, Smoothing, one_euro, outliers, resample, smooth
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import SCHEMA, recording_of, standing_at, track_of

WRIST = BODY19.joints.index("left_wrist")


def waving(times, hertz, noise=0.0, rows=None, height=50.0):
    """A person whose left wrist goes up and down `hertz` times a second."""
    rows = np.arange(len(times)) if rows is None else np.asarray(rows)
    points = np.array([standing_at(100) for _ in rows])
    points[:, WRIST, 1] += height * np.sin(2 * np.pi * hertz * np.asarray(times)[rows])
    points[..., :2] += np.random.default_rng(0).normal(0, noise, points[..., :2].shape)
    return recording_of([track_of(1, rows, points)], times)


def height_of(recording) -> np.ndarray:
    return recording.tracks[0].keypoints[:, WRIST, 1]


def share_left(times, hertz, **how) -> float:
    """The share of the amplitude that remains, away from the ends."""
    recording = waving(times, hertz)
    after = height_of(smooth(recording, Smoothing(**how)))
    inner = slice(len(times) // 4, -len(times) // 4)
    before = height_of(recording)
    return float(np.ptp(after[inner]) / np.ptp(before[inner]))


EVEN = np.arange(200) / 50


def test_butterworth_halves_the_power_at_its_cut_off_and_does_not_lag() -> None:
    assert share_left(EVEN, 6.0, cutoff=6.0) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert share_left(EVEN, 1.0, cutoff=6.0) == pytest.approx(1.0, abs=0.01)
    assert share_left(EVEN, 20.0, cutoff=6.0) < 0.02
    recording = waving(EVEN, 2.0)
    before, after = height_of(recording), height_of(smooth(recording, Smoothing(cutoff=6.0)))
    lags = [np.corrcoef(before[20:-20], np.roll(after, lag)[20:-20])[0, 1] for lag in range(-3, 4)]
    assert int(np.argmax(lags)) == 3  # no lag


def test_uneven_times_are_filtered_by_their_seconds() -> None:
    uneven = np.cumsum(np.where(np.arange(300) % 3, 0.012, 0.036))  # 20 ms on average
    assert share_left(uneven, 1.0, cutoff=6.0) == pytest.approx(1.0, abs=0.03)
    assert share_left(uneven, 12.0, cutoff=6.0) < 0.35
    # With frame numbers instead of times, the wave would be distorted.
    recording = waving(uneven, 1.0)
    assert (
        np.abs(height_of(smooth(recording, Smoothing(cutoff=6.0))) - height_of(recording))[30:-30].max() < 1.5
    )


def test_noise_goes_and_peaks_stay() -> None:
    clean, noisy = waving(EVEN, 1.0), waving(EVEN, 1.0, noise=2.0)
    for method in ("butterworth", "savgol"):
        found = height_of(smooth(noisy, Smoothing(method, cutoff=5.0, window=0.3)))
        error, before = (np.std(h - height_of(clean)) for h in (found, height_of(noisy)))
        assert error < 0.6 * before
        assert np.ptp(found) == pytest.approx(100, abs=5)


def test_one_euro_looks_back_only_and_holds_still_what_is_still() -> None:
    times = EVEN
    points = np.random.default_rng(1).normal(0, 1.0, (200, 2))
    assert one_euro(times, points, 1.0, 0.0)[50:].std() < 0.45 * points.std()
    jump = np.zeros((200, 2))
    jump[100:] = 500.0
    found = one_euro(times, jump, 1.0, 0.02)
    assert (found[:100] == 0).all()  # the filter does not look ahead
    assert found[105, 0] > 450  # fast movement is followed
    early = one_euro(times[:120], points[:120], 1.0, 0.02)
    assert np.allclose(early, one_euro(times, points, 1.0, 0.02)[:120])


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    rows = [0, 1, 2, 5, 6, 7, 20, 21, 22, 23]
    times = np.arange(24) / 25
    points = [standing_at(10 * r) for r in rows]
    recording = recording_of([track_of(1, rows, points)], times)
    filled = smooth(recording, Smoothing("none", fill=3)).tracks[0]
    assert list(filled.rows) == [*range(8), *range(20, 24)]
    assert filled.keypoints[3, 0, 0] == pytest.approx(100 + 30)
    assert [filled.flags[i] for i in (2, 3, 4, 5)] == [(), ("interpolated",), ("interpolated",), ()]
    assert filled.boxes[3, 0] == pytest.approx((filled.boxes[2, 0] * 2 + filled.boxes[5, 0]) / 3)
    # A filter does not work across a gap that stays open.
    both = smooth(recording, Smoothing(fill=3, cutoff=6.0)).tracks[0]
    assert both.keypoints[7, 0, 0] == pytest.approx(100 + 70, abs=1.0)
    assert all("smoothed" in f for f in both.flags)


def test_unsure_joints_and_outliers_are_put_on_the_line_and_keep_their_confidence() -> None:
    times = np.arange(30) / 25
    points = np.array([standing_at(2.0 * i) for i in range(30)])
    points[10, WRIST] = (900, 900, 0.05)
    points[20, WRIST, :2] += 80
    recording = recording_of([track_of(1, range(30), points)], times)
    how = Smoothing("none", fill=2, unsure=0.2, reject=True)
    found = smooth(recording, how).tracks[0]
    expected = standing_at(0)[WRIST, :2]
    for i in (10, 20):
        assert found.keypoints[i, WRIST, :2] == pytest.approx(expected + np.array([2.0 * i, 0]), abs=0.01)
        assert found.flags[i] == ("interpolated",)
    assert found.keypoints[10, WRIST, 2] == 0.05
    untouched = [i for i in range(30) if i not in (10, 20)]
    assert (found.keypoints[untouched] == points[untouched]).all()
    assert not any(found.flags[i] for i in untouched)
    assert smooth(recording, replace(how, reject=False)).tracks[0].keypoints[20, WRIST, 0] > 180


def test_quick_movement_is_no_outlier() -> None:
    kick = np.column_stack([np.linspace(0, 400, 30) ** 1.3, np.zeros(30)])
    assert not outliers(kick, np.full(30, 5.0), np.zeros(30, bool)).any()


def test_another_rate_by_time() -> None:
    times = np.array([0.0, 0.04, 0.08, 0.2, 0.24, 0.28]) + 1.0  # one frame in the middle lasts longer
    recording = recording_of([track_of(1, range(6), [standing_at(100 * t) for t in times])], times)
    found = resample(recording, 100.0)
    assert np.allclose(np.diff(found.times), 0.01)
    assert (found.times[0], found.times[-1]) == pytest.approx((1.0, 1.28))
    nose = found.tracks[0].keypoints[:, 0, 0]
    assert nose == pytest.approx(100 + 100 * found.times)  # interpolation of a straight movement is exact
    assert list(found.frames[[0, 3, 4, 12]]) == [0, 0, 1, 2]
    assert found.tracks[0].flags[4] == ()  # this row is an original frame
    assert found.tracks[0].flags[5] == ("interpolated",)
    gone = recording_of([track_of(1, [0, 1, 4, 5], [standing_at(0)] * 4)], times)
    assert list(resample(gone, 25.0).tracks[0].rows) == [0, 1, 6, 7]  # 1.08 to 1.2 s stay empty
    with pytest.raises(PoseError, match="single frame"):
        resample(recording_of([track_of(1, [0], [standing_at(0)])], [0.0]), 25.0)


def test_the_command_says_what_it_did(tmp_path, capfd) -> None:
    write_result(waving(EVEN, 1.0, noise=2.0), tmp_path / "w.json")
    assert call(capfd, "smooth", tmp_path / "w.json", "--cutoff", 5, "--fill", 2, "--quiet")[0] == 0
    document = json.loads((tmp_path / "w.smooth.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["options"]["smoothing"]["cutoff"] == 5
    assert document["frames"][7]["people"][0]["flags"] == ["smoothed"]
    assert "smoothed" in (tmp_path / "w.smooth.csv").read_text().splitlines()[5]
    raw, after = (height_of(read_result(tmp_path / n)) for n in ("w.json", "w.smooth.json"))
    assert np.std(np.diff(after, 2)) < 0.4 * np.std(np.diff(raw, 2))
    call(
        capfd,
        "smooth",
        tmp_path / "w.json",
        "--method",
        "none",
        "--resample",
        "100Hz",
        "--out",
        tmp_path / "e.json",
    )
    assert len(read_result(tmp_path / "e.json").times) == 399
    for arguments, code, sentence in (
        (("--method", "kalman"), 2, "one of none, butterworth"),
        (("--cutoff", 30), 1, "more than 60 frames a second"),
        (("--reject-outliers",), 2, "need --fill"),
        (("--resample", "often"), 2, "not a rate"),
        ((), 1, "exists already"),
    ):
        found, _, err = call(
            capfd,
            "smooth",
            tmp_path / "w.json",
            *arguments,
            *(("--out", tmp_path / "x.json") if arguments else ()),
        )
        assert found == code, arguments
        assert sentence in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "x.json").exists()


def test_live_frames_are_smoothed_like_a_recording() -> None:
    rng = np.random.default_rng(0)
    rows = [0, 1, 2, 3, 6, 7, 8]  # away for two frames
    points = np.stack([standing_at(3 * r) for r in rows]) + rng.normal(0, 2, (7, 1, 3)) * (1, 1, 0)
    recording = recording_of([track_of(1, rows, points)], np.arange(9) / 25)
    wanted = smooth(recording, Smoothing("one-euro", beta=0.5))
    frames = list(LiveSmoother(Smoothing("one-euro", beta=0.5)).through(poses_of(recording)))
    found = [p for f in frames for p in f.people]
    assert np.allclose([p.keypoints for p in found], wanted.tracks[0].keypoints)
    assert not np.allclose(wanted.tracks[0].keypoints[1:4], points[1:4])
    assert ["smoothed" in p.flags for p in found] == [r not in (0, 6) for r in rows]
    nobody = replace(frames[1], people=tuple(replace(p, track=None) for p in frames[1].people))
    assert LiveSmoother(Smoothing("one-euro")).smoothed(nobody) == nobody


def with_missing(joint, rows, count=12):
    """A person who walks, with one joint missing in some frames."""
    points = np.stack([standing_at(2.0 * n) for n in range(count)])
    points[rows, BODY19.joints.index(joint)] = (np.nan, np.nan, 0.0)
    return recording_of([track_of(1, range(count), points)], np.arange(count) / 25)


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_joint_stays_missing_and_spoils_no_other(method) -> None:
    recording = with_missing("left_wrist", [4, 5, 6])
    wrist = BODY19.joints.index("left_wrist")
    done = smooth(recording, Smoothing(method=method)).tracks[0]
    assert np.flatnonzero(done.missing.any(axis=1)).tolist() == [4, 5, 6]
    assert done.missing.sum() == 3
    others = np.delete(done.keypoints, wrist, axis=1)
    np.testing.assert_allclose(others[..., 2], 0.9)


def test_a_missing_joint_is_filled_where_that_is_asked_for_and_flagged_alone() -> None:
    recording = with_missing("left_wrist", [4, 5])
    done = smooth(recording, Smoothing(method="none", fill=3)).tracks[0]
    wrist = BODY19.joints.index("left_wrist")
    np.testing.assert_allclose(done.keypoints[4:6, wrist], standing_points(wrist, [4, 5]))
    assert np.argwhere(done.marks["interpolated"]).tolist() == [[4, wrist], [5, wrist]]
    assert done.flags[4] == ("interpolated",)
    assert done.flags[3] == ()


def standing_points(joint, rows):
    return np.stack([standing_at(2.0 * n)[joint] for n in rows])


def test_missing_joints_and_their_flags_survive_files(tmp_path) -> None:
    recording = smooth(with_missing("left_wrist", [0, 5]), Smoothing(method="none", fill=3))
    write_result(recording, tmp_path / "r.json", tmp_path / "r.csv")
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), SCHEMA)
    again = read_result(tmp_path / "r.json").tracks[0]
    wrist = BODY19.joints.index("left_wrist")
    assert np.argwhere(again.missing).tolist() == [[0, wrist]]
    assert np.argwhere(again.marks["interpolated"]).tolist() == [[5, wrist]]
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["left_wrist_x"], rows[0]["left_wrist_confidence"]) == ("", "0.0000")
    assert rows[5]["flags"] == "interpolated;left_wrist:interpolated"
    write_result(recording, tmp_path / "r.json", tmp_path / "long.csv", "long")
    with (tmp_path / "long.csv").open() as file:
        told = {r["joint"]: r["flags"] for r in csv.DictReader(file) if r["frame"] == "5"}
    assert told["left_wrist"] == "interpolated"
    assert told["right_wrist"] == ""
