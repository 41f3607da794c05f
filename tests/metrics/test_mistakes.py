"""Every kind of mistake, constructed by hand."""

import numpy as np
import pytest

from posecli.metrics.mistakes import KINDS, NOT_COUNTED, confidences, kinds_of, shares
from posecli.skeletons import BODY19
from tests.support.recordings import standing_at

FLIP = np.array(BODY19.flip)


def joint(name: str) -> int:
    return BODY19.joints.index(name)


def test_each_kind() -> None:
    truth = np.stack([standing_at(0), standing_at(300), standing_at(0)])[..., :2]
    labelled = np.ones((3, 19), bool)
    labelled[0, joint("left_ear")] = labelled[1, joint("nose")] = False
    photos = np.array([7, 7, 8])
    found = truth.copy()
    found[0, joint("left_wrist"), 0] += 14  # torso diagonal 67: 0.2 of it are 13.4 pixels
    found[0, joint("left_knee")] = truth[0, joint("right_knee")] + (
        0,
        1,
    )  # 20 pixels from its own: near comes first
    found[0, joint("left_shoulder")] = truth[0, joint("right_shoulder")]
    found[0, joint("left_elbow")] = truth[0, joint("right_hip")] + (-2, 0)
    found[0, joint("head_top")] = truth[1, joint("head_top")]
    found[0, joint("nose")] = truth[1, joint("nose")]  # not labelled there
    found[0, joint("left_ankle")] = np.nan
    found[0, joint("right_ankle")] = truth[2, joint("right_ankle")] + (0, 200)  # somebody in another photo
    found[1, joint("neck")] = truth[0, joint("neck")]
    sizes = np.full(3, np.hypot(30, 60))
    sizes[2] = np.nan
    kinds = kinds_of(found, truth, labelled, sizes, photos, FLIP)
    told = {
        name: KINDS[kinds[0, joint(name)]] for name in BODY19.joints if kinds[0, joint(name)] != NOT_COUNTED
    }
    assert {name: kind for name, kind in told.items() if kind != "right"} == {
        "left_wrist": "near", "left_knee": "near", "left_shoulder": "other side", "left_elbow": "other joint",
        "head_top": "other person", "nose": "elsewhere", "left_ankle": "elsewhere", "right_ankle": "elsewhere",
    }  # fmt: skip
    assert "left_ear" not in told
    assert KINDS[kinds[1, joint("neck")]] == "other person"
    assert (kinds[2] == NOT_COUNTED).all()
    parts = shares(kinds)
    assert sum(parts.values()) == 1
    assert parts["near"] == 2 / 36
    assert shares(kinds[2:]) is None


def test_the_confidence_of_each_kind_is_the_mean_of_its_joints() -> None:
    kinds = np.array([[0, 0, 4], [4, 0, NOT_COUNTED]])
    stated = np.array([[0.9, 0.7, 0.3], [0.1, np.nan, 0.5]])
    assert confidences(kinds, stated) == pytest.approx({"right": 0.8, "other person": 0.2})
