"""Skeletons: their joints, their bones, and the conversion from one skeleton to another by joint names.

Left and right are always from the person's point of view.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from posecli.errors import PoseError
from posecli.types import Array


@dataclass(frozen=True)
class Skeleton:
    """Named joints and the bones between them."""

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    @cached_property
    def edges(self) -> list[tuple[int, int]]:
        """The bones as pairs of joint indices."""
        return [(self.joints.index(a), self.joints.index(b)) for a, b in self.bones]

    @cached_property
    def flip(self) -> list[int]:
        """For each joint, the index of its mirror joint. A joint without one has its own index."""
        return [self.joints.index(m if (m := mirror_name(j)) in self.joints else j) for j in self.joints]

    @cached_property
    def one_sided(self) -> list[int]:
        """Indices of left or right joints whose mirror joint the skeleton lacks."""
        return [k for k, j in enumerate(self.joints) if mirror_name(j) not in self.joints]


def mirror_name(joint: str) -> str:
    """Swap left and right in a joint name: left_knee -> right_knee. Other names stay the same."""
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


_COCO_JOINTS = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
]

_LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]
)
_FACE = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
)
_TRUNK = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"),
)
_NECK = (("neck", "left_shoulder"), ("neck", "right_shoulder"), ("neck", "head_top"))

BODY19 = Skeleton("body19", (*_COCO_JOINTS, "neck", "head_top"), (*_LIMBS, *_TRUNK, *_NECK, *_FACE))
FEET = ("left_heel", "right_heel", "left_big_toe", "right_big_toe")
_FOOT_BONES = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in [("ankle", "heel"), ("heel", "big_toe"), ("ankle", "big_toe")]
)
BODY23 = Skeleton(
    "body23",
    (*BODY19.joints, *FEET),
    (*BODY19.bones, *_FOOT_BONES),
)
COCO17 = Skeleton(
    "coco17",
    tuple(_COCO_JOINTS),
    (*_LIMBS, *_TRUNK, *_FACE, ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder")),
)
MPII16 = Skeleton(
    "mpii16",
    (
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    (
        *_LIMBS,
        ("pelvis", "left_hip"),
        ("pelvis", "right_hip"),
        ("pelvis", "thorax"),
        ("thorax", "left_shoulder"),
        ("thorax", "right_shoulder"),
        ("thorax", "upper_neck"),
        ("upper_neck", "head_top"),
    ),
)
LSP14 = Skeleton(
    "lsp14",
    (
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ),
    (*_LIMBS, *_TRUNK, *_NECK),
)
FLIC11 = Skeleton(
    "flic11",
    (
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_eye",
        "right_eye",
        "nose",
    ),
    (*_LIMBS[:2], *_LIMBS[4:6], *_TRUNK, *_FACE[:2]),
)

SKELETONS = {s.name: s for s in (BODY19, BODY23, COCO17, MPII16, LSP14, FLIC11)}

# Joint names of BlazePose that differ from the usual ones.
BLAZEPOSE_NAMES = {"left_foot_index": "left_big_toe", "right_foot_index": "right_big_toe"}

# If a skeleton lacks a joint, it is the midpoint of these joints.
# MPII's thorax is the midpoint of the shoulders, so it is computed. The neck of LSP is higher. It is the same as
# MPII's upper_neck.
_STAND_INS = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "upper_neck": ("neck",),
    "neck": ("upper_neck",),
}


def find_skeleton(name: str) -> Skeleton:
    """The skeleton of this name. Raises PoseError, with the known names, if there is none."""
    if name not in SKELETONS:
        raise PoseError(f"There is no skeleton {name!r}; choose one of {', '.join(SKELETONS)}.")
    return SKELETONS[name]


def sources_of(joint: str, joints: tuple[str, ...]) -> tuple[str, ...] | None:
    """The joints whose midpoint is `joint`: the joint itself, its substitutes, or None if they are missing."""
    if joint in joints:
        return (joint,)
    stand_ins = _STAND_INS.get(joint, ())
    return stand_ins if stand_ins and all(s in joints for s in stand_ins) else None


def derived_joints(source: Skeleton, target: Skeleton) -> dict[str, tuple[str, ...]]:
    """The joints of `target` that are midpoints of several joints of `source`: joint -> joints of `source`.

    Raises PoseError if a joint can't be computed.
    """
    made = {joint: _parts(joint, source, target) for joint in target.joints}
    return {joint: parts for joint, parts in made.items() if len(parts) > 1}


def _parts(joint: str, source: Skeleton, target: Skeleton) -> tuple[str, ...]:
    """The joints of `source` whose midpoint is a joint of `target`. Raises PoseError if there are none."""
    parts = sources_of(joint, source.joints)
    if parts is None:
        raise PoseError(
            f"{target.name} needs {joint}, which {source.name} does not have; choose another --skeleton."
        )
    return parts


def convert_keypoints(keypoints: Array, source: Skeleton, target: Skeleton) -> Array:
    """Convert keypoints (..., K_source, 3) to another skeleton (..., K_target, 3). Values: x, y, confidence.

    A computed joint is the midpoint of its source joints and gets the lower confidence.
    Raises PoseError if a joint can't be computed.
    """
    if source.joints == target.joints:
        return keypoints
    out = np.empty((*keypoints.shape[:-2], len(target.joints), 3), keypoints.dtype)
    for k, joint in enumerate(target.joints):
        chosen = keypoints[..., [source.joints.index(p) for p in _parts(joint, source, target)], :]
        out[..., k, :2] = chosen[..., :2].mean(axis=-2)
        out[..., k, 2] = chosen[..., 2].min(axis=-1)
    return out


def torso_leans(keypoints: Array, skeleton: Skeleton) -> Array:
    """Degrees (N,), clockwise, by which torsos lean from upright, of keypoints (N, K, 2 or more).

    0 for skeletons without both shoulders and both hips.
    """
    if not {"left_shoulder", "right_shoulder", "left_hip", "right_hip"} <= set(skeleton.joints):
        return np.zeros(len(keypoints))

    def middle(part: str) -> Array:
        rows = [skeleton.joints.index(f"{side}_{part}") for side in ("left", "right")]
        found: Array = keypoints[:, rows, :2].mean(axis=1)
        return found

    x, y = (middle("shoulder") - middle("hip")).T
    leans: Array = np.degrees(np.arctan2(x, -y))
    return leans
