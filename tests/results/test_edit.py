"""Manual corrections: only the requested values change."""

import csv
import json

import jsonschema
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.results import edit
from posecli.results.edit import Span, choose, edited, parse_span
from posecli.results.recording import poses_of, read_result, write_result
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import SCHEMA, recording_of, standing_at, track_of

TIMES = np.arange(10) / 10


@pytest.fixture
def two():
    """Person 1 walks right in all ten frames. Person 2 walks left in the first six, person 3 in the last three."""
    return recording_of(
        [
            track_of(1, range(10), [standing_at(10 * i) for i in range(10)], place=1),
            track_of(2, range(6), [standing_at(400 - 10 * i) for i in range(6)], place=0),
            track_of(3, range(7, 10), [standing_at(330 - 10 * i) for i in range(3)], place=0),
        ],
        TIMES,
    )


@pytest.fixture
def result(two, tmp_path):
    write_result(two, tmp_path / "walk.json", tmp_path / "walk.csv")
    return tmp_path / "walk.json"


def test_what_is_read_is_written_again_to_the_byte(bus_result, tmp_path) -> None:
    made = bus_result
    write_result(read_result(made), tmp_path / "again.json", tmp_path / "again.csv")
    assert (tmp_path / "again.json").read_bytes() == made.read_bytes()
    assert (tmp_path / "again.csv").read_bytes() == made.with_suffix(".csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.csv", "again.json"]


def test_spans() -> None:
    assert parse_span("12.3-12.9") == Span(12.3, 12.9)
    assert parse_span("30-") == Span(30.0, None)
    assert parse_span("-5") == Span(None, 5.0)
    assert parse_span("7") == Span(7.0, 7.0)
    for wrong in ("", "-", "a-b", "5-3", "1-2-3"):
        with pytest.raises(PoseError):
            parse_span(wrong)


def test_numbers_are_exchanged_from_a_time_on(two) -> None:
    changed = edit.swap_ids(two, 1, 2, Span(0.3))
    one, other = changed.track(1), changed.track(2)
    assert list(one.rows) == [0, 1, 2, 3, 4, 5]
    assert list(other.rows) == list(range(10))
    assert one.keypoints[2, 0, 0] == 100 + 20  # before: itself
    assert one.keypoints[3, 0, 0] == 100 + 400 - 30  # from 0.3 s on the other
    assert other.keypoints[9, 0, 0] == 100 + 90
    again = edit.swap_ids(changed, 1, 2, Span(0.3))
    assert all((a.keypoints == b.keypoints).all() for a, b in zip(again.tracks, two.tracks, strict=True))


def test_sides_are_exchanged_and_joints_blanked_in_their_span_only(two) -> None:
    left, right = BODY19.joints.index("left_wrist"), BODY19.joints.index("right_wrist")
    changed = edit.swap_sides(two, 2, Span(0.2, 0.4))
    before, after = two.track(2).keypoints, changed.track(2).keypoints
    assert (after[2:5, left] == before[2:5, right]).all()
    assert (after[[0, 1, 5]] == before[[0, 1, 5]]).all()
    changed = edit.blank(two, 2, "left_wrist", Span(0.2, 0.4))
    points = changed.track(2).keypoints
    assert (points[2:5, left, 2] == 0).all()
    assert (points[..., :2] == before[..., :2]).all()  # the position stays
    assert points[..., 2].sum() == pytest.approx(before[..., 2].sum() - 3 * 0.9)


def test_people_are_merged_deleted_and_named(two) -> None:
    merged = edit.merge(edit.rename(two, 3, "Bo"), [2, 3])
    assert [t.number for t in merged.tracks] == [1, 2]
    assert list(merged.track(2).rows) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert merged.names == {}
    with pytest.raises(PoseError, match=r"1 and 2 are both there at 0\.000 s"):
        edit.merge(two, [1, 2])
    gone = edit.delete(two, 2)
    assert [t.number for t in gone.tracks] == [1, 3]
    assert len(list(poses_of(gone))) == 10
    partly = edit.delete(two, 1, Span(0.45))
    assert list(partly.track(1).rows) == [0, 1, 2, 3, 4]
    assert edit.rename(two, 2, "Anna").names == {2: "Anna"}


def test_who_is_meant_by_largest_longest_and_centre(two) -> None:
    assert edit.choose(two, "longest") == [1]
    assert edit.choose(two, "3,1") == [3, 1]
    assert edit.choose(two, "centre") == [
        3
    ]  # 3 stands around 410, 1 around 145, 2 around 475; the middle is 320
    moment = track_of(4, [0], [standing_at(220, scale=2.0)])  # nearer to the middle, but in too few frames
    bigger = track_of(5, range(6), [standing_at(0, scale=2.0)] * 6)
    more = recording_of([*two.tracks, moment, bigger], TIMES)
    assert edit.choose(more, "largest") == [5]
    assert edit.choose(recording_of([*two.tracks, moment], TIMES), "largest") == [1]
    for wrong in ("biggest", "9", ""):
        with pytest.raises(PoseError):
            edit.choose(two, wrong)


def test_the_command_writes_json_and_table_that_agree(result, capfd) -> None:
    code, out, err = call(
        capfd, "edit", result, "--merge", "2,3", "--rename", "2=Anna, 2", "--swap-sides", "1@0.5-"
    )
    assert (code, out) == (0, ""), err
    document = json.loads(result.with_name("walk.edited.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["names"] == {"2": "Anna, 2"}
    assert document["options"]["edits"] == ["swap-sides 1@0.5-", "merge 2,3", "rename 2=Anna, 2"]
    assert document["summary"]["tracks"] == 2
    with result.with_name("walk.edited.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(r["track"], r["name"]) for r in rows} == {("1", ""), ("2", "Anna, 2")}
    people = sum(len(f["people"]) for f in document["frames"])
    assert len(rows) == people == 19
    for row, person in zip(rows, (p for f in document["frames"] for p in f["people"]), strict=True):
        assert int(row["track"]) == person["track"]
        assert float(row["left_knee_x"]) == person["keypoints"][BODY19.joints.index("left_knee")][0]
    # An edited result can be edited again, and keeps its history.
    call(capfd, "edit", result.with_name("walk.edited.json"), "--select", "longest", "--quiet")
    document = json.loads(result.with_name("walk.edited.edited.json").read_text())
    assert document["options"]["edits"][-1] == "select longest"
    assert {p["track"] for f in document["frames"] for p in f["people"]} == {1}


def test_edits_that_make_no_sense_change_nothing(result, capfd) -> None:
    before = {p: p.read_bytes() for p in result.parent.iterdir()}
    for arguments, code, sentence in (
        ((), 2, "at least one edit"),
        (("--delete", "9"), 1, "no person 9"),
        (("--delete", "x"), 2, "no track ID"),
        (("--delete", "2@50-"), 1, "not there from 50 s"),
        (("--blank", "2"), 2, "needs a joint"),
        (("--blank", "2:tail@1-2"), 1, "no joint tail"),
        (("--swap-ids", "1@3-"), 2, "needs two track IDs"),
        (("--swap-ids", "1,1"), 2, "needs two track IDs"),
        (("--rename", "2="), 2, "needs a track ID and a name"),
        (("--swap-sides", "2@5-3"), 1, "ends before it begins"),
        (("--delete", "2", "--out", result), 1, "is part of the result that is read"),
        (("--delete", "2", "--out", result, "--overwrite"), 1, "is part of the result that is read"),
        (("--delete", "2", "--out", result.with_suffix(".txt")), 1, "is no JSON file"),
        (("--delete", "2", "--source", "nowhere.mp4"), 1, "no nowhere.mp4"),
    ):
        found, _, err = call(capfd, "edit", result, *arguments)
        assert found == code, arguments
        assert sentence in " ".join(err.replace("│", " ").split()), err
    assert {p: p.read_bytes() for p in result.parent.iterdir()} == before


# ---------------------------------------------------------------- joints moved by hand


def still(count=60, rate=25):
    points = np.array([standing_at(200, 50) for _ in range(count)])
    return recording_of([track_of(1, range(count), points)], np.arange(count) / rate)


KNEE = BODY19.joints.index("left_knee")


def test_a_joint_is_moved_in_one_frame_and_flagged_alone() -> None:
    done = edited(still(), [("move", "1:left_knee@0.4=300,200")]).tracks[0]
    assert done.keypoints[10, KNEE].tolist() == [300, 200, 1]
    assert np.argwhere(done.marks["corrected"]).tolist() == [[10, KNEE]]
    assert done.flags[10] == ("corrected",)
    untouched = np.ones(60, bool)
    untouched[10] = False
    np.testing.assert_array_equal(done.keypoints[untouched], still().tracks[0].keypoints[untouched])


def test_frames_between_two_moves_are_filled_in_whatever_their_order() -> None:
    moves = [
        ("move", "1:left_knee@0.4=300,200"),
        ("move", "1:left_knee@#20=340,220"),
        ("move", "1:left_knee@0.6=320,205"),
    ]
    one, other = (edited(still(), order).tracks[0] for order in (moves, moves[::-1]))
    np.testing.assert_allclose(one.keypoints, other.keypoints)
    path = one.keypoints[10:21, KNEE]
    assert (np.diff(path[:, 0]) > 0).all()
    assert path[[0, 5, 10], 0].tolist() == [300, 320, 340]
    assert (path[:, 2] == 1).all()
    filled = one.marks["interpolated"][:, KNEE]
    assert np.flatnonzero(filled).tolist() == [11, 12, 13, 14, 16, 17, 18, 19]
    assert one.marks["corrected"][10:21, KNEE].all()


def test_moves_far_apart_leave_what_is_between() -> None:
    done = edited(still(), [("move", "1:left_knee@0.4=300,200"), ("move", "1:left_knee@2.0=340,220")]).tracks[
        0
    ]
    assert np.flatnonzero(done.marks["corrected"].any(axis=1)).tolist() == [10, 50]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:left_knee@0.4", "needs a position"), ("1:left_knee=3,4", "needs one frame"), ("1:left_knee@0-1=3,4", "needs one frame"),
        ("1@0.4=3,4", "needs a joint"), ("1:tail@0.4=3,4", "no joint tail"), ("9:left_knee@0.4=3,4", "no person 9"),
        ("1:left_knee@99=3,4", "is not there"), ("x:left_knee@0.4=3,4", "no track ID"),
    ],
)  # fmt: skip
def test_a_move_that_can_t_be_made_says_why(text, said) -> None:
    with pytest.raises(PoseError, match=said):
        edited(still(), [("move", text)])


def test_somebody_is_chosen_by_a_place_in_the_picture() -> None:
    left = track_of(1, range(20), [standing_at(100, 50) for _ in range(20)])
    right = track_of(2, range(20), [standing_at(400, 50) for _ in range(20)], place=1)
    recording = recording_of([left, right], np.arange(20) / 25)
    assert choose(recording, "500,150@0.4") == [2]
    assert choose(recording, "500,150@0.4;200,100@0.1") == [2, 1]
    with pytest.raises(PoseError, match=r"Nobody is at 5,5 at 0\.4 s"):
        choose(recording, "5,5@0.4")
    with pytest.raises(PoseError, match="is not a place"):
        choose(recording, "here@0.4")
