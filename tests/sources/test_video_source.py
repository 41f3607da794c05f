"""Every frame upright, in order, with its own time."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.sources.open import open_source
from posecli.sources.video import Orientation, _orientation


def container_times(path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [f.pts * f.time_base for f in container.decode(video=0)]


@pytest.mark.parametrize(
    "name", ["plain.mp4", "sound.mp4", "ntsc.mp4", "rotated.mp4", "variable.mp4", "late.mkv", "stream.ts", "odd.mp4"]
)  # fmt: skip
def test_every_frame_has_the_container_s_time(clips, name) -> None:
    source = open_source(str(clips / name))
    frames = list(source)
    assert [f.time for f in frames] == container_times(clips / name)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert all(f.image.shape == (source.height, source.width, 3) for f in frames)
    assert all(f.image.flags.c_contiguous for f in frames)


def test_ntsc_times_are_exact_fractions(clips) -> None:
    times = [f.time for f in open_source(str(clips / "ntsc.mp4"))]
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1001, 30000)}


def test_a_variable_rate_stays_variable(clips) -> None:
    times = [f.time for f in open_source(str(clips / "variable.mp4"))]
    steps = {b - a for a, b in itertools.pairwise(times)}
    assert steps == {Fraction(1, 25), Fraction(2, 25)}


def test_a_late_start_is_kept(clips) -> None:
    first = next(iter(open_source(str(clips / "late.mkv"))))
    assert first.time == Fraction(1, 2)


def test_rotation_is_applied_and_told(clips) -> None:
    upright, turned = open_source(str(clips / "plain.mp4")), open_source(str(clips / "rotated.mp4"))
    assert (turned.width, turned.height) == (96, 160)
    a, b = next(iter(upright)).image, next(iter(turned)).image
    # ffmpeg's -display_rotation 90 asks players to turn the picture counter-clockwise.
    assert np.abs(np.rot90(a).astype(int) - b).max() == 0
    assert turned.orientation.degrees_clockwise == 270


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirror", [False, True])
def test_a_display_matrix_moves_the_corners_where_it_says(turns, mirror) -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)[..., None].repeat(3, axis=2)
    # (a, b, c, d): stored (x, y) is shown at (a x + c y, b x + d y).
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]
    a, b, c, d = cos, -sin, sin, cos  # counter-clockwise on a screen whose y points down
    if mirror:
        a, b = -a, -b
    upright = _orientation(a, b, c, d).upright(picture)
    places = {int(picture[y, x, 0]): (a * x + c * y, b * x + d * y) for y in range(2) for x in range(3)}
    low = np.array(list(places.values())).min(axis=0)
    for value, place in places.items():
        column, row = np.array(place) - low
        assert upright[row, column, 0] == value


def test_upright_pictures_are_not_copied() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    assert Orientation().upright(picture) is picture


def test_pixels_are_square(clips) -> None:
    source = open_source(str(clips / "wide_pixels.mp4"))
    assert (source.width, source.height) == (320, 96)


def test_a_truncated_file_is_read_as_far_as_it_goes(clips) -> None:
    whole = [f.time for f in open_source(str(clips / "stream.ts"))]
    part = [f.time for f in open_source(str(clips / "truncated.ts"))]
    assert 3 < len(part) < len(whole)
    assert set(part) < set(whole)
    assert part == sorted(part)


def test_stamps_that_run_backwards_are_put_in_order_and_told(shared) -> None:
    source = open_source(str(shared / "data/videos/street.avi"))
    times = [f.time for f in source]
    assert times == [Fraction(k, 10) for k in range(1, 796)]
    assert source.trouble.reordered > 300
    assert sum("backwards" in s for s in source.trouble.sentences()) == 1


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("golf_rotated.mov", (320, 568)),
        ("climbers_rotated.mp4", (720, 960)),
        ("arm_wrestling.mp4", (427, 256)),
    ],
)
def test_real_clips_stand_upright_with_square_pixels(shared, name, size) -> None:
    source = open_source(str(shared / "data/videos" / name))
    assert (source.width, source.height) == size


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unfinished.mov", "never finished"), ("no_frames.avi", "no frame"), ("no_frames.mp4", "no video|not a video"),
        ("lfs_pointer.mp4", "Git-LFS"),
    ],
)  # fmt: skip
def test_broken_files_are_one_sentence(shared, name, says) -> None:
    with pytest.raises(PoseError, match=says):
        list(open_source(str(shared / "data/videos/broken" / name)))


def test_a_damaged_file_gives_its_frames_and_counts_the_damage(shared) -> None:
    source = open_source(str(shared / "data/videos/broken/damaged.mp4"))
    frames = list(source)
    assert len(frames) == 49
    assert source.trouble.damaged > 0


def test_what_is_no_video_is_one_sentence(tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for text, says in [
        ("missing.mp4", "no file"), ("text.mp4", "not a video"), ("empty.mp4", "is empty"),
        ("folder", "no photos"), ("*.png", "No file matches"),
    ]:  # fmt: skip
        with pytest.raises(PoseError, match=says):
            open_source(str(tmp_path / text))


def test_a_camera_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(PoseError, match="no camera 7"):
        open_source("7")
