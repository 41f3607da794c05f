"""Errors of angles, and left and right joints predicted in one place, on people with known answers."""

import numpy as np
import pytest

from posecli.metrics.angles import angle_errors, collapsed, rise

JOINTS = ("left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle")
# The left leg is straight, the right knee is bent by 90 degrees; the torso is 100 pixels.
TRUTH = np.array([[[0, 0], [0, 50], [0, 100], [40, 0], [40, 50], [90, 50.0]]])
LABELLED = np.ones((1, 6), bool)


def test_an_error_is_in_degrees_over_both_sides() -> None:
    found = TRUTH.copy()
    found[0, 2] = [50, 100]  # the left knee now measures 135 degrees instead of 180
    [(name, errors)] = angle_errors(found, TRUTH, LABELLED, JOINTS).items()
    assert (name, errors["count"]) == ("knee", 2)
    assert errors["median"] == pytest.approx(22.5)  # of 45 and 0
    assert errors["p95"] == pytest.approx(0.95 * 45)


def test_ankles_are_told_where_there_are_toes() -> None:
    joints = ("left_knee", "left_ankle", "left_big_toe")
    truth = np.array([[[0, 0], [0, 50], [20, 50.0]]])
    found = np.array([[[0, 0], [0, 50], [20, 70.0]]])
    [(name, errors)] = angle_errors(found, truth, np.ones((1, 3), bool), joints).items()
    assert (name, errors["median"], errors["count"]) == ("ankle", pytest.approx(45), 1)


@pytest.mark.parametrize(
    ("front", "tilt", "degrees"),
    [
        ((10, 0), 0, 0),
        ((-10, 0), 0, 0),
        ((10, -10), 0, 45),
        ((-10, -10), 0, 45),
        ((0, 10), 0, -90),
        ((10, 0), 20, 20),
        ((-10, 0), 20, -20),
    ],
)
def test_a_rise_is_against_the_level_whichever_way_it_points(front, tilt, degrees) -> None:
    """In a picture that is rotated clockwise, a horizontal line falls to the right."""
    back = np.array([[3.0, 4.0]])
    assert rise(back, back + front, tilt) == pytest.approx([degrees])


def test_joints_without_a_label_and_people_who_were_not_found_are_left_out() -> None:
    labelled = LABELLED.copy()
    labelled[0, 2] = False
    assert angle_errors(TRUTH, TRUTH, labelled, JOINTS)["knee"]["count"] == 1
    assert angle_errors(np.full_like(TRUTH, np.nan), TRUTH, LABELLED, JOINTS) == {}


@pytest.mark.parametrize(("gap", "share"), [(11.9, 1.0), (12.1, 0.0)])
def test_ankles_that_are_apart_may_not_be_found_on_one_place(gap, share) -> None:
    found = TRUTH.copy()
    found[0, 5] = found[0, 2] + [gap, 0]
    told = collapsed(found, TRUTH, LABELLED, np.array([100.0]), JOINTS, "ankle")
    assert told == {"share": share, "count": 1}
    near = TRUTH.copy()
    near[0, 5] = near[0, 2] + [29, 0]  # labelled too close together to count
    assert collapsed(found, near, LABELLED, np.array([100.0]), JOINTS, "ankle") is None
