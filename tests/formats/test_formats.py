"""Formats of other tools, read back with independent readers. And results of other tools, converted to posecli."""

import json
import os
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.formats.convert import FORMATS, convert, losses, read_foreign
from posecli.formats.json_files import BODY25_JOINTS, body25
from posecli.formats.motion import coordinates
from posecli.results.edit import rename
from posecli.results.measure import Scale
from posecli.results.recording import read_result, write_result
from posecli.skeletons import BODY19, COCO17
from tests.support.command import call
from tests.support.recordings import SCHEMA, recording_of, standing_at, track_of

TIMES = np.arange(8) / 25
KNEE = BODY19.joints.index("left_knee")
JITTER = np.random.default_rng(3).normal(0, 3, (8, 19, 2)).round(2)


@pytest.fixture
def two():
    """Person 1 is in all eight frames, person 2 in five. They walk, with noise so that all numbers differ."""
    first = np.array([standing_at(10.25 * i, 50, confidence=0.9 - 0.05 * i) for i in range(8)])
    first[..., :2] += JITTER
    second = np.array([standing_at(400 - 7.5 * i, 60) for i in range(5)])
    return recording_of([track_of(1, range(8), first), track_of(2, range(2, 7), second, place=1)], TIMES)


@pytest.fixture
def one(two):
    return replace(two, tracks=two.tracks[:1])


@pytest.fixture
def uneven(two):
    return replace(two, times=np.array([0.0, 0.04, 0.08, 0.3, 0.34, 0.38, 0.42, 0.46]))


def test_coco_s_own_reader_takes_the_results(two, tmp_path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    convert(two, "coco", tmp_path / "r.json", lossy=True)
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(8)], "annotations": [],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
    }  # fmt: skip
    truth.createIndex()
    results = truth.loadRes(str(tmp_path / "r.json"))
    assert len(results.anns) == 13
    [entry] = [a for a in results.loadAnns(results.getAnnIds(imgIds=[3])) if a["track_id"] == 2]
    points = np.array(entry["keypoints"]).reshape(17, 3)
    assert points == pytest.approx(two.track(2).keypoints[1, :17], abs=0.005)
    assert entry["time"] == pytest.approx(0.12)


def test_openpose_has_its_order_its_neck_and_zeros_for_feet(two, tmp_path) -> None:
    [folder] = convert(two, "openpose", tmp_path / "op", lossy=True)
    files = sorted(folder.iterdir())
    assert [f.name for f in files][:2] == [f"walk_{i:012}_keypoints.json" for i in range(2)]
    assert len(files) == 8
    frame = json.loads(files[3].read_text())
    assert [p["person_id"] for p in frame["people"]] == [[1], [2]]
    points = np.array(frame["people"][1]["pose_keypoints_2d"]).reshape(25, 3)
    ours = two.track(2).keypoints[1]
    at = {j: ours[BODY19.joints.index(j)] for j in BODY19.joints}
    assert points[0] == pytest.approx(at["nose"])
    assert points[1, :2] == pytest.approx(
        (at["left_shoulder"] + at["right_shoulder"])[:2] / 2
    )  # not the neck of body19
    assert points[8, :2] == pytest.approx((at["left_hip"] + at["right_hip"])[:2] / 2)
    assert points[4] == pytest.approx(at["right_wrist"])
    assert points[14] == pytest.approx(at["left_ankle"])
    assert (points[19:] == 0).all()
    assert BODY25_JOINTS[15:19] == ("right_eye", "left_eye", "right_ear", "left_ear")
    assert (body25(ours[:17], COCO17)[1] == points[1]).all()


def test_alphapose_and_mmpose(two, tmp_path) -> None:
    convert(two, "alphapose", tmp_path / "a.json", lossy=True)
    entries = json.loads((tmp_path / "a.json").read_text())
    assert [(e["image_id"], e["idx"]) for e in entries][2:4] == [("2.jpg", 1), ("2.jpg", 2)]
    assert len(entries[0]["keypoints"]) == 51
    convert(two, "mmpose", tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_text())
    names = document["meta_info"]["keypoint_id2name"]
    assert tuple(names[str(k)] for k in range(19)) == BODY19.joints
    assert [len(f["instances"]) for f in document["instance_info"]] == [1, 1, 2, 2, 2, 2, 2, 1]
    knee = document["instance_info"][4]["instances"][1]["keypoints"][KNEE]
    assert knee == pytest.approx(list(two.track(2).keypoints[2, KNEE, :2]), abs=0.005)


@pytest.mark.parametrize("kind", ["dlc-csv", "dlc-h5"])
def test_pandas_reads_deeplabcut_s_files_and_so_do_we(two, tmp_path, kind) -> None:
    pandas = pytest.importorskip("pandas")
    named = rename(two, 2, "Anna")
    [file] = convert(named, kind, tmp_path / f"d{FORMATS[kind].suffix}")
    table = (
        pandas.read_hdf(file) if kind == "dlc-h5" else pandas.read_csv(file, header=[0, 1, 2, 3], index_col=0)
    )
    assert list(table.columns.names) == ["scorer", "individuals", "bodyparts", "coords"]
    anna = table["posecli"]["Anna"]["left_knee"]
    assert anna["x"].isna().tolist() == [True, True, *[False] * 5, True]
    assert anna.loc[3, ["x", "y", "likelihood"]].to_numpy(float) == pytest.approx(
        two.track(2).keypoints[1, KNEE]
    )
    again = read_foreign(file, rate=25.0, size=(640, 480))
    assert again.joints == BODY19.joints
    assert [list(t.rows) for t in again.tracks] == [list(t.rows) for t in two.tracks]
    for a, b in zip(again.tracks, two.tracks, strict=True):
        assert a.keypoints == pytest.approx(b.keypoints)
    assert again.times == pytest.approx(TIMES)
    assert again.skeleton.bones


def test_parquet_and_the_long_table(two, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    flagged = replace(two, tracks=(replace(two.tracks[0], flags=(("smoothed",),) * 8), two.tracks[1]))
    convert(rename(flagged, 1, "Bo"), "parquet", tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet").to_pandas()
    assert list(table.columns) == ["frame", "time", "track", "name", "joint", "x", "y", "confidence", "flags"]
    assert len(table) == 13 * 19
    assert table.equals(rename(flagged, 1, "Bo").to_frame())
    assert table["time"].is_monotonic_increasing
    row = table[(table.frame == 3) & (table.track == 1) & (table.joint == "left_knee")].iloc[0]
    assert (row.x, row.y, row.confidence) == pytest.approx(tuple(two.track(1).keypoints[3, KNEE]))
    assert (row["name"], row["flags"], row.time) == ("Bo", "smoothed", pytest.approx(0.12))
    meta = parquet.read_metadata(tmp_path / "t.parquet").metadata
    assert json.loads(meta[b"posecli"])["source"]["name"] == "walk.mp4"
    nobody = replace(two, tracks=()).to_frame()
    assert len(nobody) == 0 and list(nobody.columns) == list(table.columns)


def test_npz_is_what_it_says(two, tmp_path) -> None:
    convert(two, "npz", tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        assert file["keypoints"].shape == (8, 2, 19, 3)
        assert np.isnan(file["keypoints"][0, 1]).all()
        assert (file["keypoints"][2:7, 1] == two.track(2).keypoints).all()
        assert file["joints"].tolist() == list(BODY19.joints)
        assert file["times"] == pytest.approx(TIMES)
        assert json.loads(str(file["head"]))["format"] == 2


def test_ezc3d_reads_the_c3d(two, tmp_path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    files = convert(two, "c3d", tmp_path / "w.c3d", scale=Scale("m", 0.01))
    assert [f.name for f in files] == ["w.person1.c3d", "w.person2.c3d"]
    file = ezc3d.c3d(str(files[1]))
    assert file["parameters"]["POINT"]["LABELS"]["value"] == list(BODY19.joints)
    assert file["parameters"]["POINT"]["RATE"]["value"][0] == pytest.approx(25.0)
    assert file["parameters"]["POINT"]["UNITS"]["value"] == ["m"]
    points = file["data"]["points"]  # (4, K, F)
    assert points.shape == (4, 19, 8)
    x, y, _ = two.track(2).keypoints[1, KNEE]
    assert points[:3, KNEE, 3] == pytest.approx(((x + 0.5) / 100, (479.5 - y) / 100, 0.0), abs=1e-5)
    residuals = file["data"]["meta_points"]["residuals"][0]
    assert (residuals[:, [0, 1, 7]] == -1).all()
    assert (residuals[:, 2:7] == 0).all()


def test_trc_and_mot_are_opensim_s(one, two, tmp_path) -> None:
    [file] = convert(one, "trc", tmp_path / "w.trc", scale=Scale("m", None, 1.8))
    lines = file.read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    head = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert (head["NumFrames"], head["NumMarkers"], head["Units"]) == ("8", "19", "m")
    assert float(head["DataRate"]) == 25
    assert [m for m in lines[3].split("\t")[2:] if m] == list(BODY19.joints)
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    rows = np.array([line.split("\t") for line in lines[6:]], float)
    assert rows.shape == (8, 2 + 3 * 19)
    assert rows[:, 1] == pytest.approx(TIMES)
    assert (rows[:, 4::3] == 0).all()  # z
    shoulder, ankle = (rows[:, 2 + 3 * BODY19.joints.index(j) + 1] for j in ("left_shoulder", "left_ankle"))
    assert (shoulder > ankle).all()  # y is up
    empty = convert(two, "trc", tmp_path / "x.trc", scale=Scale("m", 0.01))[1].read_text().splitlines()[6]
    assert empty.split("\t")[2:] == ["nan"] * 57
    [file] = convert(one, "mot", tmp_path / "w.mot")
    lines = file.read_text().splitlines()
    assert lines[1:6] == ["version=1", "nRows=8", "nColumns=10", "inDegrees=yes", "endheader"]
    columns = lines[6].split("\t")
    rows = np.array([line.split("\t") for line in lines[7:]], float)
    assert rows.shape == (8, len(columns)) == (8, 10)
    assert rows[:, 0] == pytest.approx(TIMES)
    assert (np.abs(rows[:, columns.index("knee_angle_l")]) < 30).all()


@pytest.mark.parametrize("faces", [1, -1], ids=["right", "left"])
def test_mot_has_opensim_s_coordinates_and_signs_whichever_way_somebody_faces(faces) -> None:
    """The trunk leans forwards by 20 degrees. Right side: hip flexed by 70, knee 90, arm 60, elbow 30. Left: straight."""
    length = {"trunk": 100.0, "thigh": 80.0, "shank": 80.0, "upper_arm": 50.0, "forearm": 50.0}

    def away(start, forward_degrees, size) -> np.ndarray:
        """The point `size` pixels below `start`, rotated forwards."""
        turn = np.radians(forward_degrees)
        return start + size * np.array([faces * np.sin(turn), np.cos(turn)])

    places = {"pelvis": np.array([300.0, 240.0])}
    places["neck"] = away(places["pelvis"], 180 - 20, length["trunk"])
    for side, thigh, shank, upper, fore in (("right", 50, -40, 40, 70), ("left", -20, -20, -20, -20)):
        places[f"{side}_hip"], places[f"{side}_shoulder"] = places["pelvis"], places["neck"]
        places[f"{side}_knee"] = away(places[f"{side}_hip"], thigh, length["thigh"])
        places[f"{side}_ankle"] = away(places[f"{side}_knee"], shank, length["shank"])
        places[f"{side}_elbow"] = away(places[f"{side}_shoulder"], upper, length["upper_arm"])
        places[f"{side}_wrist"] = away(places[f"{side}_elbow"], fore, length["forearm"])
    points = np.zeros((19, 3))
    points[:, 2] = 0.9
    points[:, :2] = places["neck"]
    for name, place in places.items():
        if name in BODY19.joints:
            points[BODY19.joints.index(name), :2] = place
    points[BODY19.joints.index("nose"), 0] += faces * 15
    recording = recording_of([track_of(1, range(8), np.array([points] * 8))], TIMES)
    found = {name: float(values[0]) for name, values in coordinates(recording, recording.tracks[0]).items()}
    expected = {
        "pelvis_tilt": -20, "hip_flexion_r": 70, "knee_angle_r": 90, "arm_flex_r": 60, "elbow_flex_r": 30,
        "hip_flexion_l": 0, "knee_angle_l": 0, "arm_flex_l": 0, "elbow_flex_l": 0,
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=0.01)


def test_what_would_be_lost_is_said_and_nothing_written(two, uneven, tmp_path) -> None:
    assert losses(two, FORMATS["coco"]) == ["the joints neck, head_top"]
    with pytest.raises(PoseError, match="coco would lose the joints neck, head_top; add --lossy"):
        convert(two, "coco", tmp_path / "x.json")
    with pytest.raises(PoseError, match="own times, which are uneven"):
        convert(uneven, "mmpose", tmp_path / "x.json")
    with pytest.raises(PoseError, match="one frame rate only"):
        convert(uneven, "c3d", tmp_path / "x.c3d", scale=Scale("m", 0.01))
    flagged = replace(two, tracks=(replace(two.tracks[0], flags=(("smoothed",),) * 8),))
    with pytest.raises(PoseError, match="which rows are smoothed"):
        convert(flagged, "npz", tmp_path / "x.npz")
    with pytest.raises(PoseError, match="holds metres"):
        convert(two, "trc", tmp_path / "x.trc")
    with pytest.raises(PoseError, match="rotations of bones"):
        convert(two, "bvh", tmp_path / "x.bvh")
    with pytest.raises(PoseError, match="no format 'xml'"):
        convert(two, "xml", tmp_path / "x.xml")
    untracked = replace(two, tracks=(replace(two.tracks[0], number=None),))
    for kind in ("npz", "dlc-csv", "mot"):
        with pytest.raises(PoseError, match="no-tracking"):
            convert(untracked, kind, tmp_path / "x")
    with pytest.raises(PoseError, match="can't be written"):
        convert(two, "npz", tmp_path / "nowhere" / "x.npz")
    # The body height of one person is unknown. Nothing may be written for the other person either.
    faint = replace(two.tracks[1], keypoints=two.tracks[1].keypoints * (1, 1, 0.1))
    with pytest.raises(PoseError, match="Person 2 is never seen"):
        convert(
            replace(two, tracks=(two.tracks[0], faint)),
            "trc",
            tmp_path / "y.trc",
            scale=Scale("m", None, 1.8),
        )
    assert list(tmp_path.iterdir()) == []


def test_their_results_become_ours(two, bus_clip, tmp_path, capfd) -> None:
    convert(two, "openpose", tmp_path / "op", lossy=True)
    again = read_foreign(tmp_path / "op", rate=25.0, size=(640, 480))
    assert again.joints == BODY25_JOINTS
    assert [list(t.rows) for t in again.tracks] == [list(t.rows) for t in two.tracks]
    for joint in COCO17.joints:
        a, b = again.joints.index(joint), BODY19.joints.index(joint)
        assert again.track(1).keypoints[:, a] == pytest.approx(two.track(1).keypoints[:, b], abs=0.005)
    convert(two, "coco", tmp_path / "c.json", lossy=True)
    again = read_foreign(tmp_path / "c.json", size=(640, 480))  # posecli's own COCO file has times
    assert again.times[:8] == pytest.approx(TIMES)
    assert again.track(2).boxes == pytest.approx(two.track(2).boxes, abs=0.005)
    code, _, err = call(
        capfd,
        "convert",
        tmp_path / "op",
        "--to",
        "posecli",
        "--rate",
        25,
        "--size",
        "640x480",
        "--out",
        tmp_path / "o.json",
    )
    assert code == 0, err
    jsonschema.validate(json.loads((tmp_path / "o.json").read_text()), SCHEMA)
    # Other commands work on the imported result: measure, smooth and draw.
    assert call(capfd, "measure", tmp_path / "o.json", "--angles", "knee,trunk", "--quiet")[0] == 0
    assert call(capfd, "smooth", tmp_path / "o.json", "--fill", 2, "--quiet")[0] == 0
    code, _, err = call(
        capfd,
        "convert",
        tmp_path / "op",
        "--to",
        "posecli",
        "--source",
        bus_clip,
        "--out",
        tmp_path / "b.json",
    )
    assert code == 0, err
    code, _, err = call(capfd, "draw", tmp_path / "b.json", bus_clip, "--out", tmp_path / "b.mp4", "--quiet")
    assert code == 0, err


def test_files_that_are_none_are_one_sentence(two, tmp_path, capfd) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "list.json").write_text('[{"image_id": 1}]')
    (tmp_path / "joints.json").write_text('[{"image_id": 1, "keypoints": [1, 2, 1]}]')
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.h5").write_bytes(b"x" * 100)
    (tmp_path / "op").mkdir()
    (tmp_path / "op" / "a_000_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2]}]}')
    write_result(two, tmp_path / "ours.json")
    for name, sentence in (
        ("empty", "no *_keypoints.json"), ("text.json", "can't be read; posecli reads"),
        ("list.json", "can't be read; posecli reads"), ("joints.json", "not COCO's 17"),
        ("table.csv", "not what DeepLabCut writes"), ("broken.h5", "not what DeepLabCut writes"),
        ("op", "not what OpenPose writes"), ("ours.json", "result of posecli already"), ("none", "There is no"),
    ):  # fmt: skip
        arguments = ("--to", "posecli", "--rate", 25, "--size", "640x480", "--out", tmp_path / "x.json")
        code, _, err = call(capfd, "convert", tmp_path / name, *arguments)
        assert (code, sentence in err) == (1, True), (name, err)
    convert(two, "coco", tmp_path / "c.json", lossy=True)
    stripped = [
        {k: v for k, v in e.items() if k != "time"} for e in json.loads((tmp_path / "c.json").read_text())
    ]
    (tmp_path / "c.json").write_text(json.dumps(stripped))
    assert "has no frame times" in call(capfd, "convert", tmp_path / "c.json", "--to", "posecli")[2]
    assert (
        "has no picture size"
        in call(capfd, "convert", tmp_path / "c.json", "--to", "posecli", "--rate", 25)[2]
    )
    assert not (tmp_path / "x.json").exists()


def test_the_command_writes_several_and_overwrites_nothing(one, tmp_path, capfd) -> None:
    write_result(one, tmp_path / "w.json")
    code, _, err = call(capfd, "convert", tmp_path / "w.json", "--to", "npz,mot,mmpose")
    assert code == 0, err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.json", "w.mmpose.json", "w.mot", "w.npz"]
    for arguments, code, sentence in (
        (("--to", "npz"), 1, "exists already"),
        (("--to", "coco"), 1, "would lose"),
        (("--to", "npz,mot", "--out", "x"), 2, "one format"),
        (("--to", "npz", "--rate", 3), 2, "need --to posecli"),
        (("--to", "posecli", "--size", "big"), 2, "not a picture size"),
    ):
        found, _, err = call(capfd, "convert", tmp_path / "w.json", *arguments)
        assert found == code, (arguments, err)
        assert sentence in " ".join(err.replace("│", " ").split()), err
    assert read_result(tmp_path / "w.json").joints == BODY19.joints


def test_one_person_is_converted_and_all_losses_are_told_at_once(uneven, tmp_path, capfd) -> None:
    result = tmp_path / "r.json"
    write_result(uneven, result, tmp_path / "r.csv")
    code, _, err = call(capfd, "convert", result, "--to", "coco,openpose", "--quiet")
    assert code == 1
    assert "coco would lose" in err
    assert "openpose would lose" in err
    out = tmp_path / "one.npz"
    code, _, err = call(capfd, "convert", result, "--to", "npz", "--track", 2, "--lossy", "--out", out)
    assert code == 0, err
    assert np.load(out)["tracks"].tolist() == [2]
    code, _, err = call(
        capfd, "convert", result, "--to", "npz", "--track", 9, "--lossy", "--out", tmp_path / "x"
    )
    assert (code, "no person 9" in err) == (1, True)


@pytest.mark.parametrize("missing", [(0, 0, 0), (-1, -1, 0), (0, 0, 0.3), (None, None, None)])
def test_openpose_s_missing_joints_are_missing_however_they_are_written(tmp_path, missing) -> None:
    points = [v for k in range(25) for v in (100 + k, 200 + k, 0.9)]
    points[3 * 4 : 3 * 5] = missing
    (tmp_path / "a_000_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": points}]}))
    recording = read_foreign(tmp_path, rate=25, size=(400, 400))
    keypoints = recording.tracks[0].keypoints[0]
    gone = recording.joints.index("right_wrist")
    assert np.isnan(keypoints[gone, :2]).all()
    assert keypoints[gone, 2] == 0
    assert np.isfinite(np.delete(keypoints, gone, axis=0)).all()


def test_openpose_s_shares_of_the_picture_are_refused(tmp_path) -> None:
    points = [v for k in range(25) for v in (k / 25, 0.5, 0.9)]
    (tmp_path / "a_000_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": points}]}))
    with pytest.raises(PoseError, match="between 0 and 1; run OpenPose with --keypoint_scale 0"):
        read_foreign(tmp_path, rate=25, size=(400, 400))


def test_a_deeplabcut_row_that_was_cut_short_is_named(one, tmp_path) -> None:
    [file] = convert(one, "dlc-csv", tmp_path / "w.csv", lossy=True)
    lines = file.read_text().splitlines()
    lines[6] = ",".join(lines[6].split(",")[:5])
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(PoseError, match="row 7 has 5 cells, the first row"):
        read_foreign(file, rate=25, size=(640, 480))


def test_a_word_in_a_deeplabcut_cell_is_named(one, tmp_path) -> None:
    [file] = convert(one, "dlc-csv", tmp_path / "w.csv", lossy=True)
    lines = file.read_text().splitlines()
    cells = lines[6].split(",")
    lines[6] = ",".join([*cells[:4], "high", *cells[5:]])
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(PoseError, match=r"of \w+ in frame \d+ is 'high', not a number"):
        read_foreign(file, rate=25, size=(640, 480))


@pytest.mark.parametrize("kind", ["parquet", "dlc-h5"])
def test_names_of_any_bytes(one, tmp_path, kind) -> None:
    library = {"parquet": "pyarrow", "dlc-h5": "tables"}[kind]
    pytest.importorskip(library)
    out = tmp_path / os.fsdecode(b"caf\xe9.out")
    [file] = convert(one, kind, out, lossy=True)
    assert file.stat().st_size > 1000
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
