"""Adapts the weights of --init to the network of a training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.models.checkpoints import ModelSpec, load_tensors, read_spec, restacked
from posecli.models.lite_hrnet import CHANNELS
from posecli.skeletons import SKELETONS

# A joint that the network of --init lacks starts as the mean of these joints.
INITIAL_SOURCES = {
    "neck": ("left_shoulder", "right_shoulder"),
    "head_top": ("nose",),
    "left_heel": ("left_ankle",),
    "right_heel": ("right_ankle",),
    "left_big_toe": ("left_ankle",),
    "right_big_toe": ("right_ankle",),
}
# Scales the output of a network trained on Gaussians with a peak of 1, if it continues with logits. A joint with
# high confidence then has most of the probability of its heatmap.
HEIGHT_TO_LOGIT = 20.0

Joints = tuple[str, ...]


def initial_tensors(init: Path, network: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """The initial tensors for `network` with `spec`, from the checkpoint `init`.

    If the checkpoint has more stacks or stages, the first ones are used. Additional ones start as copies of the last
    one. A Lite-HRNet can become the stem of an hourglass. The other layers of the hourglass then keep their random
    weights. The output layers are adapted to the joints of the training, and for a Lite-HRNet also to the loss.
    Raises PoseError if a joint can't be initialised.
    """
    before, tensors = read_spec(init), load_tensors(init)
    joints, wanted = before.bones.joints, SKELETONS[spec.skeleton].joints
    if before.architecture == "hourglass" and joints != wanted:
        tensors = _hourglass_in_joints(tensors, joints, wanted)
    if not spec.arguments.get("feet"):
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("feet.")}
    if before.architecture != "lite_hrnet":
        return restacked(tensors, network)
    factor = HEIGHT_TO_LOGIT if (before.activation, spec.activation) == ("none", "softmax") else 1.0
    for name in ("score.weight", "score.bias"):
        tensors[name] = factor * _rows_of(tensors[name], joints, wanted)
    if spec.arguments.get("stem") != "lite_hrnet":
        return tensors
    fresh = {
        n: t for n, t in network.state_dict().items() if not n.startswith("stem.") and "num_batches" not in n
    }
    return {**fresh, **{f"stem.{name}": tensor for name, tensor in tensors.items()}}


def _hourglass_in_joints(tensors: dict[str, Tensor], before: Joints, after: Joints) -> dict[str, Tensor]:
    """Adapt an hourglass to other joints.

    Layers that output heatmaps get one row per joint. Layers that read heatmaps get one column per joint, which is
    zero for joints that they did not know.
    """
    changed = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith(("score.", "stem.score.", "inner_score.")):
            changed[name] = _rows_of(tensor, before, after)
        elif name.startswith("merge_score.") and name.endswith("weight"):
            changed[name] = _columns_of(tensor, before, after)
        elif name == "stem_features.weight":
            features, maps = tensor[:, : 2 * CHANNELS[0]], tensor[:, 2 * CHANNELS[0] :]
            changed[name] = torch.cat([features, _columns_of(maps, before, after)], dim=1)
    return changed


def _rows_of(tensor: Tensor, before: Joints, after: Joints) -> Tensor:
    """One row for each joint of `after`: its own row, or the mean of the rows in INITIAL_SOURCES. Raises PoseError."""
    rows = []
    for joint in after:
        sources = (joint,) if joint in before else INITIAL_SOURCES.get(joint, ())
        known = [before.index(s) for s in sources if s in before]
        if not known:
            raise PoseError(
                f"The network of --init does not know {joint}; begin from one that does, or leave --init out."
            )
        rows.append(tensor[known].mean(dim=0))
    return torch.stack(rows)


def _columns_of(tensor: Tensor, before: Joints, after: Joints) -> Tensor:
    """One column for each joint of `after`: its own column, or zeros."""
    columns = tensor.new_zeros(tensor.shape[0], len(after), *tensor.shape[2:])
    for k, joint in enumerate(after):
        if joint in before:
            columns[:, k] = tensor[:, before.index(joint)]
    return columns
