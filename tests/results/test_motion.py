"""Comparison of two movements with known differences."""

import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.results.motion import by_events, by_warping, compare, curves_of, from_start, longest_seen
from posecli.skeletons import BODY19
from tests.support.recordings import recording_of, standing_at, track_of

RATE = 30
J = {name: BODY19.joints.index(name) for name in BODY19.joints}


def bent(points, joint: str, end: str, degrees) -> None:
    """Rotate the limb from `joint` to `end` by `degrees` (N,), in place."""
    middle = points[:, J[joint], :2]
    limb = points[:, J[end], :2] - middle
    turn = np.radians(degrees)
    turned = np.stack(
        [limb[:, 0] * np.cos(turn) - limb[:, 1] * np.sin(turn), limb[:, 0] * np.sin(turn) + limb[:, 1] * np.cos(turn)],
        axis=1,
    )  # fmt: skip
    points[:, J[end], :2] = middle + turned


def legs(times, left, right=None):
    """A person whose knees are bent by left(time) and right(time) degrees."""
    points = np.array([standing_at(100) for _ in times])
    bent(points, "left_knee", "left_ankle", left(times))
    bent(points, "right_knee", "right_ankle", (right or left)(times))
    return recording_of([track_of(1, range(len(points)), points)], times)


def twice(times):
    """A deep bend at 1 s and a smaller one at 2.2 s, straight in between."""
    return 80 * np.exp(-(((times - 1.0) / 0.25) ** 2)) + 50 * np.exp(-(((times - 2.2) / 0.2) ** 2))


def even(seconds: float, rate: float = RATE):
    return np.arange(round(seconds * rate)) / rate


def compared(a, b, angles=("knee",), align=by_warping, **options):
    one, other = (curves_of(r, r.track(1), angles) for r in (a, b))
    return compare(one, other, align(one, other, **options))


def test_half_the_speed_is_no_difference_but_twice_the_time() -> None:
    uneven = np.cumsum(np.resize([0.02, 0.05, 0.033, 0.041], 170))
    uneven = uneven[uneven <= 6]
    found = compared(legs(even(3), twice), legs(uneven, lambda t: twice(t / 2)))
    for difference in found.differences:
        assert difference.absolute < 1.0
        assert abs(difference.largest) < 3.0
        assert difference.share == 1
        assert difference.correlation > 0.999
    seconds_a, seconds_b = found.pace.seconds
    assert seconds_b / seconds_a == pytest.approx(2, abs=0.05)
    # Aligned only by their starts, the same movement has large differences.
    assert (
        compared(legs(even(3), twice), legs(uneven, lambda t: twice(t / 2)), align=from_start).absolute > 10
    )


def test_another_rhythm_is_found_and_told() -> None:
    late = lambda t: twice(np.interp(t, [0, 1.6, 2.6, 3], [0, 1.0, 2.2, 3]))  # noqa: E731
    found = compared(legs(even(3), twice), legs(even(3), late))
    assert found.absolute < 1.5
    seconds, when = found.pace.furthest
    assert seconds == pytest.approx(0.6, abs=0.1)
    assert when == pytest.approx(1.0, abs=0.2)
    assert found.pace.at(np.array([1.0, 2.2])) == pytest.approx([1.6, 2.6], abs=0.07)
    near = compared(legs(even(3), twice), legs(even(3), late), window=0.1)
    assert abs(near.pace.furthest[0]) <= 0.1 + 1 / RATE
    assert near.absolute > 3


def test_ten_degrees_of_one_angle_are_ten_degrees() -> None:
    a, b = legs(even(3), twice), legs(even(3), lambda t: twice(t) + 10, twice)
    left, right = compared(a, b).differences
    assert (left.name, right.name) == ("left_knee", "right_knee")
    assert left.mean == pytest.approx(-10, abs=0.2)  # more bent is a smaller angle
    assert left.absolute == pytest.approx(10, abs=0.2)
    assert left.largest == pytest.approx(-10, abs=0.5)
    assert right.absolute == pytest.approx(0, abs=0.2)
    assert (left.a[0] - left.b[0], left.a[1] - left.b[1]) == pytest.approx((10, 10), abs=0.2)


def test_a_bend_that_is_less_deep_is_told_where_it_is() -> None:
    less = lambda t: twice(t) * np.where(t < 1.6, 0.75, 1.0)  # noqa: E731
    found = compared(legs(even(3), twice), legs(even(3), less))
    assert found.differences[0].largest == pytest.approx(20, abs=2)
    assert found.differences[0].at == pytest.approx((1.0, 1.0), abs=0.1)


def test_noise_is_not_followed() -> None:
    rng = np.random.default_rng(0)
    noisy = lambda t: twice(t) + rng.normal(0, 1.5, len(t))  # noqa: E731
    found = compared(legs(even(3), noisy), legs(even(3), noisy))
    off = np.abs(found.times_b - found.times)
    assert off.max() < 0.05
    assert found.absolute > 1.0  # the noise of both is still in the difference


def test_what_is_missing_is_never_a_number() -> None:
    a, b = legs(even(3), twice), legs(even(3), twice)
    b.tracks[0].keypoints[30:45, J["left_ankle"]] = np.nan
    found = compared(a, b)
    left, right = found.differences
    gone = np.isnan(found.b[:, 0])
    assert gone[31:44].all()
    assert not gone[:28].any() and not gone[48:].any()
    assert left.share == pytest.approx(75 / 90, abs=0.04)
    assert right.share == 1
    assert found.gaps == ()  # the right knee is there
    b.tracks[0].keypoints[30:45, J["right_ankle"]] = np.nan
    [(start, end)] = compared(a, b).gaps
    assert (start, end) == pytest.approx((29 / RATE, 45 / RATE), abs=0.07)
    b.tracks[0].keypoints[:, J["left_ankle"]] = np.nan
    assert [d.name for d in compared(a, b).differences] == ["right_knee"]
    b.tracks[0].keypoints[:, J["right_ankle"]] = np.nan
    with pytest.raises(PoseError, match="known in both"):
        compared(a, b)


def test_somebody_who_is_away_is_not_bridged() -> None:
    points = legs(even(3), twice).tracks[0].keypoints
    rows = [*range(30), *range(60, 90)]
    b = recording_of([track_of(1, rows, points[rows])], even(3))
    [(start, end)] = compared(legs(even(3), twice), b, align=from_start).gaps
    assert (start, end) == pytest.approx((29 / RATE, 60 / RATE))


def test_a_joint_that_is_not_believed_is_left_out() -> None:
    a, b = legs(even(3), twice), legs(even(3), twice)
    b.tracks[0].keypoints[50, J["left_ankle"]] = (500, 20, 0.1)
    assert compared(a, b, align=from_start).differences[0].absolute == pytest.approx(0, abs=1e-6)


def test_in_a_mirror() -> None:
    leaning = legs(even(3), twice, lambda t: 0 * t)
    mirrored = legs(even(3), lambda t: 0 * t, lambda t: -twice(t))
    other = curves_of(mirrored, mirrored.track(1), ("knee", "shank"), mirror=True)
    one = curves_of(leaning, leaning.track(1), ("knee", "shank"))
    plain = curves_of(mirrored, mirrored.track(1), ("knee", "shank"))
    assert other.names == one.names == plain.names
    assert other.values[:, 0] == pytest.approx(plain.values[:, 1])
    assert other.values[:, 2] == pytest.approx(-plain.values[:, 3])
    found = compare(one, other, by_warping(one, other))
    assert {d.name: d.absolute for d in found.differences[:2]} == pytest.approx(
        {"left_knee": 0, "right_knee": 0}, abs=0.2
    )


def test_by_repetitions() -> None:
    def squats(t):
        return 80 * np.exp(-(((t - 1.0) / 0.25) ** 2)) + 80 * np.exp(-(((t - 2.2) / 0.2) ** 2))

    a, b = legs(even(3), squats), legs(even(6), lambda t: squats(t / 2))
    one, other = ((r, r.track(1), curves_of(r, r.track(1), ("knee",))) for r in (a, b))
    pace, pairs, counts = by_events(one, other, "repetitions")
    assert (pairs, counts) == (2, (2, 2))
    assert pace.at(np.array([1.0, 2.2])) == pytest.approx([2.0, 4.4], abs=0.1)
    assert np.isnan(pace.at(np.array([0.0, 2.95]))).all()  # before the first, after the last
    found = compare(one[2], other[2], pace)
    assert found.absolute < 2
    assert found.times[0] >= pace.a[0] - 1e-6
    still = legs(even(3), lambda t: 0 * t)
    with pytest.raises(PoseError, match="A has 2 and B has 0 repetitions: too few"):
        by_events(one, (still, still.track(1), curves_of(still, still.track(1), ("knee",))), "repetitions")


def test_steps_begin_with_the_same_foot() -> None:
    def stepping(first: str, times):
        points = np.array([standing_at(100) for _ in times])
        for n, side in enumerate((first, "left" if first == "right" else "right")):
            cycle = (times + 0.5 * n) % 1.0
            lift = np.where((cycle < 0.4) & (times > 0.1), np.sin(np.pi * cycle / 0.4), 0.0)
            points[:, J[f"{side}_ankle"], 1] -= 50 * np.maximum(lift, 0)
        return recording_of([track_of(1, range(len(points)), points)], times)

    a, b = stepping("left", even(4)), stepping("right", even(4))
    one, other = ((r, r.track(1), curves_of(r, r.track(1), ("knee",))) for r in (a, b))
    pace, _, _ = by_events(one, other, "steps")
    assert pace.b - pace.a == pytest.approx(pace.b[0] - pace.a[0], abs=0.1)
    assert abs(pace.b[0] - pace.a[0]) == pytest.approx(0.5, abs=0.1)
    mirrored, _, _ = by_events(one, other, "steps", mirror=True)
    assert mirrored.b == pytest.approx(mirrored.a, abs=0.1)


def test_parts_and_who() -> None:
    whole = legs(even(3), twice)
    part = curves_of(whole, whole.track(1), ("knee",), start=0.5, end=1.5)
    assert (part.times[0], part.times[-1]) == pytest.approx((0.5, 1.5))
    with pytest.raises(PoseError, match="takes 5"):
        curves_of(whole, whole.track(1), ("knee",), start=2.9)
    points = whole.tracks[0].keypoints
    two = recording_of([track_of(3, range(20), points[:20]), track_of(5, range(90), points)], even(3))
    assert longest_seen(two).number == 5
    with pytest.raises(PoseError, match="nobody"):
        longest_seen(recording_of([], even(3)))
    with pytest.raises(PoseError, match="no-tracking"):
        longest_seen(recording_of([track_of(None, range(90), points)], even(3)))


def test_a_lean_that_is_a_whole_turn_away_is_none() -> None:
    times = even(3)
    a, b = legs(times, lambda t: 170 + 0 * t), legs(times, lambda t: 190 + 0 * t)
    found = compared(a, b, angles=("left_shank",))
    assert abs(found.differences[0].largest) == pytest.approx(20, abs=0.1)


def test_a_minute_is_aligned_within_seconds_and_an_hour_is_refused() -> None:
    a, b = legs(even(60), lambda t: twice(t % 3)), legs(even(60), lambda t: twice(t % 3))
    assert compared(a, b).absolute < 0.1
    long = legs(even(500, 15), lambda t: twice(t % 3))
    with pytest.raises(PoseError, match="500 s is too long"):
        compared(long, long)
