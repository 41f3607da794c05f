"""Angles, speeds and lengths compared with values by hand: unwrapped, mirrored, and on a photo."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.formats.convert import read_foreign
from posecli.results.measure import Scale, body_height, included_angle, lean, measurable, measure
from posecli.results.recording import Recording, Track, read_result, write_result
from posecli.skeletons import BODY19, SKELETONS, mirror_name
from tests.support.command import call
from tests.support.recordings import STANDING, recording_of, standing_at, track_of

JOINTS = BODY19.joints
REPORTS = Path(__file__).parents[1] / "data" / "reports"


def recording(
    poses, times=None, skeleton=BODY19, rows=None, number=1, confidence=0.9
) -> tuple[Recording, Track]:
    """A recording of one person, from {joint: (x, y)} for each frame."""
    points = np.array([[(*p[j], confidence) for j in skeleton.joints] for p in poses], float)
    rows = np.arange(len(poses)) if rows is None else np.array(rows)
    times = np.arange(rows.max() + 1) / 25 if times is None else np.array(times, float)
    track = Track(
        number, rows, points, np.zeros((len(poses), 4)), np.ones(len(poses)), ((),) * len(poses), rows * 0
    )
    header = {"skeleton": {"joints": list(skeleton.joints)}}
    return Recording(header, np.arange(len(times)), times, ((),) * len(times), (track,)), track


def moved(**joints):
    return {**STANDING, **joints}


def values(poses, *names, **options):
    made = recording(poses, **options)
    return {c.name: c.values for c in measure(*made, angles=names)}


def test_somebody_who_stands_is_stretched_and_upright() -> None:
    found = values(
        [STANDING], "knee", "hip", "elbow", "shoulder", "thigh", "shank", "trunk", "head", "upper_arm"
    )
    for name in ("left_knee", "right_knee", "left_elbow", "right_elbow"):
        assert found[name] == pytest.approx([180])
    for name in ("trunk", "head", "left_thigh", "right_shank", "left_upper_arm"):
        assert found[name] == pytest.approx([0])
    # The hip angle is not quite straight, because shoulders are wider than hips: atan(10 / 60) off.
    assert found["left_hip"] == pytest.approx([180 - np.degrees(np.arctan(10 / 60))])
    assert found["left_shoulder"] == pytest.approx([np.degrees(np.arctan(10 / 60))])  # hanging arms


@pytest.mark.parametrize(("ankle", "angle"), [((150, 140), 90), ((110, 100), 0), ((138.284, 168.284), 135)])
def test_a_bent_knee_by_hand(ankle, angle) -> None:
    assert values([moved(left_ankle=ankle)], "left_knee")["left_knee"] == pytest.approx([angle], abs=1e-3)


def test_joint_angles_are_the_same_in_a_mirror_and_leans_change_sign() -> None:
    pose = moved(left_ankle=(150, 160), left_wrist=(160, 60), neck=(120, 45), head_top=(140, 10))
    mirror = {mirror_name(j): (200 - x, y) for j, (x, y) in pose.items()}
    one, other = (values([p], "knee", "elbow", "hip", "trunk", "shank", "head") for p in (pose, mirror))
    for name, angle in one.items():
        sign = 1 if name.split("_")[-1] in ("knee", "elbow", "hip") else -1
        assert sign * other[mirror_name(name)] == pytest.approx(angle)
    assert one["trunk"] > 0  # the neck is to the right of the hips
    assert one["trunk"] == pytest.approx([np.degrees(np.arctan2(20, 55))])


def test_a_turning_arm_goes_on_over_180() -> None:
    turns = np.radians(np.arange(0, 800, 20))
    poses = [moved(left_wrist=(120 - 30 * np.sin(a), 70 + 30 * np.cos(a))) for a in turns]
    found = values(poses, "left_forearm")["left_forearm"]
    assert found == pytest.approx(
        np.arange(0, 800, 20)
    )  # the elbow is straight above the wrist, then to its right


def test_points_in_one_place_are_numbers() -> None:
    spot = np.zeros((2, 2))
    assert included_angle(spot, spot, spot).tolist() == [180, 180]
    assert lean(spot, spot).tolist() == [0, 0]
    low = np.zeros((4, 2))
    high = np.array([[1, -1], [np.nan, np.nan], [1, 1], [-1, 1]])
    assert lean(low, high).tolist() == pytest.approx([45, np.nan, 135, 225], nan_ok=True)


def test_speeds_follow_true_times_and_stop_at_gaps() -> None:
    times = [0, 0.1, 0.15, 0.35, 5.0, 5.1]
    poses = [moved(left_wrist=(100 * t, 30)) for t in (0, 0.1, 0.15, 0.35)] + [
        moved(left_wrist=(900, 30))
    ] * 2
    made = recording(poses, [*times[:4], 1, 2, 3, *times[4:]], rows=[0, 1, 2, 3, 7, 8])
    [speed] = measure(*made, speeds=["left_wrist"])
    assert (speed.name, speed.unit) == ("left_wrist_speed", "px_s")
    assert speed.values == pytest.approx([100, 100, 100, 100, 0, 0])
    [metres] = measure(*made, speeds=["left_wrist"], scale=Scale("m", 1 / 50))
    assert (metres.unit, metres.values[0]) == ("m_s", pytest.approx(2))


def test_lengths_in_pixels_metres_and_heights() -> None:
    made = recording([STANDING] * 3)
    assert body_height(*made) == pytest.approx(181 / 0.961)
    [pixels] = measure(*made, distances=[("left_wrist", "right_wrist")])
    assert (pixels.name, pixels.unit, pixels.values[0]) == ("left_wrist_to_right_wrist", "px", 40)
    [metres] = measure(*made, distances=[("left_wrist", "right_wrist")], scale=Scale("m", None, 1.8))
    assert metres.values[0] == pytest.approx(40 * 1.8 * 0.961 / 181)
    unsure = recording([STANDING], confidence=0.1)
    assert body_height(*unsure) is None
    left, _ = measure(*unsure, speeds=["ankle"], scale=Scale("m", None, 1.8))
    assert np.isnan(left.values).all()


def test_confidence_is_the_least_and_skeletons_without_a_neck_have_a_trunk() -> None:
    made = recording([STANDING])
    made[1].keypoints[0, JOINTS.index("left_ankle"), 2] = 0.3
    left, right = measure(*made, angles=["knee"])
    assert (left.confidence[0], right.confidence[0]) == (0.3, 0.9)
    coco = SKELETONS["coco17"]
    assert values([STANDING], "trunk", skeleton=coco)["trunk"] == pytest.approx([0])
    with pytest.raises(PoseError, match="no joint head_top"):
        values([STANDING], "head", skeleton=coco)


def test_names_that_are_none() -> None:
    made = recording([STANDING])
    for options, words in (
        ({"angles": ["toe"]}, "no angle 'toe'; choose from knee, hip"),
        ({"angles": ["left_trunk"]}, "no angle 'left_trunk'"),
        ({"speeds": ["toe"]}, "no joint 'toe'"),
        ({"distances": [("nose", "toe")]}, "no joint toe"),
    ):
        with pytest.raises(PoseError, match=words):
            measure(*made, **options)
    alone = replace(made[1], number=None)
    with pytest.raises(PoseError, match="made with --no-tracking"):
        measure(made[0], alone, speeds=["wrist"])
    assert len(measure(made[0], alone, angles=["knee"])) == 2


@pytest.fixture(scope="module")
def bus_result(bus_clip, tmp_path_factory):
    import posecli
    from posecli.cli.app import main

    folder = tmp_path_factory.mktemp("result")
    for name in ("bus.json", "bus.jsonl"):
        arguments = [
            "run",
            str(bus_clip),
            "--no-video",
            "--no-csv",
            "--json",
            str(folder / name),
            "--device",
            "cpu",
            "-q",
        ]
        with pytest.raises(SystemExit):
            main([*arguments, "--out", str(folder / "x.mp4")])
    assert posecli.__version__
    return folder / "bus.json"


def test_the_command_on_a_real_run(capfd, bus_result, tmp_path) -> None:
    # A person who is cut off by the picture has no body height. The angles are there, the speeds are empty. The
    # confidence of feet outside the picture depends on the weights, so the feet of one person are removed here.
    document = json.loads(bus_result.read_text())
    nearest = min((p for f in document["frames"] for p in f["people"]), key=lambda p: p["box"][0])
    ankles = [i for i, joint in enumerate(document["skeleton"]["joints"]) if joint.endswith("ankle")]
    for person in (p for f in document["frames"] for p in f["people"] if p["track"] == nearest["track"]):
        for ankle in ankles:
            person["keypoints"][ankle][2] = 0.0
    bus_result = tmp_path / "cut.json"
    bus_result.write_text(json.dumps(document))
    out = tmp_path / "a.csv"
    code, _, err = call(capfd, "measure", bus_result, "--angles", "knee,trunk", "--speeds", "wrist", "--body-heights", "--out", out)  # fmt: skip
    assert code == 0, err
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == sum(len(f["people"]) for f in document["frames"])
    assert list(rows[0])[:5] == ["frame", "time", "track", "left_knee_deg", "left_knee_confidence"]
    recording = read_result(bus_result)
    cut = {str(t.number) for t in recording.tracks if body_height(recording, t) is None}
    assert str(nearest["track"]) in cut and len(cut) < len(recording.tracks)
    assert {r["track"] for r in rows if r["left_wrist_speed_heights_s"] == ""} == cut
    assert all(r["left_knee_deg"] for r in rows)
    for number in cut:
        assert f"Person {number} is never seen from head to foot" in err
    code, _, err = call(capfd, "measure", bus_result, "--speeds", "wrist", "--body-heights", *(w for c in cut for w in ("--track", c)), "--out", tmp_path / "b.csv")  # fmt: skip
    assert (code, "Nobody is ever seen from head to foot" in err, (tmp_path / "b.csv").exists()) == (
        1,
        True,
        False,
    )
    # The man on the left walks upright. Measured by hand, his trunk leans by less than 10 degrees.
    man = min(document["frames"][0]["people"], key=lambda p: p["box"][0] + 1000 * (p["score"] < 0.5))
    his = [r for r in rows if r["track"] == str(man["track"])]
    assert all(abs(float(r["trunk_deg"])) < 12 for r in his)
    assert [(float(r["time"]), int(r["track"])) for r in rows] == sorted((float(r["time"]), int(r["track"])) for r in rows)  # fmt: skip
    code, _, err = call(capfd, "measure", bus_result, "--out", out)
    assert (code, "exists already" in err) == (1, True)


def test_json_lines_read_the_same(bus_result) -> None:
    one, other = read_result(bus_result), read_result(bus_result.with_suffix(".jsonl"))
    assert [t.number for t in one.tracks] == [t.number for t in other.tracks]
    for a, b in zip(one.tracks, other.tracks, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(one.times, other.times)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[: len(t) // 2], "damaged or cut short"),
        (lambda t: '{"images": []}', "not a result of `posecli run`"),
        (lambda t: "[1, 2]", "not a result of `posecli run`"),
        (lambda t: re.sub('"format": ?2', '"format": 9', t), "has the format 9; this posecli reads 1 and 2"),
        (lambda t: re.sub('"score": ?0', '"score": NaN, "was": 0', t), "holds NaN where a number should be"),
        (lambda t: t.replace('"keypoints"', '"points"'), "frames are not what"),
    ],
)
def test_results_that_are_none_are_one_sentence(bus_result, tmp_path, change, words) -> None:
    path = tmp_path / "r.json"
    path.write_text(change(bus_result.read_text()))
    with pytest.raises(PoseError, match=words):
        read_result(path)


def test_a_folder_of_results_gives_one_table(tmp_path, capfd) -> None:
    times = np.arange(60) / 30
    points = np.array([standing_at(100) for _ in times])
    ankle = BODY19.joints.index("left_ankle")
    points[:, ankle, 0] += 40 * np.sin(np.pi * times)  # bends the left knee, slowly
    points[30:33, ankle, 2] = 0.1  # below the minimum confidence
    for name in ("a", "b"):
        write_result(
            recording_of([track_of(1, range(60), points)], times),
            tmp_path / f"{name}.json",
            tmp_path / "x.csv",
        )
    (tmp_path / "other.json").write_text("{}")
    code, _, err = call(capfd, "measure", tmp_path, "--angles", "knee,trunk")
    assert code == 0, err
    assert "other.json" in err
    rows = list(csv.DictReader((tmp_path / "summary.csv").open()))
    assert [(r["result"], r["angle"]) for r in rows] == [
        (f"{name}.json", angle) for name in ("a", "b") for angle in ("knee", "trunk")
    ]
    knee, trunk = rows[:2]
    assert int(knee["frames"]) == 60  # of the right leg; the left has 57
    low, high, span = (float(knee[f"left_{part}_deg"]) for part in ("min", "max", "range"))
    assert high - low == pytest.approx(span, abs=0.002)
    assert span > 5
    assert float(knee["right_range_deg"]) == 0
    assert float(knee["range_left_minus_right_deg"]) == pytest.approx(span, abs=0.002)
    assert trunk["right_min_deg"] == ""
    code, _, err = call(capfd, "measure", tmp_path, "--speeds", "ankle")
    assert code == 2
    (tmp_path / "empty").mkdir()
    code, _, err = call(capfd, "measure", tmp_path / "empty")
    assert (code, "holds no result" in err) == (1, True)


def test_without_a_word_a_result_of_one_side_gives_that_side_s_angles(tmp_path, capfd) -> None:
    one_sided = read_foreign(REPORTS / "dlc_oneside.csv", rate=25, size=(400, 400))
    write_result(one_sided, tmp_path / "r.json", tmp_path / "r.csv")
    assert measurable(one_sided.joints, ["knee", "hip", "elbow"]) == ["left_knee"]
    code, _, err = call(capfd, "measure", tmp_path / "r.json")
    assert code == 0, err
    head = (tmp_path / "r.measure.csv").read_text().splitlines()[0]
    assert head == "frame,time,track,left_knee_deg,left_knee_confidence,implausible"


def turned(points, degrees):
    """A person in a picture that is rotated clockwise."""
    angle = np.radians(degrees)
    across = points[..., 0] * np.cos(angle) - points[..., 1] * np.sin(angle)
    down = points[..., 0] * np.sin(angle) + points[..., 1] * np.cos(angle)
    return np.stack([across, down, points[..., 2]], axis=-1)


def test_a_tilted_camera_is_told_by_a_line_or_in_degrees(tmp_path, capfd) -> None:
    upright = np.array([standing_at(100) for _ in range(3)])
    for degrees, name in ((0, "straight.json"), (10, "tilted.json")):
        points = turned(upright, degrees)
        made = recording_of([track_of(1, range(3), points)], np.arange(3) / 10)
        write_result(made, tmp_path / name, tmp_path / "r.csv")

    def measured(name, *options):
        code, _, err = call(
            capfd, "measure", tmp_path / name, "--angles", "trunk,knee", *options,
            "--out", tmp_path / "t.csv", "--overwrite",
        )  # fmt: skip
        assert code == 0, err
        return next(csv.DictReader((tmp_path / "t.csv").open()))

    straight, tilted = measured("straight.json"), measured("tilted.json")
    assert float(tilted["trunk_deg"]) == pytest.approx(float(straight["trunk_deg"]) + 10, abs=0.01)
    assert "tilt_deg" not in tilted
    level = f"{0},{0},{600 * np.cos(np.radians(10)):.4f},{600 * np.sin(np.radians(10)):.4f}"
    backwards = ",".join([*level.split(",")[2:], "0", "0"])
    for options in (("--horizon", level), ("--horizon", backwards), ("--rotate", "-10")):
        found = measured("tilted.json", *options)
        assert float(found["trunk_deg"]) == pytest.approx(float(straight["trunk_deg"]), abs=0.01)
        assert found["left_knee_deg"] == tilted["left_knee_deg"]
        assert float(found["tilt_deg"]) == pytest.approx(10, abs=0.01)


def test_a_line_of_known_length_gives_metres(tmp_path, capfd) -> None:
    points = np.array([standing_at(100 + 50 * n) for n in range(5)])  # 500 pixels a second
    made = recording_of([track_of(1, range(5), points)], np.arange(5) / 10)
    write_result(made, tmp_path / "r.json", tmp_path / "r.csv")
    code, _, err = call(
        capfd, "measure", tmp_path / "r.json", "--speeds", "nose", "--known-length", "10,10,310,410=2",
    )  # fmt: skip
    assert code == 0, err
    row = list(csv.DictReader((tmp_path / "r.measure.csv").open()))[2]
    assert float(row["pixels_per_metre"]) == 250
    assert float(row["nose_speed_m_s"]) == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--known-length", "10,10,310,410"), "needs a length"),
        (("--known-length", "10,10,10,10=2"), "is not a line"),
        (("--known-length", "10,10,300,10=0"), "needs a length above 0"),
        (("--known-length", "10,10,900,10=2"), "outside the picture, which is 640x480"),
        (("--horizon", "1,2,3"), "is not a line"),
        (("--horizon", "100,20,103,400"), "closer to vertical than to horizontal"),
        (("--speeds", "ankle", "--scale-from-height", "180"), "180 m is too tall"),
        (("--horizon", "0,0,9,9", "--rotate", "3"), "Give only one of"),
        (("--known-length", "0,0,9,9=1", "--body-heights"), "Give only one of"),
    ],
)
def test_lines_that_are_none_are_refused(tmp_path, capfd, options, told) -> None:
    made = recording_of([track_of(1, range(2), np.array([standing_at(100)] * 2))], np.arange(2) / 10)
    write_result(made, tmp_path / "r.json", tmp_path / "r.csv")
    code, _, err = call(capfd, "measure", tmp_path / "r.json", *options)
    assert code == 2 and told in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "r.measure.csv").exists()


def test_joints_that_are_not_believed_are_named_in_the_last_column(tmp_path, capfd) -> None:
    points = np.array([standing_at(100) for _ in range(20)])
    knee = BODY19.joints.index("left_knee")
    points[7, knee, 0] += 400
    made = recording_of([track_of(1, range(20), points)], np.arange(20) / 25)
    write_result(made, tmp_path / "r.json", tmp_path / "r.csv")
    code, _, err = call(capfd, "measure", tmp_path / "r.json", "--angles", "knee")
    assert code == 0 and "Person 1: in 5% of the frames a joint is implausible" in " ".join(err.split())
    rows = list(csv.DictReader((tmp_path / "r.measure.csv").open()))
    assert "left_knee" in rows[7]["implausible"].split()
    assert [n for n, row in enumerate(rows) if row["implausible"]] == [7]


@pytest.mark.parametrize(
    ("command", "out", "told"),
    [
        (("measure",), "r.csv", "is part of the result that is read"),
        (("measure",), "clip.mp4", "does not end in .csv"),
        (("events", "--kind", "steps"), "r.json", "does not end in .csv"),
        (("report", "--no-video"), "clip.mp4", "does not end in .html"),
        (("convert", "--to", "coco", "--lossy"), "clip.mp4", "does not end in .json"),
        (("convert", "--to", "coco", "--lossy"), "r.json", "is part of the result that is read"),
        (("smooth",), "r.json", "is part of the result that is read"),
        (("check",), "r.json", "is part of the result that is read"),
    ],
)
def test_nothing_is_written_over_the_result_or_a_film(tmp_path, capfd, command, out, told) -> None:
    made = recording_of([track_of(1, range(9), np.array([standing_at(100)] * 9))], np.arange(9) / 10)
    write_result(made, tmp_path / "r.json", tmp_path / "r.csv")
    (tmp_path / "clip.mp4").write_bytes(b"film")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    name, *options = command
    code, _, err = call(capfd, name, tmp_path / "r.json", *options, "--out", tmp_path / out, "--overwrite")
    assert (code, told in " ".join(err.split())) == (1, True), err
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
