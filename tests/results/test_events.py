"""Steps, jumps and repetitions that are known beforehand."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from posecli.draw.renderer import Renderer
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.results.check import check
from posecli.results.events import SHOWN, asked_events, events, marks, summary
from posecli.results.page import write_report
from posecli.results.recording import poses_of, write_result
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of

RATE = 30
TIMES = np.arange(4 * RATE) / RATE
J = {name: BODY19.joints.index(name) for name in BODY19.joints}
FRAME = 1 / RATE


def still(times=TIMES) -> np.ndarray:
    return np.array([standing_at(100) for _ in times])


def torso_of(points) -> float:
    return float(np.linalg.norm(points[0, J["left_shoulder"], :2] - points[0, J["right_hip"], :2]))


def recorded(points, times=TIMES):
    return recording_of([track_of(1, range(len(points)), points)], times)


def walking(direction: int) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Somebody who crosses the picture; each foot stands for 0.6 s and swings for 0.4 s. And when feet come down."""
    points = still()
    torso, speed, stride = torso_of(points), 2.0, 1.0  # torsos a second, seconds
    points[..., 0] += direction * speed * torso * TIMES[:, None]
    came_down = {}
    for side, phase in (("left", 0.0), ("right", 0.5)):
        cycle = (TIMES + phase) % stride
        whole = np.floor(TIMES + phase)
        # Steady on the ground, then a smooth swing of one stride's length.
        swing = np.clip((cycle - 0.6) / 0.4, 0, 1)
        along = (whole + swing * swing * (3 - 2 * swing)) * speed * torso * stride
        points[:, J[f"{side}_ankle"], 0] = points[0, J[f"{side}_ankle"], 0] + direction * along
        points[:, J[f"{side}_ankle"], 1] -= 0.3 * torso * np.sin(np.pi * swing)
        came_down[side] = [t for t in np.arange(1, 5) * stride - phase if 0.3 < t < TIMES[-1] - 0.2]
    return points, came_down


@pytest.mark.parametrize("direction", [1, -1])
def test_steps_of_somebody_who_walks_across(direction) -> None:
    points, came_down = walking(direction)
    found = events(recorded(points), "steps")
    for side, times in came_down.items():
        assert [e.start for e in found if e.side == side] == pytest.approx(times, abs=2 * FRAME)
    assert [e.start for e in found] == sorted(e.start for e in found)
    assert found[-1].values["steps_a_minute"] == pytest.approx(120, abs=15)
    assert summary(recorded(points), found)[0].startswith("person 1: 7 steps, 3 left and 4 right, 1")


@pytest.mark.parametrize("direction", [1, -1])
def test_steps_on_a_treadmill(direction) -> None:
    points, came_down = walking(direction)
    points[..., 0] -= direction * 2.0 * torso_of(points) * TIMES[:, None]
    bent = points.copy()
    bent[:, [J["left_knee"], J["right_knee"]], 0] += direction * 0.1 * torso_of(points)
    found = events(recorded(bent), "steps")
    for side, times in came_down.items():
        assert [e.start for e in found if e.side == side] == pytest.approx(times, abs=3 * FRAME)
    one_foot = bent.copy()  # the other one stands: that is no walking
    one_foot[:, J["left_ankle"]] = one_foot[:1, J["left_ankle"]]
    assert events(recorded(one_foot), "steps") == []


def test_steps_in_place() -> None:
    points = still()
    for side, phase in (("left", 0.0), ("right", 0.5)):
        cycle = (TIMES + phase) % 1.0
        lift = np.where(cycle < 0.4, np.sin(np.pi * cycle / 0.4), 0.0)
        points[:, J[f"{side}_ankle"], 1] -= 0.5 * torso_of(points) * lift
    found = events(recorded(points), "steps")
    expected = {"left": [0.4, 1.4, 2.4, 3.4], "right": [0.9, 1.9, 2.9, 3.9]}
    for side, times in expected.items():
        assert [e.start for e in found if e.side == side] == pytest.approx(times, abs=2 * FRAME)


def test_who_stands_or_crouches_makes_no_step_and_no_jump() -> None:
    points = still()
    points[:, J["nose"], 0] += 5 * np.sin(TIMES)
    assert events(recorded(points), "steps") == []
    assert events(recorded(points), "jumps") == []
    assert events(recorded(points), "repetitions") == []


def test_a_jump_of_known_height() -> None:
    points = still()
    pixels_a_metre = torso_of(points) / 0.55
    flight = 0.5  # seconds: g t^2 / 8 is 0.307 m
    since = np.clip(TIMES - 1.0, 0, flight)
    points[..., 1] -= (9.81 / 2 * since * (flight - since) * pixels_a_metre)[:, None]
    [jump] = events(recorded(points), "jumps")
    assert (jump.start, jump.end) == pytest.approx((1.0, 1.5), abs=2 * FRAME)
    assert jump.values["height_m"] == pytest.approx(9.81 * jump.values["flight_seconds"] ** 2 / 8)
    assert jump.values["height_m"] == pytest.approx(0.307, abs=0.07)


def test_a_flight_that_cannot_be_is_no_jump_and_one_between_two_heights_has_none() -> None:
    points = still()
    lifted = np.sin(np.pi * np.clip((TIMES - 0.4) / 3.2, 0, 1)) ** 2  # for more than two seconds
    points[..., 1] -= (0.5 * torso_of(points) * lifted)[:, None]
    assert events(recorded(points), "jumps") == []
    down = still()
    pixels_a_metre = torso_of(down) / 0.55
    since = np.clip(TIMES - 1.0, 0, 0.6)
    fall = 9.81 / 2 * since**2 - 2.0 * since  # metres below the take-off: lands 0.57 m lower
    down[..., 1] += (fall * pixels_a_metre)[:, None]
    [jump] = events(recorded(down), "jumps")
    assert np.isnan(jump.values["height_m"])
    assert "1 jump, height unknown" in summary(recorded(down), [jump])[0]


def test_steps_with_ankles_that_are_not_believed_are_left_out() -> None:
    points, _ = walking(1)
    everything = events(recorded(points), "steps")
    points[40:, [J["left_ankle"], J["right_ankle"]], 2] = 0.05
    sure = events(recorded(points), "steps")
    assert 0 < len(sure) < len(everything)
    assert max(e.start for e in sure) < 42 / RATE


def test_a_step_in_the_last_moment_of_the_clip_is_not_counted() -> None:
    points, came_down = walking(1)
    last = max(t for times in came_down.values() for t in times)
    whole = events(recorded(points), "steps")
    rows = round(last * RATE) + 2  # the foot is down in the last frame
    cut = events(recorded(points[:rows], TIMES[:rows]), "steps")
    assert [e.start for e in cut] == pytest.approx([e.start for e in whole[:-1]], abs=FRAME)


def squatting(depths) -> np.ndarray:
    """One squat a second to so many degrees at the knees."""
    points = still(np.arange(len(depths) * RATE) / RATE)
    hip, knee = points[0, J["left_hip"], :2], points[0, J["left_knee"], :2]
    thigh = np.linalg.norm(knee - hip)
    for row in range(len(points)):
        bend = (1 - np.cos(2 * np.pi * (row % RATE) / RATE)) / 2 * (180 - depths[row // RATE])
        for side in ("left", "right"):
            at = points[row, J[f"{side}_knee"], :2]
            up = points[row, J[f"{side}_ankle"], :2] - at
            turn = np.radians(bend)
            away = -np.array(
                [up[0] * np.cos(turn) - up[1] * np.sin(turn), up[0] * np.sin(turn) + up[1] * np.cos(turn)]
            )
            points[row, J[f"{side}_hip"], :2] = at + thigh * away / np.linalg.norm(away)
    return points


def test_repetitions_are_counted_and_measured() -> None:
    depths = [80, 90, 100]
    points = squatting(depths)
    times = np.arange(len(points)) / RATE
    found = events(recorded(points, times), "repetitions", angle="knee", below=120)
    assert [e.values["lowest_deg"] for e in found] == pytest.approx(depths, abs=4)
    assert [e.values["lowest_at"] for e in found] == pytest.approx([0.5, 1.5, 2.5], abs=2 * FRAME)
    assert all(e.start < e.values["lowest_at"] < e.end for e in found)
    assert events(recorded(points, times), "repetitions", angle="knee", below=60) == []
    assert len(events(recorded(points, times), "repetitions")) == 3  # the middle of its range
    assert "3 repetitions, lowest 8" in summary(recorded(points, times), found)[0]
    late = round(0.4 * RATE)  # the first one has begun
    cut = events(recorded(points[late:], times[late:]), "repetitions", angle="knee", below=120)
    assert [e.values["lowest_deg"] for e in cut] == pytest.approx(depths[1:], abs=4)


def test_the_command(tmp_path, capfd) -> None:
    points, came_down = walking(1)
    write_result(recorded(points), tmp_path / "r.json", tmp_path / "r.csv")
    code, out, err = call(capfd, "events", tmp_path / "r.json", "--kind", "steps")
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "r.steps.csv").open()))
    assert len(rows) == sum(map(len, came_down.values()))
    assert {row["side"] for row in rows} == {"left", "right"}
    assert rows[0]["seconds"] == ""  # there is no step before the first
    assert "steps a minute" in " ".join(out.split())
    code, _, err = call(capfd, "events", tmp_path / "r.json", "--kind", "dances")
    assert code == 2
    assert "steps, jumps, repetitions" in " ".join(err.split())
    assert call(capfd, "events", tmp_path / "r.json", "--kind", "jumps", "--track", 1)[0] == 0
    assert call(capfd, "events", tmp_path / "r.json", "--kind", "jumps", "--track", 7)[0] == 1
    with pytest.raises(PoseError, match="no-tracking"):
        events(recording_of([track_of(None, range(120), still())], TIMES), "steps")


def test_marks_count_and_stand_at_the_foot_that_came_down() -> None:
    points, came_down = walking(1)
    recording = recorded(points)
    shown = marks(asked_events(recording, "steps"))
    assert [m.text for m in shown] == [f"step {n}" for n in range(1, 8)]
    for side, times in came_down.items():
        assert [m.start for m in shown if m.joint == f"{side}_ankle"] == pytest.approx(times, abs=2 * FRAME)
    poses = list(poses_of(recording))
    rows = [round(m.start * RATE) for m in shown]
    for n, plain in enumerate(poses):
        image = np.zeros((480, 1500, 3), np.uint8)
        frame = replace(plain, frame=replace(plain.frame, image=image))
        Renderer(recording.skeleton, Drawing(boxes=False, skeletons=False, marks=shown)).draw(frame)
        expected = any(row <= n <= row + SHOWN * RATE + 0.01 for row in rows)
        assert bool(image.any()) == expected, n


@pytest.mark.parametrize("text", ["hops", "steps:knee", "steps,hops"])
def test_kinds_that_are_none_are_refused(text) -> None:
    with pytest.raises(PoseError, match="is not a kind of event; write steps, jumps, repetitions or"):
        asked_events(recorded(walking(1)[0]), text)


def test_joints_are_checked_once_for_all_kinds(monkeypatch) -> None:
    recording, asked = recorded(walking(1)[0]), []
    monkeypatch.setattr("posecli.results.events.check", lambda r: asked.append(r) or check(r))
    found = asked_events(recording, "steps,jumps,repetitions:elbow")
    assert len(asked) == 1
    assert found["steps"] == events(recording, "steps")
    assert asked_events(recording, "") == {}
    assert len(asked) == 2


def test_a_person_who_lacks_a_joint_does_not_end_it_for_the_others() -> None:
    points, _ = walking(1)
    legless = points.copy()
    legless[:, [J["left_ankle"], J["right_ankle"]]] = (np.nan, np.nan, 0)
    both = recording_of(
        [track_of(1, range(len(points)), legless), track_of(2, range(len(points)), points)], TIMES
    )
    assert {e.track for e in events(both, "steps")} == {2}
    assert events(both, "jumps") == []
    knees = legless.copy()
    knees[:, [J["left_knee"], J["right_knee"]]] = (np.nan, np.nan, 0)
    assert events(recorded(knees), "repetitions") == []


def test_the_report_marks_them(tmp_path) -> None:
    points, _ = walking(1)
    write_report(recorded(points), tmp_path / "r.html", None, events="steps")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    found = data["people"][0]["events"]
    assert len(found) == 7 and found[0][3] == "step 1, right"
    assert all(TIMES[first] == pytest.approx(time, abs=1e-6) for first, _, time, _ in found)
