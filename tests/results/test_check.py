"""Implausible joints: each rule on a person who stands still, with one error."""

import json

import numpy as np
import pytest

from posecli.results.check import check, implausible_joints, replace_implausible
from posecli.results.recording import read_result, write_result
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of

TIMES = np.arange(60) / 30
J = {name: BODY19.joints.index(name) for name in BODY19.joints}


def still() -> np.ndarray:
    return np.array([standing_at(100) for _ in TIMES])


def accused(points) -> dict[str, set[tuple[int, str]]]:
    """The flagged joints and frames, by reason."""
    recording = recording_of([track_of(1, range(len(points)), points)], TIMES)
    found = implausible_joints(recording, recording.tracks[0])
    return {
        reason: {(int(r), BODY19.joints[k]) for r, k in np.argwhere(flags)}
        for reason, flags in found.items()
        if flags.any()
    }


def torso_of(points) -> float:
    return float(np.linalg.norm(points[0, J["left_shoulder"], :2] - points[0, J["right_hip"], :2]))


def test_nobody_who_stands_or_walks_is_accused() -> None:
    assert accused(still()) == {}
    walking = still()
    swing = np.sin(2 * np.pi * TIMES)[:, None] * 0.5 * torso_of(walking)
    walking[..., 0] += 60 * TIMES[:, None]
    walking[:, [J["left_ankle"], J["right_wrist"]], 0] += swing
    walking[:, [J["right_ankle"], J["left_wrist"]], 0] -= swing
    assert accused(walking) == {}


def test_each_rule_names_its_joint_and_its_frames() -> None:
    unsure = still()
    unsure[10:13, J["left_ear"], 2] = 0.2
    assert accused(unsure) == {"low confidence": {(n, "left_ear") for n in (10, 11, 12)}}

    jumping = still()
    jumping[20, J["nose"], 0] += torso_of(jumping)
    assert accused(jumping) == {"jump": {(20, "nose")}}

    stretched = still()
    stretched[30:34, J["left_wrist"], 1] += 0.8 * torso_of(stretched)
    assert accused(stretched)["limb too long"] == {(n, "left_wrist") for n in range(30, 34)}

    exchanged = still()
    pair = [J["left_shoulder"], J["right_shoulder"]]
    exchanged[25:28, pair] = exchanged[25:28, pair[::-1]]
    assert accused(exchanged)["left/right swap"] == {
        (n, f"{side}_shoulder") for n in (25, 26, 27) for side in ("left", "right")
    }

    outside = still()
    boxes = recording_of([track_of(1, range(60), outside)], TIMES).tracks[0].boxes[0]
    outside[:, J["head_top"], 1] = boxes[1] - 0.3 * boxes[2:].max()
    found = recording_of([track_of(1, range(60), outside)], TIMES)
    track = found.tracks[0]
    object.__setattr__(track, "boxes", np.tile(boxes, (60, 1)))
    assert set(map(tuple, np.argwhere(implausible_joints(found, track)["outside its box"]))) == {
        (n, J["head_top"]) for n in range(60)
    }


def test_two_legs_on_one_place_accuse_the_doubtful_one_alone() -> None:
    points = still()
    for joint in ("knee", "ankle"):
        points[10:20, J[f"right_{joint}"], :2] = points[10:20, J[f"left_{joint}"], :2]
        points[10:20, J[f"right_{joint}"], 2] = 0.5
    found = accused(points)["two limbs in one place"]
    assert found == {(n, f"right_{joint}") for n in range(10, 20) for joint in ("knee", "ankle")}
    points[10:20, J["right_knee"], 2] = points[10:20, J["right_ankle"], 2] = (
        0.9  # with a high confidence, one leg hides the other
    )
    assert "two limbs in one place" not in accused(points)


def test_a_knee_that_turns_faster_than_anybody_can() -> None:
    points = still()
    hip, knee, ankle = (points[0, J[f"left_{j}"], :2].copy() for j in ("hip", "knee", "ankle"))
    points[30, J["left_ankle"], :2] = knee + 0.9 * (hip - knee) + [3, 0]
    assert np.linalg.norm(ankle - knee) > 0
    assert (30, "left_ankle") in accused(points)["turns too fast"]
    assert {joint for _, joint in accused(points)["turns too fast"]} == {"left_ankle"}


def test_findings_say_how_often_and_when() -> None:
    points = still()
    points[6:12, J["left_ear"], 2] = 0.1
    points[30, J["left_ear"], 2] = 0.1
    recording, [finding] = check(recording_of([track_of(4, range(60), points)], TIMES))
    assert (finding.track, finding.joint, finding.reasons) == (4, "left_ear", ("low confidence",))
    assert finding.share == pytest.approx(7 / 60)
    assert finding.spans == ((TIMES[6], TIMES[11]), (TIMES[30], TIMES[30]))
    marked = recording.tracks[0].marks["implausible"]
    assert marked.sum() == 7
    assert [n for n, flags in enumerate(recording.tracks[0].flags) if "implausible" in flags] == [
        *range(6, 12),
        30,
    ]


def test_what_is_implausible_is_put_between_its_neighbours_over_a_stretch_but_not_over_seconds() -> None:
    points = still()
    points[..., 0] += np.arange(60)[:, None]
    true = points[:, J["left_wrist"], :2].copy()
    points[10:20, J["left_wrist"], :2] += 40
    points[10:20, J["left_wrist"], 2] = 0.1
    points[20:, J["right_ear"], 2] = 0.1  # to the end: there is no neighbour after it
    recording, left = replace_implausible(recording_of([track_of(1, range(60), points)], TIMES))
    track = recording.tracks[0]
    np.testing.assert_allclose(track.keypoints[:, J["left_wrist"], :2], true)
    assert np.argwhere(track.marks["replaced"][:, J["left_wrist"]]).ravel().tolist() == list(range(10, 20))
    assert left == 40
    assert track.marks["implausible"][:, J["right_ear"]].sum() == 40
    assert track.flags[12] == ("replaced",)
    assert track.flags[30] == ("implausible",)


def test_the_commands(tmp_path, capfd) -> None:
    points = still()
    points[10:13, J["left_knee"], 2] = 0.1
    before = recording_of([track_of(1, range(60), points)], TIMES)
    result = tmp_path / "r.json"
    write_result(before, result, tmp_path / "r.csv")
    code, out, err = call(capfd, "check", result)
    assert code == 0, err
    assert out.strip() == "Person 1, left knee: 5 % of frames implausible (0.33–0.40 s), low confidence"
    assert call(capfd, "check", result, "--out", tmp_path / "c.json", "-q")[0] == 0
    flagged = json.loads((tmp_path / "c.json").read_text())
    assert flagged["frames"][11]["people"][0]["flags"] == ["implausible"]
    code, _, err = call(
        capfd, "smooth", result, "--replace-implausible", "--method", "none", "--out", tmp_path / "s.json"
    )
    assert code == 0, err
    smoothed = read_result(tmp_path / "s.json")
    assert smoothed.tracks[0].marks["replaced"].sum() == 3
    assert smoothed.header["options"]["replace_implausible"] is True
    write_result(recording_of([], TIMES), tmp_path / "nobody.json", tmp_path / "nobody.csv")
    code, out, err = call(capfd, "check", tmp_path / "nobody.json")
    assert (code, out) == (0, "")
    assert "No implausible joints" in err
