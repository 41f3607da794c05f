"""Track IDs over a whole recording, on walks with known identities. Also left/right swaps."""

import json
from dataclasses import replace
from itertools import pairwise

import jsonschema
import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.metrics.video import jitter, side_swaps
from posecli.results.recording import read_result, write_result
from posecli.results.retrack import described, retrack
from posecli.results.sides import repair_sides
from posecli.skeletons import BODY19
from tests.support.command import call
from tests.support.recordings import SCHEMA, recording_of, standing_at, track_of

TIMES = np.arange(250) / 25
RNG = np.random.default_rng(5)


def walker(xs, scale=1.0, legs=1.0, noise=1.0):
    """A person walking through x = xs, with a given size and leg length."""
    points = np.array([standing_at(0, 40, scale=scale) for _ in xs])
    below = [k for k, j in enumerate(BODY19.joints) if j.endswith(("knee", "ankle"))]
    hip = points[0, BODY19.joints.index("left_hip"), 1]
    points[:, below, 1] = hip + (points[:, below, 1] - hip) * legs
    points[..., 0] += np.asarray(xs)[:, None]
    swing = 12 * np.sin(np.arange(len(xs)) / 4)
    for side, sign in (("left", 1), ("right", -1)):
        for joint, share in (("knee", 0.5), ("ankle", 1.0), ("wrist", -0.7)):
            points[:, BODY19.joints.index(f"{side}_{joint}"), 0] += sign * share * swing
    points[..., :2] += RNG.normal(0, noise, points[..., :2].shape)
    return points


def switches(recording, truth) -> int:
    """How often the track ID of a true person (rows -> nose positions) changes."""
    count = 0
    for path in truth:
        numbers = []
        for row, (x, y) in path.items():
            for track in recording.tracks:
                at = np.flatnonzero(track.rows == row)
                if len(at) and np.linalg.norm(track.keypoints[at[0], 0, :2] - (x, y)) < 1e-6:
                    numbers.append(track.number)
        count += sum(a != b for a, b in pairwise(numbers))
    return count


def split(points, rows, spans):
    """Split a true person into the tracks of a tracker: {track ID: rows}."""
    truth = {int(r): points[i, 0, :2] for i, r in enumerate(rows)}
    tracks = [track_of(n, rows[a:b], points[a:b], place=n) for n, (a, b) in spans]
    return tracks, truth


@pytest.fixture
def broken_walks():
    """Three people with six track IDs.

    A tall one leaves and returns twice, a small one is hidden for a second, and one stays.
    """
    rows = np.concatenate([np.arange(0, 60), np.arange(100, 150), np.arange(200, 250)])
    tall, a = split(
        walker(
            np.concatenate([np.linspace(50, 600, 60), np.linspace(600, 100, 50), np.linspace(60, 500, 50)]),
            1.5,
        ),
        rows,
        [(1, (0, 60)), (4, (60, 110)), (6, (110, 160))],
    )
    rows = np.concatenate([np.arange(0, 120), np.arange(145, 250)])
    small, b = split(
        walker(np.linspace(700, 300, 225), 0.8, legs=0.8), rows, [(2, (0, 120)), (5, (120, 225))]
    )
    stays, c = split(walker(np.full(250, 900.0), 1.2), np.arange(250), [(3, (0, 250))])
    return recording_of([*tall, *small, *stays], TIMES, size=(1100, 480)), [a, b, c]


def test_who_leaves_and_returns_keeps_the_number(broken_walks) -> None:
    recording, truth = broken_walks
    assert switches(recording, truth) == 3
    done, joins, left = retrack(recording, people=3)
    assert len(done.tracks) == 3
    assert switches(done, truth) == 0
    assert [t.number for t in done.tracks] == [1, 2, 3]
    assert {(j.earlier, j.later) for j in joins if j.earlier != j.later} == {(1, 4), (4, 6), (2, 5)}
    assert left == []
    assert sum(len(t) for t in done.tracks) == sum(len(t) for t in recording.tracks)  # nothing is lost


def test_without_a_number_only_what_is_alike_is_joined(broken_walks) -> None:
    recording, truth = broken_walks
    done, joins, left = retrack(recording)
    assert switches(done, truth) <= 1
    assert left == []
    for join in joins:
        assert join.cost < 2.0
        assert join.began > join.ended


def test_the_large_one_in_the_middle_is_chosen_before_a_small_one_at_the_edge() -> None:
    """Both are there all the time, and the small one has a slightly higher confidence. One person is requested."""
    rows = np.arange(250)
    small = track_of(1, rows, walker(np.full(250, 40.0), 0.4), place=0)
    large = track_of(2, rows, walker(np.full(250, 500.0), 1.8), place=1)
    large = replace(large, scores=np.full(250, 0.75))
    done, _, left = retrack(recording_of([small, large], TIMES, size=(1100, 480)), people=1)
    assert [t.number for t in done.tracks] == [2]
    assert [number for number, *_ in left] == [1]
    assert "near the middle" in described(done)[0]


def test_nobody_who_is_seen_twice_at_once_is_joined(broken_walks) -> None:
    for people in (1, 2, 3, None):
        done, _, _ = retrack(broken_walks[0], people=people)
        for track in done.tracks:
            assert len(np.unique(track.rows)) == len(track)


def test_a_join_is_taken_back(broken_walks) -> None:
    recording, _ = broken_walks
    _, joins, _ = retrack(recording)
    unwanted = next(j for j in joins if (j.earlier, j.later) == (2, 5))
    done, after, _ = retrack(recording, apart=[unwanted.number])
    assert (2, 5) not in {(j.earlier, j.later) for j in after}
    assert {2, 5} <= {t.number for t in done.tracks}
    with pytest.raises(PoseError, match="no join 99"):
        retrack(recording, apart=[99])


def test_numbers_that_changed_hands_in_a_crossing_are_put_right() -> None:
    """Two people of different sizes cross, and the tracker swaps their IDs."""
    right, back = walker(np.linspace(50, 650, 250), 1.6), walker(np.linspace(650, 50, 250), 0.9)
    a = np.concatenate([right[:110], back[110:]])
    b = np.concatenate([back[:110], right[110:]])
    recording = recording_of(
        [track_of(1, range(250), a), track_of(2, range(250), b, place=1)], TIMES, size=(800, 480)
    )
    truth = [{i: p[i, 0, :2] for i in range(250)} for p in (right, back)]
    assert switches(recording, truth) == 2
    done, _, _ = retrack(recording, people=2)
    assert switches(done, truth) == 0


def test_ghosts_are_left_out_and_told() -> None:
    ghost = track_of(7, range(30, 34), walker(np.full(4, 300.0), 0.3), place=1)
    recording = recording_of([track_of(1, range(250), walker(np.linspace(50, 600, 250))), ghost], TIMES)
    done, _, left = retrack(recording, people=1)
    assert [len(t) for t in done.tracks] == [250]
    assert left == [(7, pytest.approx(1.2), pytest.approx(1.32))]
    assert len(retrack(recording)[0].tracks) == 2  # without --people, no piece is left out


def test_looks_tell_people_of_one_build_apart(bus_result, bus_clip, capfd, tmp_path) -> None:
    """The people of the demo, cut into pieces with swapped IDs. Their clothes identify them."""
    recording = read_result(bus_result)
    first, second = sorted(recording.tracks, key=len)[-2:]
    half = len(recording.frames) // 2
    mixed = [
        replace(t, number=n, rows=part.rows, keypoints=part.keypoints, boxes=part.boxes, scores=part.scores, flags=part.flags, places=part.places)
        for t, n, part in (
            (first, 1, first.take(first.rows < half - 1)), (second, 2, second.take(second.rows < half - 1)),
            (second, 3, second.take(second.rows >= half)), (first, 4, first.take(first.rows >= half)),
        )
    ]  # fmt: skip
    write_result(replace(recording, tracks=tuple(mixed)), tmp_path / "m.json")
    code, _, err = call(capfd, "retrack", tmp_path / "m.json", "--people", 2, "--source", bus_clip)
    assert code == 0, err
    done = read_result(tmp_path / "m.retracked.json")
    jsonschema.validate(json.loads((tmp_path / "m.retracked.json").read_text()), SCHEMA)
    assert done.header["options"]["retrack"]["people"] == 2
    assert {(j["earlier"], j["later"]) for j in done.header["options"]["retrack"]["joins"]} == {
        (1, 4),
        (2, 3),
    }
    for track in done.tracks:
        x = track.boxes[:, 0] + track.boxes[:, 2] / 2
        assert np.abs(np.diff(x)).max() < 0.5 * track.boxes[:, 2].max()  # nobody jumps to the other's place
    assert (tmp_path / "m.retracked.mp4").is_file()
    assert "tracks" in err


def test_sides_that_slip_are_put_back_and_told() -> None:
    truth = walker(np.linspace(50, 600, 250), noise=0.5)
    read = truth.copy()
    for names, rows in ((("knee", "ankle"), [31, 32, 107]), (("elbow", "wrist"), list(range(150, 160)))):
        for name in names:
            a, b = (BODY19.joints.index(f"{s}_{name}") for s in ("left", "right"))
            read[np.ix_(rows, [a, b])] = read[np.ix_(rows, [b, a])]
    recording = recording_of([track_of(1, range(250), read)], TIMES)
    sizes = recording.tracks[0].boxes[:, 2:].max(axis=1)
    done, changed = repair_sides(recording)
    [track] = done.tracks
    swaps = [side_swaps(p, sizes, BODY19) for p in (truth, read, track.keypoints)]
    assert swaps[0] == swaps[2] == 0
    assert swaps[1] > 0
    wrong = (np.abs(track.keypoints - truth).max(axis=(1, 2)) > 1e-9).mean()
    assert wrong < 0.03  # legs can't be distinguished while they pass each other
    flagged = {i for i, f in enumerate(track.flags) if "repaired" in f}
    assert {31, 32, 107, *range(150, 160)} <= flagged
    assert changed == len(flagged) < 20
    steady = recording_of([track_of(1, range(250), truth)], TIMES)
    again, none = repair_sides(steady)
    assert none <= 3
    assert np.abs(again.tracks[0].keypoints - truth).max() <= 25  # nothing but passing ankles


def test_shoulders_are_not_put_back_without_the_hips() -> None:
    read = walker(np.linspace(50, 600, 60), noise=0.0)
    # Hips are so close together that a swap is hardly visible.
    for name, half in (("shoulder", 20), ("hip", 3)):
        left, right = (BODY19.joints.index(f"{s}_{name}") for s in ("left", "right"))
        middle = read[:, [left, right], 0].mean(axis=1)
        read[:, left, 0], read[:, right, 0] = middle + half, middle - half
        read[20:40, [left, right]] = read[20:40, [right, left]]
    [track] = repair_sides(recording_of([track_of(1, range(60), read)], TIMES))[0].tracks
    for name in ("shoulder", "hip"):
        left, right = (BODY19.joints.index(f"{s}_{name}") for s in ("left", "right"))
        assert (track.keypoints[:, left, 0] > track.keypoints[:, right, 0]).all()


def test_jitter_by_hand() -> None:
    points = np.zeros((5, 2, 3))
    points[:, 0, 0] = [0, 1, 0, 1, 0]  # each is 1 pixel away from the midpoint of its neighbours
    assert jitter([(points, np.full(5, 10.0))]) == pytest.approx(5.0)  # the median of 10 % and 0 %
    assert np.isnan(jitter([(points[:2], np.full(2, 10.0))]))


def test_the_command_refuses_what_makes_no_sense(broken_walks, tmp_path, capfd) -> None:
    recording, _ = broken_walks
    write_result(recording, tmp_path / "w.json")
    untracked = replace(recording, tracks=(replace(recording.tracks[0], number=None),))
    write_result(untracked, tmp_path / "u.json")
    for arguments, code, sentence in (
        (("w.json", "--apart", "x"), 2, "not a list of numbers"),
        (("w.json", "--apart", "50"), 1, "no join 50"),
        (("w.json", "--only-sides", "--people", 2), 2, "keeps the track IDs"),
        (("w.json", "--source", "none.mp4"), 1, "no none.mp4"),
        (("u.json",), 1, "no-tracking"),
        (("u.json", "--only-sides"), 1, "no-tracking"),
    ):
        found, _, err = call(capfd, "retrack", tmp_path / arguments[0], *arguments[1:])
        assert found == code, arguments
        assert sentence in " ".join(err.replace("│", " ").split()), err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["u.json", "w.json"]
    code, _, err = call(capfd, "retrack", tmp_path / "w.json", "--people", 3, "--repair-sides")
    assert code == 0
    assert "6 -> 3 tracks" in err
    assert read_result(tmp_path / "w.retracked.json").header["options"]["repair_sides"] is True
