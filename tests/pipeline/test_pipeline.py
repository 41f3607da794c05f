"""The whole way with the shipped weights, on a clip of real people."""

import time
from fractions import Fraction

import numpy as np
import pytest

import posecli
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import chosen_frames
from posecli.pipeline.people import People, shown_rows
from posecli.prefetch import ahead, room
from posecli.sources.open import open_source
from posecli.types import Boxes, Chosen, Frame, Person, Seen


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
    assert shown_rows(boxes, keypoints) == [0, 2]
    assert shown_rows(boxes, keypoints, most=1) == [0]


def test_a_box_with_hardly_a_joint_is_nobody() -> None:
    keypoints = np.zeros((1, 19, 3), np.float32)
    keypoints[..., 2] = 0.05
    assert shown_rows(Boxes(np.array([[0, 0, 50, 50]]), np.array([0.9])), keypoints) == []


def standing(x: float, confidence: float = 0.9, track: int | None = None) -> Person:
    """Somebody 100 pixels high whose joints lie around (x, 50)."""
    points = np.zeros((19, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = (
        x + np.linspace(-10, 10, 19),
        np.linspace(5, 95, 19),
        confidence,
    )
    return Person(track, 0.9, np.array([x - 22, 0, x + 22, 107], np.float32), points)


def picture(index: int = 0, width: int = 400) -> Frame:
    return Frame(index, Fraction(index, 25), np.zeros((200, width, 3), np.uint8))


def show(people: People, frame: Frame, *seen: Person) -> tuple[list[int | None], Seen]:
    """The track IDs that people get whose boxes are found in a frame, and what is kept of it."""
    xyxy = np.array([p.box for p in seen], np.float32).reshape(-1, 4)
    finds = Boxes(xyxy, np.array([p.score for p in seen], np.float32))
    followed = people.follow(frame, finds)
    rows = [int(np.abs(xyxy - box).sum(axis=1).argmin()) for box in followed.boxes.xyxy]
    points = np.array([seen[row].keypoints for row in rows], np.float32).reshape(-1, 19, 3)
    shown, _, kept = people.show(followed, points)
    return [p.track for p in shown], kept


def test_somebody_who_is_hidden_for_a_second_keeps_the_track_id() -> None:
    people = People(Choices())
    assert show(people, picture(0), standing(50), standing(200))[0] == [1, 2]
    for index in range(1, 26):
        assert show(people, picture(index), standing(200))[0] == [2]
    assert sorted(show(people, picture(26), standing(51), standing(200))[0]) == [1, 2]


def test_in_photos_somebody_who_is_in_one_alone_is_shown() -> None:
    photos, video = People(Choices(), still=True), People(Choices())
    for people, newcomer in ((photos, [2]), (video, [])):
        assert show(people, picture(0), standing(50))[0] == [1]
        assert show(people, picture(1), standing(250))[0] == newcomer
    assert show(photos, picture(2), standing(251), standing(50))[0] == [2, 1]
    assert show(video, picture(2), standing(251), standing(50))[0] == [2, 1]


@pytest.mark.parametrize(
    ("rate", "gap", "kept"), [(240, 300, True), (240, 400, False), (12, 15, True), (12, 21, False)]
)
def test_the_tracker_remembers_by_time_whatever_the_frame_rate(rate, gap, kept) -> None:
    """1.5 seconds: 360 frames of a high-speed clip, 18 of a slow one."""
    people = People(Choices())

    def at(index):
        return Frame(index, Fraction(index, rate), np.zeros((200, 300, 3), np.uint8))

    for index in range(3):
        assert show(people, at(index), standing(50), standing(200))[0] == [1, 2]
    for index in range(3, 3 + gap):
        assert show(people, at(index), standing(200))[0] == [2]
    again = {n for k in range(3) for n in show(people, at(3 + gap + k), standing(50), standing(200))[0]}
    assert (1 in again, 3 in again) == (kept, not kept)


def test_a_run_that_goes_on_gives_the_track_ids_of_the_unbroken_one() -> None:
    whole, again = (People(Choices()) for _ in range(2))
    frames = [(standing(50 + 2 * i), standing(300 - 2 * i)) for i in range(12)]
    kept = [show(whole, picture(i), *seen)[1] for i, seen in enumerate(frames[:6])]
    for seen in kept:
        again.replay(seen)
    for i, seen in enumerate(frames[6:], 6):
        assert show(whole, picture(i), *seen)[0] == show(again, picture(i), *seen)[0]


def test_people_who_were_selected_keep_the_track_ids_of_the_first_pass() -> None:
    box = Boxes(standing(50).box[None], np.array([0.9], np.float32))
    people = People(Choices(), Chosen((7,), {0: box}, {0: [7]}))
    followed = people.follow(picture(0), box)
    assert [p.track for p in people.show(followed, standing(50).keypoints[None])[0]] == [7]


def test_newcomers_must_be_surer_than_people_who_were_shown_and_most_of_all_inside_of_these() -> None:
    keypoints = np.zeros((3, 19, 3), np.float32)
    keypoints[:, :, 0] = np.array([[50.0], [120], [300]]) + np.arange(19)
    keypoints[..., 2] = [[0.9], [0.5], [0.5]]
    boxes = Boxes(
        np.array([[0, 0, 200, 400], [100, 200, 180, 400], [290, 0, 340, 200.0]]), np.array([0.9, 0.5, 0.2])
    )
    nobody, first = [False] * 3, [True, False, False]
    assert shown_rows(boxes, keypoints, None, nobody) == [0, 2]  # the second is the leg of the first
    surer = Boxes(boxes.xyxy, np.array([0.9, 0.7, 0.15]))
    assert shown_rows(surer, keypoints, None, first) == [0, 1]  # 0.15 x 0.5 is not enough
    assert shown_rows(surer, keypoints, None, [True, False, True]) == [0, 1, 2]
    assert shown_rows(boxes, keypoints) == [0, 1, 2]  # photos have no before


def test_carried_boxes_follow_the_joints() -> None:
    """Between two looks at a live source, people are looked for around the joints of the frame before."""
    people = People(Choices())
    points = np.zeros((19, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = np.linspace(100, 140, 19), np.linspace(50, 150, 19), 0.9
    show(people, picture(0, 200), Person(None, 0.7, np.array([0, 0, 20, 20], np.float32), points))
    finds = people.follow(Frame(1, Fraction(1, 25), np.zeros((160, 200, 3), np.uint8)), None).finds
    np.testing.assert_allclose(finds.xyxy[0], [88, 38, 153, 160], atol=1e-4)  # cut at the picture's edge
    assert finds.scores.tolist() == pytest.approx([0.7])


def test_newcomers_appear_between_detections_too() -> None:
    """The tracker shows a newcomer at the second frame; where nothing is detected there, the box waits."""
    people = People(Choices())
    assert show(people, picture(0), standing(50))[0] == [1]
    assert show(people, picture(1), standing(50), standing(300))[0] == [1]
    assert len(people.follow(picture(2), None).boxes) == 2


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
