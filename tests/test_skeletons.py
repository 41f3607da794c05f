import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.skeletons import (
    BODY19,
    BODY23,
    COCO17,
    FLIC11,
    LSP14,
    MPII16,
    SKELETONS,
    convert_keypoints,
    derived_joints,
    find_skeleton,
)

NUMBERED = np.stack([np.arange(19.0), 100 + np.arange(19.0), np.linspace(0.1, 1, 19)], axis=1)[None]


def test_body19_is_coco_s_17_then_neck_and_head_top() -> None:
    assert BODY19.joints[:17] == COCO17.joints
    assert BODY19.joints[17:] == ("neck", "head_top")


def test_body23_is_body19_then_heels_and_big_toes() -> None:
    assert BODY23.joints[:19] == BODY19.joints
    assert BODY23.joints[19:] == ("left_heel", "right_heel", "left_big_toe", "right_big_toe")
    assert set(BODY23.bones) - set(BODY19.bones) == {
        (f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("ankle", "heel"), ("heel", "big_toe"), ("ankle", "big_toe"))
    }
    assert BODY23.flip[19:] == [20, 19, 22, 21]


@pytest.mark.parametrize("target", [BODY19, COCO17, MPII16, LSP14, FLIC11], ids=lambda s: s.name)
def test_a_result_with_feet_holds_the_other_skeletons(target) -> None:
    with_feet = np.concatenate([NUMBERED, np.full((1, 4, 3), -1.0)], axis=1)
    out = convert_keypoints(with_feet, BODY23, target)
    assert out.tolist() == convert_keypoints(NUMBERED, BODY19, target).tolist()


def test_feet_can_t_be_had_from_a_skeleton_without_them() -> None:
    with pytest.raises(PoseError, match="body23 needs left_heel, which body19 does not have"):
        convert_keypoints(NUMBERED, BODY19, BODY23)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_the_mirror_of_the_mirror_is_the_joint_and_edges_join_joints(skeleton) -> None:
    flip = skeleton.flip
    assert [flip[flip[k]] for k in range(len(flip))] == list(range(len(flip)))
    assert all(0 <= a < len(flip) and 0 <= b < len(flip) and a != b for a, b in skeleton.edges)


def test_mpii_s_flip_pairs_are_the_published_ones() -> None:
    pairs = {(k, m) for k, m in enumerate(MPII16.flip) if k < m}
    assert pairs == {(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)}


def test_the_pelvis_is_the_middle_of_the_hips_and_says_so() -> None:
    out = convert_keypoints(NUMBERED, BODY19, MPII16)
    pelvis = out[0, MPII16.joints.index("pelvis")]
    hips = NUMBERED[0, [11, 12]]
    assert pelvis[:2].tolist() == hips[:, :2].mean(axis=0).tolist()
    assert pelvis[2] == hips[:, 2].min()
    assert derived_joints(BODY19, MPII16) == {
        "pelvis": ("left_hip", "right_hip"),
        "thorax": ("left_shoulder", "right_shoulder"),
    }


def test_upper_neck_is_our_neck() -> None:
    out = convert_keypoints(NUMBERED, BODY19, MPII16)
    assert out[0, MPII16.joints.index("upper_neck")].tolist() == NUMBERED[0, 17].tolist()


@pytest.mark.parametrize("target", [COCO17, LSP14, FLIC11], ids=lambda s: s.name)
def test_joints_keep_their_name_in_every_skeleton(target) -> None:
    out = convert_keypoints(NUMBERED, BODY19, target)
    for k, joint in enumerate(target.joints):
        assert out[0, k].tolist() == NUMBERED[0, BODY19.joints.index(joint)].tolist()


def test_a_skeleton_that_can_t_be_derived_is_a_sentence() -> None:
    with pytest.raises(PoseError, match="lsp14 does not have"):
        convert_keypoints(np.zeros((1, 14, 3)), LSP14, COCO17)
    with pytest.raises(PoseError, match="choose one of body19"):
        find_skeleton("body20")
