"""The whole way with the shipped weights, on a clip of real people."""

import time

import numpy as np
import pytest

import posecli
from posecli.pipeline import Choices, ahead, carried, chosen_frames, chosen_people
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
    seldom = list(posecli.run(bus_clip, device="cpu", detect_every=3))
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


def test_carried_boxes_follow_the_joints() -> None:
    points = np.zeros((19, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = np.linspace(100, 140, 19), np.linspace(50, 150, 19), 0.9
    person = Person(1, 0.7, np.array([0, 0, 20, 20], np.float32), points)
    frame = Frame(0, 0, np.zeros((160, 200, 3), np.uint8))
    boxes = carried((person,), frame)
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
