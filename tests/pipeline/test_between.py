"""People between two looks of the detector: on the way where both agree, looked for where they do not."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from posecli import defaults
from posecli.pipeline.interpolation import MOST_BETWEEN, Looks, found_in_all
from posecli.pipeline.loop import groups
from posecli.types import Boxes, Frame


class Film:
    """Frames whose first pixels hold their number, and a detector that knows who is in each."""

    def __init__(self, length, boxes_at, times=None):
        self.looked = []
        self.boxes_at = boxes_at
        times = times or [Fraction(n, 25) for n in range(length)]
        self.frames = [Frame(n, times[n], np.full((1, 1, 3), n, np.uint8)) for n in range(length)]

    def find(self, image) -> Boxes:
        number = int(image[0, 0, 0])
        self.looked.append(number)
        rows = self.boxes_at(number)
        xyxy = np.array([r[:4] for r in rows], np.float32).reshape(-1, 4)
        return Boxes(xyxy, np.array([r[4] for r in rows], np.float32))

    def all(self, every, first=0):
        found = list(found_in_all(self.frames[first:], self.find, Looks(every), 0.2, first))
        assert [f.index for f, _ in found] == list(range(first, len(self.frames)))
        return [b for _, b in found]


def walker(n, score=0.8):
    return (10.0 + n, 20, 60 + n, 120, score)


def test_who_walks_evenly_is_found_everywhere_by_few_looks() -> None:
    film = Film(23, lambda n: [walker(n)])
    for n, boxes in enumerate(film.all(5)):
        np.testing.assert_allclose(boxes.xyxy, [walker(n)[:4]], atol=1e-4)
        assert boxes.scores.tolist() == pytest.approx([0.8])
    assert film.looked == [0, 5, 10, 15, 20, 22]  # and the last frame, behind which nothing comes


@pytest.mark.parametrize(
    ("rate", "looked"),
    [(25, [0, 6, 12, 18, 24]), (30, [0, 8, 16, 24]), (3, list(range(25))), (1000, [0, 24])],
)
def test_looks_go_by_the_times_of_the_frames(rate, looked) -> None:
    film = Film(25, lambda n: [walker(0)], [Fraction(n, rate) for n in range(25)])
    film.all(None)
    assert film.looked == looked


def test_looks_keep_a_high_speed_clip_out_of_memory_and_begin_anew_with_a_segment() -> None:
    looks = Looks(None)
    due = [n for n in range(2 * defaults.SEGMENT_FRAMES) if looks.due(n, Fraction(n, 10_000))]
    assert max(b - a for a, b in pairwise(due)) == MOST_BETWEEN
    assert defaults.SEGMENT_FRAMES in due


def test_boxes_lie_on_the_way_by_time_not_by_number() -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(9, 10), Fraction(1)]
    film = Film(4, lambda n: [(10 * (n > 0), 0, 100 + 10 * (n > 0), 100, 0.5 + 0.3 * (n > 0))], times)
    boxes = film.all(3)
    assert [float(b.xyxy[0, 0]) for b in boxes] == pytest.approx([0, 1, 9, 10])
    assert [float(b.scores[0]) for b in boxes] == pytest.approx([0.5, 0.53, 0.77, 0.8])


@pytest.mark.parametrize("moment", range(1, 17))
def test_who_comes_or_goes_between_two_looks_is_there_from_the_right_frame_on(moment) -> None:
    for there in (lambda n: n >= moment, lambda n: n < moment):
        film = Film(18, lambda n, there=there: [(200, 0, 260, 90, 0.5)] * there(n) + [walker(n)])
        found = film.all(8)
        assert [len(b) for b in found] == [1 + there(n) for n in range(18)]
        assert len(film.looked) <= 4 + 3  # the regular ones, and log2 of 8


def test_finds_that_are_not_sure_cost_no_looks() -> None:
    film = Film(17, lambda n: [walker(n), *([(200, 0, 260, 90, 0.15)] if n == 8 else [])])
    assert [len(b) for b in film.all(8)] == [1] * 8 + [2] + [1] * 8
    assert film.looked == [0, 8, 16]


def test_two_who_pass_each_other_keep_a_box_each() -> None:
    film = Film(
        9, lambda n: [(100 + 2 * n, 0, 150 + 2 * n, 100, 0.9), (130 - 2 * n, 0, 180 - 2 * n, 100, 0.4)]
    )
    for n, boxes in enumerate(film.all(4)):
        assert sorted(boxes.xyxy[:, 0]) == pytest.approx(sorted([100 + 2 * n, 130 - 2 * n]), abs=2)


@pytest.mark.parametrize("first", [10, 20])
def test_a_resumed_run_looks_at_the_same_frames(monkeypatch, first) -> None:
    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 10)
    whole, rest = Film(33, lambda n: [walker(n)]), Film(33, lambda n: [walker(n)])
    whole.all(4)
    rest.all(4, first)
    assert rest.looked == [n for n in whole.looked if n >= first]


def test_empty_films_and_single_frames() -> None:
    assert Film(0, lambda n: []).all(5) == []
    assert [len(b) for b in Film(1, lambda n: [walker(n)]).all(5)] == [1]
    assert [len(b) for b in Film(12, lambda n: []).all(5)] == [0] * 12


def test_groups_do_not_cross_segments(monkeypatch) -> None:
    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 10)
    assert [len(g) for g in groups(range(25), 4, 0)] == [4, 4, 2, 4, 4, 2, 4, 1]
    assert [len(g) for g in groups(range(15), 4, 10)] == [4, 4, 2, 4, 1]
    assert [x for g in groups(range(25), 4, 0) for x in g] == list(range(25))
