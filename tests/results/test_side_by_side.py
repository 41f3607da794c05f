"""Two videos side by side: which frames are next to each other, and when."""

import numpy as np
import pytest

from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.results.motion import Pace
from posecli.results.side_by_side import Clip, write_side_by_side
from posecli.sources.open import open_source
from tests.support.recordings import recording_of, standing_at, track_of

PLAIN = Drawing(boxes=False, skeletons=False)
SIZE = (160, 96)
BAND, GAP = 6, 4
HEADS = 8  # pixels down, where the picture is not even


def frames(path):
    source = open_source(str(path))
    found = [(float(f.time), f.image) for f in source]
    source.close()
    return found


def people(times, *places, size=SIZE):
    return recording_of(
        [
            track_of(n + 1, range(len(times)), [standing_at(x, HEADS, scale=0.4) for _ in times], place=n)
            for n, x in enumerate(places)
        ],
        times,
        size=size,
    )


def written(a, b, pace, out, drawing=PLAIN, track=1, places=(0,)):
    """(times, pictures of A, pictures of B) of the new video."""
    clips = []
    for path in (a, b):
        source = open_source(str(path))
        told = people([t for t, _ in frames(path)], *places, size=(source.width, source.height))
        clips.append(Clip(told, source, track))
    try:
        write_side_by_side(*clips, pace, out, drawing)
    finally:
        for clip in clips:
            clip.source.close()
    shown = frames(out)
    width = clips[0].source.width
    return (
        [t for t, _ in shown],
        [p[BAND:, :width] for _, p in shown],
        [p[BAND:, width + GAP :] for _, p in shown],
    )


def nearest(picture, all_frames) -> int:
    off = [
        np.abs(f.astype(int) - picture[: f.shape[0], : f.shape[1]].astype(int)).mean() for _, f in all_frames
    ]
    return int(np.argmin(off))


def test_frames_that_belong_together_are_beside_one_another(clips, tmp_path) -> None:
    a, b = clips / "variable.mp4", clips / "plain.mp4"
    pace = Pace(np.array([0.1, 0.9]), np.array([0.2, 0.6]))
    times, left, right = written(a, b, pace, tmp_path / "both.mp4")
    of_a = [n for n, (t, _) in enumerate(frames(a)) if 0.1 <= t <= 0.9]
    own = [frames(a)[n][0] for n in of_a]
    assert times == pytest.approx([t - own[0] for t in own], abs=1e-4)
    assert [nearest(p, frames(a)) for p in left] == of_a
    expected = [(0.2 + (t - 0.1) / 2) * 25 for t in own]
    for picture, at in zip(right, expected, strict=True):
        assert abs(nearest(picture, frames(b)) - at) <= 0.51
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both.mp4"]


def test_both_are_as_tall_as_the_taller_one(clips, tmp_path) -> None:
    a, b = clips / "plain.mp4", clips / "rotated.mp4"
    pace = Pace(np.array([0, 0.9]), np.array([0, 0.9]))
    _, left, right = written(a, b, pace, tmp_path / "both.mp4")
    assert frames(b)[0][1].shape[:2] == (160, 96)
    assert left[0].shape[0] >= 160
    whole = frames(tmp_path / "both.mp4")[0][1]
    assert whole.shape[:2] == (160 + 10, 2 * round(160 * 160 / 96 / 2) + GAP + 96)
    assert nearest(whole[10:, -96:], frames(b)) == 0
    assert right


def test_only_the_compared_person_is_drawn_and_everybody_is_blurred(clips, tmp_path) -> None:
    a = clips / "plain.mp4"
    pace = Pace(np.array([0, 0.2]), np.array([0, 0.2]))
    _, bare, _ = written(a, a, pace, tmp_path / "bare.mp4", places=(0, 80))
    _, drawn, other = written(a, a, pace, tmp_path / "drawn.mp4", Drawing(), track=2, places=(0, 80))
    off = np.abs(drawn[0].astype(int) - bare[0].astype(int)).max(axis=2) > 60
    assert off[:, 90:].sum() > 50  # the second one stands at x = 120
    assert off[:, :75].sum() < 10
    assert np.abs(drawn[0].astype(int) - other[0].astype(int)).mean() < 5
    hidden = Drawing(boxes=False, skeletons=False, blur_faces=True)
    _, blurred, _ = written(a, a, pace, tmp_path / "blurred.mp4", hidden, track=2, places=(0, 80))
    for x in (40, 120):
        head = (slice(HEADS, HEADS + 14), slice(x - 8, x + 8))
        assert np.abs(blurred[0][head].astype(int) - bare[0][head].astype(int)).mean() > 5


def test_another_video_is_refused_and_nothing_is_left(clips, tmp_path) -> None:
    source_a, source_b = (open_source(str(clips / name)) for name in ("plain.mp4", "ntsc.mp4"))
    times = [t for t, _ in frames(clips / "plain.mp4")]
    one, other = (Clip(people(times, 0), source, 1) for source in (source_a, source_b))
    pace = Pace(np.array([0, 0.9]), np.array([0, 0.9]))
    with pytest.raises(PoseError, match=r"ntsc\.mp4 shows frame"):
        write_side_by_side(one, other, pace, tmp_path / "both.mp4", PLAIN)
    source_a.close(), source_b.close()
    assert list(tmp_path.iterdir()) == []
