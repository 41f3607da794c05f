"""Feet in results: angles, implausible joints, left/right swaps, drawing and steps. Results without feet also work."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from posecli.draw.renderer import Renderer
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.results.check import implausible_joints
from posecli.results.edit import swap_sides
from posecli.results.events import events
from posecli.results.measure import measurable, measure
from posecli.results.motion import curves_of
from posecli.results.page import write_report
from posecli.results.recording import poses_of, write_result
from posecli.results.sides import repair_sides
from posecli.results.summary import summary_page
from posecli.skeletons import BODY19, BODY23, FEET
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of

RATE = 30
TIMES = np.arange(4 * RATE) / RATE
J = {name: k for k, name in enumerate(BODY23.joints)}


def from_the_side(rows=len(TIMES), faces=1) -> np.ndarray:
    """A person who stands still, seen from the side, with flat feet."""
    points = np.array([standing_at(300, 40, skeleton=BODY23) for _ in range(rows)])
    for side in ("left", "right"):
        ankle = points[:, J[f"{side}_ankle"], :2]
        points[:, J[f"{side}_heel"], :2] = ankle + np.array([-6 * faces, 10])
        points[:, J[f"{side}_big_toe"], :2] = ankle + np.array([20 * faces, 10])
    return points


def recorded(points, skeleton=BODY23):
    points = np.asarray(points)[:, : len(skeleton.joints)]
    return recording_of([track_of(1, range(len(points)), points)], TIMES[: len(points)], skeleton=skeleton)


def angles(points, *names, **options) -> dict[str, float]:
    made = recorded(points)
    return {c.name: float(c.values[0]) for c in measure(made, made.tracks[0], angles=names, **options)}


# ---------------------------------------------------------------- angles


@pytest.mark.parametrize("faces", [1, -1])
def test_foot_and_ankle_by_hand(faces) -> None:
    points = from_the_side(3, faces)
    flat = angles(points, "foot", "ankle")
    assert flat["left_foot"] == pytest.approx(0)
    assert flat["right_ankle"] == pytest.approx(90 + np.degrees(np.arctan(10 / 20)))
    ankle = points[:, J["left_ankle"], :2]
    points[:, J["left_big_toe"], :2] = ankle + np.array([20 * faces, 0])
    assert angles(points, "left_ankle") == {"left_ankle": pytest.approx(90)}
    points[:, J["left_heel"], :2] = points[:, J["left_big_toe"], :2] - (10 * faces, -10)
    assert angles(points, "left_foot") == {"left_foot": pytest.approx(45)}
    # In a picture that is rotated clockwise by 10 degrees, a toe on the right appears 10 degrees too low.
    assert angles(points, "left_foot", tilt=10.0)["left_foot"] == pytest.approx(45 + 10 * faces)


def test_a_foot_rises_the_same_in_a_mirror_and_needs_nobody_to_be_followed() -> None:
    points = from_the_side(8)
    points[:, J["left_big_toe"], 1] -= 5
    made = recorded(points)
    track = made.tracks[0]
    straight = curves_of(made, track, ["left_foot", "left_shank"])
    mirrored = curves_of(made, track, ["right_foot", "right_shank"], mirror=True)
    assert straight.values[:, 0] == pytest.approx(mirrored.values[:, 0])
    assert straight.values[:, 1] == pytest.approx(-mirrored.values[:, 1])
    alone = replace(track, number=None)
    assert len(measure(replace(made, tracks=(alone,)), alone, angles=["foot", "ankle"])) == 4


def test_without_feet_one_sentence_says_what_is_missing(tmp_path, capfd) -> None:
    made = recorded(from_the_side(8), BODY19)
    write_result(made, tmp_path / "r.json")
    for angle, lacking in (("ankle", "left_big_toe"), ("foot", "left_heel and no joint left_big_toe")):
        code, _, err = call(capfd, "measure", tmp_path / "r.json", "--angles", angle)
        assert code == 1
        assert f"This result has no joint {lacking}, so it does not give the angle left_{angle}" in err
    with pytest.raises(PoseError, match="no joints for left_ankle: it lacks left_big_toe"):
        Renderer(BODY19, Drawing(angles=("ankle",)))


@pytest.mark.parametrize("skeleton", [BODY19, BODY23], ids=lambda s: s.name)
def test_ankles_are_measured_without_a_word_where_they_are(tmp_path, capfd, skeleton) -> None:
    made = recorded(from_the_side(8), skeleton)
    write_result(made, tmp_path / "r.json")
    assert call(capfd, "measure", tmp_path / "r.json", "--quiet")[0] == 0
    with (tmp_path / "r.measure.csv").open() as file:
        head = next(csv.reader(file))
    assert ("left_ankle_deg" in head) == (skeleton is BODY23)
    assert "left_knee_deg" in head
    assert call(capfd, "measure", tmp_path, "--out", tmp_path / "all.csv", "--quiet")[0] == 0
    assert ("ankle" in (tmp_path / "all.csv").read_text(encoding="utf-8")) == (skeleton is BODY23)
    assert ("ankle" in measurable(skeleton.joints, ["ankle", "knee"])) == (skeleton is BODY23)
    assert ("Ankle" in summary_page(made) or "ankle" in summary_page(made)) == (skeleton is BODY23)
    write_report(made, tmp_path / "r.html", None)
    assert ("left_foot" in (tmp_path / "r.html").read_text(encoding="utf-8")) == (skeleton is BODY23)


def test_results_of_19_and_of_23_joints_are_compared_by_what_both_have(tmp_path, capfd) -> None:
    points = from_the_side(30)
    points[:, J["left_knee"], 0] += 20 * np.sin(TIMES[:30] * 6)
    for name, skeleton in (("a", BODY19), ("b", BODY23)):
        write_result(recorded(points, skeleton), tmp_path / f"{name}.json")
    files = [tmp_path / "a.json", tmp_path / "b.json", "--out", tmp_path / "c.html"]
    assert call(capfd, "compare-motion", *files)[0] == 0
    code, _, err = call(capfd, "compare-motion", *files, "--angles", "knee,ankle", "--overwrite")
    assert code == 1
    assert "A, a.json: This result has no joint left_big_toe" in err


def test_feet_and_ankles_are_drawn() -> None:
    made = recorded(from_the_side(1))
    [poses] = poses_of(made)
    frame = replace(poses.frame, image=np.zeros((480, 640, 3), np.uint8))
    pictures = [
        Renderer(BODY23, Drawing(angles=a, boxes=False)).draw(
            replace(poses, frame=replace(frame, image=frame.image.copy()))
        )
        for a in ((), ("left_ankle",))
    ]
    heel, toe = (made.tracks[0].keypoints[0, J[f"left_{j}"], :2] for j in ("heel", "big_toe"))
    for share in (0.0, 0.3, 0.5, 0.7, 1.0):
        x, y = (heel + share * (toe - heel)).round().astype(int)
        assert pictures[0][y, x].any()
    changed = np.argwhere((pictures[0] != pictures[1]).any(axis=2))[:, ::-1]
    assert len(changed) > 20
    assert np.linalg.norm(changed - made.tracks[0].keypoints[0, J["left_ankle"], :2], axis=1).max() < 60


# ---------------------------------------------------------------- what is wrong


def accused(points) -> dict[str, set[str]]:
    made = recorded(points)
    found = implausible_joints(made, made.tracks[0])
    return {
        reason: {BODY23.joints[k] for k in np.flatnonzero(f.any(axis=0))}
        for reason, f in found.items()
        if f.any()
    }


def test_a_heel_and_a_toe_far_from_the_ankle_are_not_believed_and_a_foot_that_turns_is() -> None:
    assert accused(from_the_side()) == {}
    turning = from_the_side()
    for side in ("left", "right"):  # points towards the camera most of the time, so it looks short
        turning[:100, J[f"{side}_big_toe"], :2] = turning[:100, J[f"{side}_ankle"], :2] + (1, 8)
    assert accused(turning) == {}
    for joint in ("left_heel", "right_big_toe"):
        points = from_the_side()
        points[30:40, J[joint], 0] -= 60
        assert accused(points)["limb too long"] == {joint}


def test_of_two_legs_on_one_place_the_less_sure_one_goes_with_its_foot() -> None:
    points = from_the_side()
    for joint in ("knee", "ankle", "heel", "big_toe"):
        points[50:60, J[f"right_{joint}"], :2] = points[50:60, J[f"left_{joint}"], :2] + 1
        points[50:60, J[f"right_{joint}"], 2] = 0.5
    assert accused(points)["two limbs in one place"] == {
        f"right_{j}" for j in ("knee", "ankle", "heel", "big_toe")
    }


def test_heel_and_toe_change_sides_with_their_leg() -> None:
    truth = from_the_side()
    for side, sign in (("left", 1), ("right", -1)):  # legs that are apart
        legs = [J[f"{side}_{j}"] for j in ("knee", "ankle", "heel", "big_toe")]
        truth[:, legs, 0] += sign * 40
    left = [J[f"left_{j}"] for j in ("knee", "ankle", "heel", "big_toe")]
    right = [J[f"right_{j}"] for j in ("knee", "ankle", "heel", "big_toe")]
    read = truth.copy()
    for row in (31, 32, 70):
        read[row, left], read[row, right] = truth[row, right], truth[row, left]
    done, changed = repair_sides(recorded(read))
    assert changed == 3
    assert done.tracks[0].keypoints == pytest.approx(truth)
    swapped = swap_sides(recorded(truth), 1).tracks[0].keypoints
    assert swapped[:, J["left_heel"]] == pytest.approx(truth[:, J["right_heel"]])


# ---------------------------------------------------------------- steps


def walking(heel_first=0.1, toe_later=0.12) -> tuple[np.ndarray, dict[str, list[float]]]:
    """A person who walks across the picture, and the times of heel contact.

    The heel touches the ground `heel_first` seconds before the ankle rests. The toe follows `toe_later` seconds later.
    """
    points = from_the_side()
    torso = float(np.linalg.norm(points[0, J["left_shoulder"], :2] - points[0, J["right_hip"], :2]))
    points[..., 0] += 2.0 * torso * TIMES[:, None] - 200
    came_down = {}
    for side, phase in (("left", 0.0), ("right", 0.5)):
        for part, late in (("ankle", 0.0), ("heel", -heel_first), ("big_toe", toe_later)):
            cycle, whole = (TIMES + phase - late) % 1.0, np.floor(TIMES + phase - late)
            swing = np.clip((cycle - 0.6) / 0.4, 0, 1)
            start = points[0, J[f"{side}_{part}"], 0]
            points[:, J[f"{side}_{part}"], 0] = (
                start + (whole + swing * swing * (3 - 2 * swing)) * 2.0 * torso
            )
            points[:, J[f"{side}_{part}"], 1] -= 0.2 * torso * np.sin(np.pi * swing)
        came_down[side] = [t - phase for t in range(1, 5) if 0.3 < t - phase < TIMES[-1] - 0.2]
    return points, came_down


def starts(points, side, skeleton=BODY23) -> list[float]:
    return [e.start for e in events(recorded(points, skeleton), "steps") if e.side == side]


def test_a_foot_comes_down_with_its_heel_where_that_is_sure() -> None:
    points, came_down = walking()
    for side, times in came_down.items():
        ankles, heels = starts(points, side, BODY19), starts(points, side)
        assert ankles == pytest.approx(times, abs=0.07)
        assert len(heels) == len(ankles)
        assert np.subtract(ankles, heels) == pytest.approx(np.full(len(heels), 0.1), abs=0.05)
    unsure = points.copy()
    unsure[:, [J[joint] for joint in FEET], 2] = 0.2
    for side in came_down:
        assert starts(unsure, side) == starts(points, side, BODY19)


def test_steps_in_place_begin_with_the_part_that_is_down_first() -> None:
    points = from_the_side()
    for side, phase in (("left", 0.0), ("right", 0.5)):
        for part, late in (("ankle", 0.0), ("heel", 0.0), ("big_toe", -0.1)):  # on tiptoe
            cycle = (TIMES + phase - late) % 1.0
            points[:, J[f"{side}_{part}"], 1] -= np.where(cycle < 0.4, 35 * np.sin(np.pi * cycle / 0.4), 0.0)
    ankles, toes = starts(points, "right", BODY19), starts(points, "right")
    assert len(ankles) == len(toes) == 4
    assert np.subtract(ankles, toes) == pytest.approx(np.full(4, 0.1), abs=0.05)


# ---------------------------------------------------------------- jumps


def on_the_toes(rise: np.ndarray) -> np.ndarray:
    """Somebody whose whole body but the big toes is lifted by so many torsos; heels too."""
    points = from_the_side()
    torso = float(np.linalg.norm(points[0, J["left_shoulder"], :2] - points[0, J["right_hip"], :2]))
    others = [k for joint, k in J.items() if not joint.endswith("big_toe")]
    points[:, others, 1] -= (rise * torso)[:, None]
    return points


def jumping(flight=0.4) -> np.ndarray:
    """Rises on the toes for 0.15 s, leaves the ground at 1.5 s, lands on the toes and sinks for 0.15 s."""
    up = np.clip((TIMES - 1.35) / 0.15, 0, 1) * np.clip((1.65 + flight - TIMES) / 0.15, 0, 1)
    points = on_the_toes(0.3 * up)
    since = np.clip(TIMES - 1.5, 0, flight)
    points[..., 1] -= (9.81 / 2 * since * (flight - since) * 120)[:, None]
    return points


def jumps(points, skeleton=BODY23):
    return events(recorded(points, skeleton), "jumps")


def test_a_jump_begins_and_ends_with_the_toe_where_that_is_sure() -> None:
    points = jumping()
    [toes], [ankles] = jumps(points), jumps(points, BODY19)
    assert (toes.start, toes.end) == pytest.approx((1.5, 1.9), abs=0.03)
    assert ankles.end - ankles.start > toes.end - toes.start + 0.1
    assert toes.values["height_m"] == pytest.approx(9.81 * (toes.end - toes.start) ** 2 / 8)
    for joint in FEET:
        unsure = points.copy()
        unsure[:, J[joint], 2] = 0.7
        assert jumps(unsure) == jumps(points, BODY19)
    # Only the landing is sure.
    landing = points.copy()
    landing[TIMES < 1.7, J["left_heel"], 2] = 0.7
    [half] = jumps(landing)
    assert (half.start, half.end) == (ankles.start, toes.end)


def test_heels_that_are_sure_make_a_landing_on_the_heels() -> None:
    points = from_the_side()
    since = np.clip(TIMES - 1.5, 0, 0.4)
    points[..., 1] -= (9.81 / 2 * since * (0.4 - since) * 120)[:, None]
    pulled = np.clip((TIMES - 1.5) / 0.2, 0, 1) * np.clip(
        (2.2 - TIMES) / 0.2, 0, 1
    )  # toes, till after the landing
    for side in ("left", "right"):
        points[:, J[f"{side}_big_toe"], 1] -= 20 * pulled
    [jump] = jumps(points)
    assert (jump.start, jump.end) == pytest.approx((1.5, 1.9), abs=0.04)


def test_who_rises_on_the_toes_does_not_jump() -> None:
    raised = 0.3 * np.sin(np.pi * np.clip(TIMES % 1.0 / 0.6, 0, 1))
    points = on_the_toes(raised)
    assert jumps(points) == []
    assert len(jumps(points, BODY19)) > 1  # the ankles alone cannot tell
