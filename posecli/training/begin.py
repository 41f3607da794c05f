"""The weights that a training begins from, brought to its network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.models.checkpoints import ModelSpec, load_tensors, read_spec, restacked
from posecli.models.lite_hrnet import CHANNELS
from posecli.skeletons import SKELETONS

# A joint that the first network does not know begins as the mean of these.
BEGINS_AS = {
    "neck": ("left_shoulder", "right_shoulder"),
    "head_top": ("nose",),
    "left_heel": ("left_ankle",),
    "right_heel": ("right_ankle",),
    "left_big_toe": ("left_ankle",),
    "right_big_toe": ("right_ankle",),
}
# Times the heights of a network trained on Gaussians of height 1, for one that is trained on logits: a sure joint
# then holds most of its map's probability.
HEIGHT_TO_LOGIT = 20.0

Joints = tuple[str, ...]


def first_tensors(init: Path, network: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """The tensors of a checkpoint, for `network`, which `spec` describes.

    Of more stacks or stages the first are taken, further ones begin as copies of the last. A Lite-HRNet becomes the
    stem of an hourglass that has one, whose other layers keep their fresh weights; its last layer is brought to
    the joints and the loss that the network is to learn. An hourglass is brought to the joints as well.
    """
    before, tensors = read_spec(init), load_tensors(init)
    joints, wanted = before.bones.joints, SKELETONS[spec.skeleton].joints
    if before.architecture == "hourglass" and joints != wanted:
        tensors = _hourglass_in_joints(tensors, joints, wanted)
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
    """The layers that give maps get a row a joint; those that read maps go by the joints that they know, and begin
    without the others."""
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
    """One row for each joint of `after`: that joint's own, or the mean of those that it begins as."""
    rows = []
    for joint in after:
        sources = (joint,) if joint in before else BEGINS_AS.get(joint, ())
        known = [before.index(s) for s in sources if s in before]
        if not known:
            raise PoseError(
                f"The network of --init does not know {joint}; begin from one that does, or leave --init out."
            )
        rows.append(tensor[known].mean(dim=0))
    return torch.stack(rows)


def _columns_of(tensor: Tensor, before: Joints, after: Joints) -> Tensor:
    """One column for each joint of `after`: that joint's own, or zeros."""
    columns = tensor.new_zeros(tensor.shape[0], len(after), *tensor.shape[2:])
    for k, joint in enumerate(after):
        if joint in before:
            columns[:, k] = tensor[:, before.index(joint)]
    return columns
