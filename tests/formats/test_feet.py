"""Heels and big toes in the formats of other tools, and results without feet."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from posecli.formats.convert import FORMATS, convert, losses, read_foreign
from posecli.formats.json_files import BODY25_JOINTS, HALPE26_JOINTS
from posecli.formats.motion import coordinates
from posecli.results.measure import Scale
from posecli.skeletons import BODY19, BODY23, FEET
from tests.support.recordings import recording_of, standing_at, track_of

TIMES = np.arange(6) / 25


def somebody(skeleton=BODY23):
    points = np.array([standing_at(100 + 3 * n, 40, skeleton=skeleton) for n in range(6)])
    points[..., :2] += np.random.default_rng(5).normal(0, 2, points[..., :2].shape).round(2)
    return recording_of([track_of(1, range(6), points)], TIMES, skeleton=skeleton)


def test_openpose_has_heels_and_big_toes_and_gives_them_back(tmp_path) -> None:
    made = somebody()
    assert losses(made, FORMATS["openpose"]) == ["the joints neck, head_top"]
    [folder] = convert(made, "openpose", tmp_path / "op", lossy=True)
    frame = json.loads(sorted(folder.iterdir())[2].read_text())
    points = np.array(frame["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    at = dict(zip(BODY23.joints, made.track(1).keypoints[2], strict=True))
    assert points[[19, 21, 22, 24]] == pytest.approx(
        np.array([at[j] for j in ("left_big_toe", "left_heel", "right_big_toe", "right_heel")]), abs=0.005
    )
    assert (points[[20, 23]] == 0).all()
    again = read_foreign(folder, rate=25.0, size=(640, 480))
    for joint in FEET:
        theirs, ours = BODY25_JOINTS.index(joint), BODY23.joints.index(joint)
        assert again.track(1).keypoints[:, theirs] == pytest.approx(
            made.track(1).keypoints[:, ours], abs=0.005
        )


@pytest.mark.parametrize("skeleton", [BODY19, BODY23], ids=lambda s: s.name)
def test_halpe26_has_its_order_and_zeros_for_what_there_is_not(tmp_path, skeleton) -> None:
    made = somebody(skeleton)
    assert losses(made, FORMATS["halpe26"]) == []
    convert(made, "halpe26", tmp_path / "h.json")
    entries = json.loads((tmp_path / "h.json").read_text())
    assert [(e["image_id"], e["idx"]) for e in entries][:2] == [("0.jpg", 1), ("1.jpg", 1)]
    points = np.array(entries[3]["keypoints"]).reshape(26, 3)
    at = dict(zip(skeleton.joints, made.track(1).keypoints[3], strict=True))
    for place, joint in ((0, "nose"), (15, "left_ankle"), (17, "head_top"), (18, "neck")):
        assert points[place] == pytest.approx(at[joint], abs=0.005)
    assert points[19, :2] == pytest.approx((at["left_hip"] + at["right_hip"])[:2] / 2, abs=0.006)
    assert HALPE26_JOINTS[20:] == (
        "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel",
    )  # fmt: skip
    assert (points[22:24] == 0).all()
    for place in (20, 21, 24, 25):
        expected = at.get(HALPE26_JOINTS[place], np.zeros(3))
        assert points[place] == pytest.approx(expected, abs=0.005)


def test_coco_and_alphapose_say_that_feet_would_be_lost() -> None:
    for name in ("coco", "alphapose"):
        assert losses(somebody(), FORMATS[name]) == [f"the joints neck, head_top, {', '.join(FEET)}"]


def test_all_joints_are_in_the_formats_that_take_all(tmp_path) -> None:
    made = somebody()
    [trc] = convert(made, "trc", tmp_path / "f.trc", scale=Scale("m", 0.01))
    assert [m for m in trc.read_text().splitlines()[3].split("\t")[2:] if m] == list(BODY23.joints)
    pytest.importorskip("pandas")
    [table] = convert(made, "dlc-csv", tmp_path / "f.dlc.csv")
    again = read_foreign(table, rate=25.0, size=(640, 480))
    assert again.joints == BODY23.joints
    assert set(again.skeleton.bones) == set(BODY23.bones)
    # BlazePose's name for the toes.
    table.write_text(table.read_text().replace("big_toe", "foot_index"))
    assert read_foreign(table, rate=25.0, size=(640, 480)).joints == BODY23.joints


@pytest.mark.parametrize("faces", [1, -1], ids=["right", "left"])
@pytest.mark.parametrize(("shank", "foot", "ankle"), [(0, 0, 0), (15, 0, 15), (0, 20, 20), (-10, -30, -40)])
def test_mot_has_ankles_whichever_way_somebody_faces(faces, shank, foot, ankle) -> None:
    """shank: forward lean in degrees. foot: rise of the toe in degrees. Bending the foot up is positive."""
    points = standing_at(300, 100, skeleton=BODY23)
    at = {joint: points[k] for k, joint in enumerate(BODY23.joints)}  # views
    at["nose"][0] = 400 + faces * 15
    for side in ("left", "right"):
        lean, rise = np.radians([shank, foot])
        at[f"{side}_knee"][:2] = at[f"{side}_ankle"][:2] + 40 * np.array(
            [faces * np.sin(lean), -np.cos(lean)]
        )
        at[f"{side}_big_toe"][:2] = at[f"{side}_heel"][:2] + 25 * np.array(
            [faces * np.cos(rise), -np.sin(rise)]
        )
    made = recording_of([track_of(1, range(6), [points] * 6)], TIMES, skeleton=BODY23)
    found = coordinates(made, made.tracks[0])
    for name in ("ankle_angle_r", "ankle_angle_l"):
        assert found[name] == pytest.approx(np.full(6, ankle), abs=0.01)
    assert not any(
        name.startswith("ankle") for name in coordinates(somebody(BODY19), somebody(BODY19).tracks[0])
    )


def test_opensim_has_markers_on_heel_and_toes(tmp_path) -> None:
    for skeleton, bodies in ((BODY23, {"calcn_l", "calcn_r", "toes_l", "toes_r"}), (BODY19, set())):
        folder = tmp_path / skeleton.name
        convert(somebody(skeleton), "opensim", folder, scale=Scale("m", 0.01))
        markers = ET.parse(folder / "markers.xml").getroot()
        parents = {
            m.get("name"): m.findtext("socket_parent_frame").split("/")[-1] for m in markers.iter("Marker")
        }
        assert {b for b in parents.values() if b.startswith(("calcn", "toes"))} == bodies
        tasks = [t.get("name") for t in ET.parse(folder / "person1.ik.xml").getroot().iter("IKMarkerTask")]
        assert sorted(tasks) == sorted(parents)
    assert parents["left_ankle"] == "talus_l"
