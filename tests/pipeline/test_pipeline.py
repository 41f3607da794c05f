"""The whole way with the shipped weights, on a clip of real people."""

import time
from fractions import Fraction

import numpy as np
import pytest

import posecli
from posecli.pipeline.loop import (
    Choices,
    carried,
    chosen_frames,
    chosen_people,
    follow,
    known_people,
    make_tracker,
    recall,
    twins_of,
)
from posecli.pipeline.second_look import better_looks, second_looks
from posecli.pipeline.tracker import Tracker
from posecli.prefetch import ahead, room
from posecli.sources.open import open_source
from posecli.types import Boxes, Frame, Person


@pytest.fixture(scope="module")
def frames(bus_clip):
    return list(posecli.run(bus_clip, device="cpu"))


def test_the_people_at_the_bus_are_found_and_followed(frames) -> None:
    # After the first frames the man and the woman are there all the time, under one number each.
    numbers = [{p.track for p in f.people} for f in frames]
    steady = set.intersection(*numbers)
    assert len(steady) >= 2
    assert all(len(n) <= 5 for n in numbers)


def test_joints_stand_in_the_order_of_a_standing_person(frames) -> None:
    joints = posecli.SKELETONS["body19"].joints
    man = min(frames[0].people, key=lambda p: p.box[0])
    y = {name: man.keypoints[joints.index(name), 1] for name in joints}
    assert y["head_top"] < y["nose"] < y["left_shoulder"] < y["left_hip"] < y["left_knee"] < y["left_ankle"]
    assert man.box[1] - 10 < y["head_top"]
    assert y["left_ankle"] < man.box[3] + 10


def test_the_same_run_gives_the_same_numbers(bus_clip, frames) -> None:
    again = list(posecli.run(bus_clip, device="cpu"))
    for a, b in zip(frames, again, strict=True):
        assert [p.track for p in a.people] == [p.track for p in b.people]
        for p, q in zip(a.people, b.people, strict=True):
            assert (p.keypoints == q.keypoints).all()


def test_detecting_every_few_frames_finds_the_same_joints(bus_clip, frames) -> None:
    seldom = list(posecli.run(bus_clip, device="cpu", detect_every=2))  # at 8 frames/s
    close = total = 0
    for a, b in zip(frames, seldom, strict=True):
        theirs = {p.track: p for p in b.people}
        for p in a.people:
            height = p.box[3] - p.box[1]
            sure = p.keypoints[:, 2] > 0.5
            total += int(sure.sum())
            if p.track in theirs:
                gap = np.linalg.norm(theirs[p.track].keypoints[sure, :2] - p.keypoints[sure, :2], axis=1)
                close += int((gap < 0.05 * height).sum())
    assert close > 0.8 * total


def test_skeletons_and_heads_are_chosen(bus_clip) -> None:
    few = list(posecli.run(bus_clip, device="cpu", skeleton="mpii16", max_people=1, tracking=False, stride=4))
    assert len(few) == 2
    assert all(len(f.people) <= 1 for f in few)
    assert few[0].people[0].keypoints.shape == (16, 3)
    assert few[0].people[0].track is None


def test_start_end_and_stride_keep_index_and_time(clips) -> None:
    source = open_source(str(clips / "plain.mp4"))
    chosen = list(chosen_frames(source, Choices(start=0.2, end=0.6, stride=3)))
    assert [f.index for f in chosen] == [5, 8, 11, 14]
    assert [float(f.time) for f in chosen] == [0.2, 0.32, 0.44, 0.56]


def test_two_boxes_of_one_person_are_one_person() -> None:
    rng = np.random.default_rng(0)
    pose = np.concatenate([rng.uniform(0, 100, (19, 2)), np.full((19, 1), 0.8)], axis=1)
    same, other = np.add(pose, [1, 1, -0.2]), np.add(pose, [200, 0, 0])
    keypoints = np.stack([pose, same, other]).astype(np.float32)
    boxes = Boxes(np.array([[0, 0, 100, 100], [0, 0, 100, 60], [200, 0, 300, 100]], np.float32), np.array([0.9, 0.8, 0.5]))  # fmt: skip
    assert chosen_people(boxes, keypoints) == [0, 2]
    assert chosen_people(boxes, keypoints, most=1) == [0]


def test_a_box_with_hardly_a_joint_is_nobody() -> None:
    keypoints = np.zeros((1, 19, 3), np.float32)
    keypoints[..., 2] = 0.05
    assert chosen_people(Boxes(np.array([[0, 0, 50, 50]]), np.array([0.9])), keypoints) == []


def test_newcomers_must_be_surer_than_people_who_were_shown_and_most_of_all_inside_of_these() -> None:
    tracker = make_tracker(Fraction(25), Choices())
    keypoints = np.zeros((3, 19, 3), np.float32)
    keypoints[:, :, 0] = np.array([[50.0], [120], [300]]) + np.arange(19)
    keypoints[..., 2] = [[0.9], [0.5], [0.5]]
    boxes = Boxes(
        np.array([[0, 0, 200, 400], [100, 200, 180, 400], [290, 0, 340, 200.0]]), np.array([0.9, 0.5, 0.2])
    )
    shown = chosen_people(boxes, keypoints, [1, 2, 3], tracker)
    assert shown == [0, 2]  # the second is the leg of the first
    doubtful = Boxes(boxes.xyxy, np.array([0.9, 0.7, 0.15]))
    assert chosen_people(doubtful, keypoints, [1, 2, 3], tracker) == [0, 1]
    tracker.name([3], [Person(None, 0.9, boxes.xyxy[2], keypoints[2])])
    assert chosen_people(doubtful, keypoints, [1, 2, 3], tracker) == [0, 1, 2]


def test_a_newcomer_whose_box_holds_that_of_somebody_shown_must_be_as_sure() -> None:
    tracker = make_tracker(Fraction(25), Choices())
    keypoints = np.zeros((2, 19, 3), np.float32)
    keypoints[:, :, 0] = np.array([[150.0], [50]]) + np.arange(19)
    keypoints[..., 2] = [[0.9], [0.5]]
    boxes = Boxes(np.array([[100, 200, 200, 400], [0, 0, 220, 400.0]]), np.array([0.9, 0.5]))
    assert chosen_people(boxes, keypoints, [1, 2], tracker) == [0]  # the second is the first and a lamp post
    sure = Boxes(boxes.xyxy, np.array([0.9, 0.7]))
    assert chosen_people(sure, keypoints, [1, 2], tracker) == [0, 1]
    tracker.name([2], [Person(None, 0.5, boxes.xyxy[1], keypoints[1])])
    assert chosen_people(boxes, keypoints, [1, 2], tracker) == [0, 1]


@pytest.mark.parametrize(("right", "shown"), [(175, [0]), (165, [1, 0])])
def test_most_of_the_box_is_enough_and_a_newcomer_surer_than_the_one_shown_does_not_come_first(
    right, shown
) -> None:
    tracker = make_tracker(Fraction(25), Choices())
    keypoints = np.zeros((2, 19, 3), np.float32)
    keypoints[:, :, 0] = np.array([[150.0], [50]]) + np.arange(19)
    keypoints[..., 2] = 0.5
    boxes = Boxes(np.array([[100, 200, 200, 400], [0, 0, right, 400.0]]), np.array([0.2, 0.4]))
    tracker.name([1], [Person(None, 0.2, boxes.xyxy[0], keypoints[0])])
    assert chosen_people(boxes, keypoints, [1, 2], tracker) == shown  # 0.75 or 0.65 of the box is held


def test_of_two_boxes_that_mean_one_person_the_more_believed_was_shown_before() -> None:
    tracker = make_tracker(Fraction(25), Choices())
    tracker.numbers = {5: 1, 6: 1, 7: 2}
    known = known_people(np.array([0.2, 0.5, 0.1, 0.9]), [5, 6, 7, 8], tracker)
    assert known.tolist() == [False, True, True, False]


def test_somebody_lost_is_looked_for_within_a_newcomers_box() -> None:
    tracker = make_tracker(Fraction(25), Choices())
    box = np.array([100, 200, 200, 400.0])
    tracker.step()
    [person] = tracker.name([1], [Person(None, 0.9, box, np.full((19, 3), 0.9))])
    around = Boxes(np.array([[90, 190, 240, 600], [500, 200, 600, 400.0]]), np.array([0.4, 0.4]))
    assert recall(tracker, [2, 3], around) == [person, None]
    both = Boxes(np.stack([box, around.xyxy[0]]), around.scores)
    assert recall(tracker, [1, 2], both) == [person, None]  # not lost


def test_carried_boxes_follow_the_joints() -> None:
    points = np.zeros((19, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = np.linspace(100, 140, 19), np.linspace(50, 150, 19), 0.9
    person = Person(1, 0.7, np.array([0, 0, 20, 20], np.float32), points)
    frame = Frame(0, 0, np.zeros((160, 200, 3), np.uint8))
    boxes = carried((person,), Boxes.none(), frame)
    np.testing.assert_allclose(boxes.xyxy[0], [88, 38, 153, 160], atol=1e-4)  # cut at the picture's edge
    assert boxes.scores.tolist() == pytest.approx([0.7])


def test_fetching_ahead_keeps_order_and_passes_errors_on() -> None:
    assert list(ahead(range(100), 3)) == list(range(100))

    def broken():
        yield 1
        raise ValueError("there")

    items = ahead(broken(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="there"):
        next(items)


def test_few_large_pictures_wait_and_more_small_ones() -> None:
    assert room(640, 360) == room(1280, 720) == 8
    assert room(3840, 2160) == 2
    assert room(2560, 1440) == 6


def test_a_stopped_reader_ends_its_thread() -> None:
    import threading

    before = threading.active_count()
    items = ahead(iter(int, 1), 2)  # endless
    next(items)
    items.close()
    assert threading.active_count() == before


def test_of_a_source_in_real_time_the_newest_is_taken_and_the_rest_counted() -> None:
    import threading

    begun, read, dropped = threading.Event(), threading.Event(), []

    def camera():
        yield 0
        begun.wait(5)
        yield from range(1, 6)
        read.wait(5)

    items = ahead(camera(), 1, lambda: dropped.append(1))
    assert next(items) == 0
    begun.set()
    time.sleep(0.3)  # the others come while this one is worked on
    assert next(items) == 5
    read.set()
    assert list(items) == []
    assert len(dropped) == 4


def test_duration_counts_from_the_first_frame(clips) -> None:
    source = open_source(str(clips / "late.mkv"))
    chosen = list(chosen_frames(source, Choices(duration=0.4)))
    assert [round(float(f.time), 2) for f in chosen] == [round(0.5 + n / 25, 2) for n in range(10)]


def standing(x: float, confidence: float = 0.9, track: int | None = None) -> Person:
    """Somebody 100 pixels high whose joints lie around (x, 50)."""
    points = np.zeros((19, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = (
        x + np.linspace(-10, 10, 19),
        np.linspace(5, 95, 19),
        confidence,
    )
    return Person(track, 0.9, np.array([x - 22, 0, x + 22, 107], np.float32), points)


def test_a_newcomer_where_somebody_lost_stood_is_that_person() -> None:
    tracker = Tracker(backend=None, patience=5)
    assert [p.track for p in tracker.name([7, 8], [standing(50), standing(200)])] == [1, 2]
    tracker.frame = 3
    # Backend 9 is new: at 53 it is who was at 50. Backend 8 is still itself.
    assert [p.track for p in tracker.name([8, 9], [standing(201), standing(53)])] == [2, 1]
    # Both 7 and 9 now mean person 1; shown together they can't be the same.
    assert [p.track for p in tracker.name([9, 7], [standing(54), standing(120)])] == [1, 3]
    for _ in range(27):
        tracker.step()
    assert [p.track for p in tracker.name([10], [standing(54)])] == [4]  # too long ago
    # Nobody is taken for somebody who is in the picture under another box.
    assert [p.track for p in tracker.name([8, 11], [standing(200), standing(203)])] == [2, 5]


def test_a_box_with_the_shadow_in_it_gives_way_to_the_smaller_one() -> None:
    frame = Frame(0, Fraction(0), np.zeros((400, 400, 3), np.uint8))
    boxes = Boxes(np.array([[10, 0, 60, 250], [200, 0, 260, 200.0]]), np.array([0.6, 0.7]))
    given = Boxes(
        np.array([[10, 0, 60, 250], [12, 2, 58, 110], [200, 0, 260, 200], [210, 10, 250, 90.0]]), np.ones(4)
    )
    keypoints = np.zeros((2, 19, 3), np.float32)
    keypoints[:, :, 2] = [[0.4], [0.9]]
    looks = second_looks(boxes, keypoints, [None, None], given, frame.image)
    assert [(look.row, look.box.tolist()) for look in looks] == [(0, [12, 2, 58, 110])]  # row 1 is sure
    others = np.full((1, 19, 3), 0.45, np.float32)
    same, _, _ = better_looks(boxes, keypoints, (), looks, others, ())
    assert same.xyxy[0, 3] == 250  # 0.45 is not clearly more than 0.4
    others[..., 2] = 0.8
    better, points, _ = better_looks(boxes, keypoints, (), looks, others, ())
    assert better.xyxy[0].tolist() == [12, 2, 58, 110]
    assert points[0, 0, 2] == pytest.approx(0.8)
    assert (better.xyxy[1] == boxes.xyxy[1]).all()


def test_a_box_that_jumps_is_compared_with_where_the_person_stood() -> None:
    frame = Frame(0, Fraction(0), np.zeros((400, 400, 3), np.uint8))
    before = standing(50)
    near = Boxes(before.box[None], np.array([0.9]))
    far = Boxes(np.array([[35, 0, 65, 300.0]]), np.array([0.9]))
    keypoints = before.keypoints[None]
    assert second_looks(near, keypoints, [before], near, frame.image) == []
    # In a box that fits badly the joints may still be sure, and where they were: that is good enough.
    assert second_looks(far, keypoints, [before], far, frame.image) == []
    elsewhere, doubtful = np.add(keypoints, [0, 150, 0]), keypoints * [1, 1, 0.6]
    for seen in (elsewhere, doubtful):
        [look] = second_looks(far, seen, [before], far, frame.image)
        assert look.row == 0
        assert look.box[3] < 120


def test_newcomers_appear_between_detections_too() -> None:
    """The tracker shows a newcomer at the second frame; where nothing is detected there, the box waits."""
    tracker = make_tracker(Fraction(25), Choices())
    frame = Frame(0, Fraction(0), np.zeros((200, 300, 3), np.uint8))
    first = Boxes(np.array([[10, 10, 60, 150.0]], np.float32), np.array([0.9], np.float32))
    both = Boxes(
        np.array([[10, 10, 60, 150], [200, 20, 250, 160.0]], np.float32), np.array([0.9, 0.8], np.float32)
    )
    assert len(follow(first, tracker, frame.image)[0]) == 1
    known, _, waiting = follow(both, tracker, frame.image)
    assert (len(known), waiting.xyxy.tolist()) == (1, [[200, 20, 250, 160]])
    person = Person(1, 0.9, first.xyxy[0], np.zeros((19, 3), np.float32))
    shown, ids, waiting = follow(carried((person,), waiting, frame), tracker, frame.image)
    assert (len(shown), len(set(ids)), len(waiting)) == (2, 2, 0)


def test_a_box_that_held_somebody_shown_in_another_means_that_person() -> None:
    tracker = Tracker(backend=None, patience=5)
    tracker.name([1], [standing(50)])
    whole = np.stack([standing(50).box, [28, 0, 72, 60], standing(300).box])
    points = np.stack([standing(50).keypoints, standing(50.5).keypoints, standing(300).keypoints])
    assert twins_of([0], Boxes(whole, np.ones(3)), points) == [(1, 0)]
    tracker.join(2, 1)
    assert [p.track for p in tracker.name([2], [standing(51)])] == [1]
