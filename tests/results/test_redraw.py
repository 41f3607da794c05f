"""A saved result drawn into its video again."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from posecli.draw.angles import draw_angles, triples
from posecli.draw.renderer import Renderer, blur_face
from posecli.draw.skeleton import LEFT, RED, RIGHT, Drawing
from posecli.errors import PoseError
from posecli.results.edit import rename
from posecli.results.recording import poses_of, read_result, write_result
from posecli.results.render import matched
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from posecli.types import Frame, Person
from tests.support.command import call
from tests.support.recordings import recording_of, standing_at, track_of


def frames(path):
    source = open_source(str(path))
    found = [(f.time, f.image) for f in source]
    source.close()
    return found


def drawn_on(ground, image):
    return np.abs(ground.astype(int) - image.astype(int)).max(axis=2) > 50


def test_drawing_again_is_what_run_drew(bus_result, bus_clip, tmp_path, capfd) -> None:
    code, _, err = call(capfd, "draw", bus_result, bus_clip, "--out", tmp_path / "again.mp4", "--quiet")
    assert code == 0, err
    plain, first, again = (
        frames(bus_clip),
        frames(bus_result.with_suffix(".mp4")),
        frames(tmp_path / "again.mp4"),
    )
    assert [t for t, _ in again] == [t for t, _ in first]
    for (_, ground), (_, a), (_, b) in zip(plain, first, again, strict=True):
        # Coordinates in the file have two decimals, so lines and box sides may be off by a pixel.
        lines, lines_again = drawn_on(ground, a), drawn_on(ground, b)
        assert lines.mean() > 0.03
        for here, there in ((lines, lines_again), (lines_again, lines)):
            near = cv2.dilate(there.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            assert (here & ~near).sum() < 0.01 * here.sum()
        assert np.abs(a[lines & lines_again].mean(axis=0) - b[lines & lines_again].mean(axis=0)).max() < 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.mp4"]


def test_another_video_is_refused_and_nothing_written(bus_result, clips, bus_clip, tmp_path, capfd) -> None:
    for video, sentence in ((clips / "plain.mp4", "160x96"), (tmp_path / "none.mp4", "none.mp4")):
        code, _, err = call(capfd, "draw", bus_result, video, "--out", tmp_path / "x.mp4", "--quiet")
        assert (code, sentence in err) == (1, True), err
    recording = read_result(bus_result)
    late = replace(recording, times=recording.times + 0.5)
    source = open_source(str(bus_clip))
    with pytest.raises(PoseError, match=r"shows frame 0 at 0\.000 s, and the result has frame 0 at 0\.500 s"):
        list(matched(late, source))
    source.close()
    longer = replace(
        recording,
        frames=np.append(recording.frames, 99),
        times=np.append(recording.times, 9.0),
        flags=(*recording.flags, ()),
    )
    source = open_source(str(bus_clip))
    with pytest.raises(PoseError, match="ends before frame 99"):
        list(matched(longer, source))
    source.close()
    resampled = recording.with_options(resample=50.0)
    write_result(resampled, tmp_path / "r.json")
    code, _, err = call(capfd, "draw", tmp_path / "r.json", bus_clip, "--out", tmp_path / "x.mp4", "--quiet")
    assert (code, "was resampled" in err) == (1, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json"]
    assert call(capfd, "draw", bus_result, bus_clip, "--trails", "tail", "--out", tmp_path / "x.mp4")[0] == 1


def test_part_of_a_clip_is_drawn_where_it_was(bus_clip, tmp_path, capfd) -> None:
    call(
        capfd,
        "run",
        bus_clip,
        "--start",
        0.3,
        "--end",
        0.8,
        "--stride",
        2,
        "--no-video",
        "--out",
        tmp_path / "p.mp4",
        "-q",
    )
    code, _, err = call(capfd, "draw", tmp_path / "p.json", bus_clip, "--out", tmp_path / "p.mp4", "--quiet")
    assert code == 0, err
    assert [float(t) for t, _ in frames(tmp_path / "p.mp4")] == list(read_result(tmp_path / "p.json").times)


def walking():
    times = np.arange(20) / 10
    return recording_of([track_of(1, range(20), [standing_at(10 * i, 100) for i in range(20)])], times)


def pictures(drawing, recording=None):
    recording = recording or walking()
    renderer = Renderer(BODY19, drawing)
    for poses in poses_of(recording):
        ground = np.full((480, 640, 3), 128, np.uint8)
        yield renderer.draw(replace(poses, frame=Frame(poses.frame.index, poses.frame.time, ground)))


def test_trails_hold_the_last_moments_only() -> None:
    drawing = Drawing(trails=("left_wrist",), trail_seconds=0.5, skeletons=False)
    last = list(pictures(drawing))[-1]
    columns = np.flatnonzero((last != 128).any(axis=(0, 2)))
    wrist = 120 + 10 * np.arange(20)
    assert columns.min() == pytest.approx(wrist[-6], abs=3)
    assert columns.max() == pytest.approx(wrist[-1], abs=3)
    # The trail of a person who has left disappears.
    gone = walking()
    gone = replace(gone, tracks=(gone.tracks[0].take(np.arange(5)),))
    assert (list(pictures(drawing, gone))[-1] == 128).all()


def test_angles_are_drawn_at_their_joints_and_only_where_they_are_sure() -> None:
    plain, with_knees = (next(iter(pictures(Drawing(angles=a)))) for a in ((), ("left_knee",)))
    knee = walking().tracks[0].keypoints[0, BODY19.joints.index("left_knee"), :2]
    changed = np.argwhere((plain != with_knees).any(axis=2))[:, ::-1]
    assert 20 < len(changed) < 3000
    assert np.linalg.norm(changed - knee, axis=1).max() < 80
    unsure = walking()
    points = unsure.tracks[0].keypoints.copy()
    points[:, BODY19.joints.index("left_ankle"), 2] = 0.1
    unsure = replace(unsure, tracks=(replace(unsure.tracks[0], keypoints=points),))
    a, b = (next(iter(pictures(Drawing(angles=names), unsure))) for names in ((), ("left_knee",)))
    assert (a == b).all()
    with pytest.raises(PoseError, match="thigh is no angle that can be drawn; these can: knee, hip"):
        Renderer(BODY19, Drawing(angles=("thigh",)))
    with pytest.raises(PoseError, match="no joints for left_knee"):
        Renderer(
            replace(BODY19, joints=tuple(j.replace("ankle", "heel") for j in BODY19.joints)),
            Drawing(angles=("knee",)),
        )


def test_black_ground_colours_and_widths() -> None:
    black = next(iter(pictures(Drawing(black=True, boxes=False))))
    assert (black == 0).all(axis=2).mean() > 0.9
    thin, thick = (
        (next(iter(pictures(Drawing(line_width=w, boxes=False, labels=False)))) != 128).any(axis=2).sum()
        for w in (1.0, 4.0)
    )
    assert thick > 1.5 * thin
    people = next(iter(pictures(Drawing(colours="people", boxes=False))))
    sides = next(iter(pictures(Drawing(colours="sides", boxes=False))))
    hues = [len(np.unique(p[(p != 128).any(axis=2)] // 40, axis=0)) for p in (people, sides)]
    assert hues[0] < hues[1]


def test_a_name_stands_at_the_box() -> None:
    named = rename(walking(), 1, "Somebody with a long name")
    drawing = Drawing(names=named.names)
    plain = next(iter(pictures(Drawing(), named)))
    written = next(iter(pictures(drawing, named)))
    assert (plain != written).any(axis=2).sum() > 100
    assert (next(iter(pictures(Drawing(labels=False)))) != plain).any()


def test_a_blurred_face_can_t_be_told_apart_and_nothing_else_changes(bus) -> None:
    photo = cv2.imread(str(bus))
    height, width = photo.shape[:2]
    points = standing_at(0, 0, confidence=0.05)  # blurred even if the joints have a low confidence
    points[:, :2] = points[:, :2] * 2 + (300, 300)
    box = np.array([points[:, 0].min(), points[:, 1].min(), points[:, 0].max(), points[:, 1].max()])
    blurred = photo.copy()
    blur_face(blurred, Person(1, 0.9, box, points), BODY19)
    changed = (blurred != photo).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    head = points[[BODY19.joints.index(j) for j in ("nose", "left_ear", "right_ear", "head_top")], :2]
    assert (
        rows.min() < head[:, 1].min()
        and columns.min() < head[:, 0].min()
        and columns.max() > head[:, 0].max()
    )
    assert rows.max() < points[BODY19.joints.index("left_hip"), 1]
    # Fine detail is gone: neighbouring pixels hardly differ.
    inside = cv2.erode(changed.astype(np.uint8), np.ones((9, 9))) > 0
    sharpness = [np.abs(cv2.Laplacian(p, cv2.CV_64F)[inside]).mean() for p in (photo, blurred)]
    assert sharpness[1] < 0.25 * sharpness[0]
    outside = np.zeros((height, width, 3), np.uint8)
    blur_face(outside, Person(1, 0.9, box - 2000, points - 2000), BODY19)  # outside the image: no error


def test_a_skeleton_without_a_head_has_no_face_to_blur() -> None:
    from posecli.skeletons import Skeleton

    legs = Skeleton("legs", ("left_knee", "right_knee"), ())
    with pytest.raises(PoseError, match="no joints of the head"):
        blur_face(np.zeros((10, 10, 3), np.uint8), Person(1, 1.0, np.zeros(4), np.zeros((2, 3))), legs)


@pytest.mark.media
def test_run_draws_as_draw_does_and_blurs_faces(bus_clip, tmp_path, capfd) -> None:
    """`run` and `draw` use the same renderer, so they draw the same."""
    options = ["--blur-faces", "--colours", "people", "--trails", "left_wrist", "--no-labels"]
    code, _, err = call(capfd, "run", bus_clip, "--out", tmp_path / "r.mp4", "--quiet", *options)
    assert code == 0, err
    code, _, err = call(
        capfd, "draw", tmp_path / "r.json", bus_clip, "--out", tmp_path / "d.mp4", "--quiet", *options
    )
    assert code == 0, err
    pairs = zip(frames(tmp_path / "r.mp4"), frames(tmp_path / "d.mp4"), strict=True)
    other = [(np.abs(a.astype(int) - b).max(axis=2) > 60).mean() for (_, a), (_, b) in pairs]
    # Coordinates in files have two decimals, so a line can move by a pixel in some frames. A drawing without the trails
    # has 0.0008, and one without blurred faces 0.003.
    assert np.median(other) < 0.0004


def test_a_command_offers_each_drawing_option_and_hands_it_on() -> None:
    import inspect

    from posecli.cli import options
    from posecli.cli.draw import draw

    offered = inspect.signature(draw).parameters
    assert set(inspect.signature(options.drawing).parameters) <= set(offered)
    assert "drawing" not in offered


def test_joints_that_are_not_believed_have_a_red_cross() -> None:
    keypoints = standing_at(200, 100)
    marked = np.zeros(len(keypoints), bool)
    knee = BODY19.joints.index("left_knee")
    marked[knee] = True
    x, y = (round(float(v)) for v in keypoints[knee, :2])
    person = Person(1, 0.9, np.array([100.0, 50, 300, 400]), keypoints)
    [plain] = poses_of(recording_of([track_of(1, [0], keypoints[None])], [0.0]))
    pictures = []
    for one in (person, replace(person, marks={"implausible": marked})):
        frame = replace(plain.frame, image=np.zeros((480, 640, 3), np.uint8))
        pictures.append(Renderer(BODY19, Drawing()).draw(replace(plain, frame=frame, people=(one,))))
    changed = np.argwhere((pictures[0] != pictures[1]).any(axis=2))
    assert len(changed) and np.abs(changed - (y, x)).max() < 20
    assert tuple(pictures[1][y, x]) == RED


def test_a_level_line_crosses_the_whole_picture_at_its_height() -> None:
    [plain] = poses_of(recording_of([track_of(1, [0], standing_at(200, 100)[None])], [0.0]))
    frame = replace(plain.frame, image=np.full((480, 640, 3), 100, np.uint8))
    image = Renderer(BODY19, Drawing(horizontal=40)).draw(replace(plain, frame=frame, people=()))
    rows = np.flatnonzero((image != 100).any(axis=2).all(axis=1))
    assert 40 in rows and np.abs(rows - 40).max() <= 3


@pytest.mark.parametrize("place", [(0, 0), (540, 0), (0, 300), (300, 200)])
def test_degrees_are_in_the_picture_on_no_other_and_in_the_colour_of_their_side(place) -> None:
    keypoints = standing_at(*place)
    box = np.array([*keypoints[:, :2].min(axis=0), *keypoints[:, :2].max(axis=0)])
    person, image, labels = Person(1, 0.9, box, keypoints), np.zeros((480, 640, 3), np.uint8), []
    draw_angles(image, person, BODY19, triples(("knee", "hip", "elbow"), BODY19), 0.3, labels)
    assert len(labels) == 6
    for n, label in enumerate(labels):
        assert label.x >= 0 and label.x + label.width <= 640
        assert label.y >= 0 and label.y + label.height <= 480
        assert all(label.overlap(other) == 0 for other in labels[n + 1 :])
    assert (image == LEFT).all(axis=2).any() and (image == RIGHT).all(axis=2).any()


def test_a_joint_without_its_side_has_two_trails() -> None:
    frames = [standing_at(200 + 20 * n, 100) for n in range(4)]
    made = recording_of([track_of(1, range(4), np.array(frames))], np.arange(4) / 10)
    drawn = []
    for trails in (("ankle",), ("left_ankle", "right_ankle")):
        renderer = Renderer(BODY19, Drawing(trails=trails))
        for poses in poses_of(made):
            image = renderer.draw(
                replace(poses, frame=replace(poses.frame, image=np.zeros((480, 640, 3), np.uint8)))
            )
        drawn.append(image)
    assert (drawn[0] == drawn[1]).all()
