"""The weights that a training begins from, brought to its network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from posecli.models.checkpoints import ModelSpec, load_tensors, read_spec, restacked
from posecli.skeletons import SKELETONS

# A joint that the first network does not know begins as the mean of these.
BEGINS_AS = {"neck": ("left_shoulder", "right_shoulder"), "head_top": ("nose",)}
# Times the heights of a network trained on Gaussians of height 1, for one that is trained on logits: a sure joint
# then holds most of its map's probability.
HEIGHT_TO_LOGIT = 20.0


def first_tensors(init: Path, network: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """The tensors of a checkpoint, for `network`, which `spec` describes.

    Of more stacks or stages the first are taken, further ones begin as copies of the last. A Lite-HRNet becomes the
    stem of an hourglass that has one, whose other layers keep their fresh weights; its last layer is brought to
    the joints and the loss that the network is to learn.
    """
    before, tensors = read_spec(init), load_tensors(init)
    if before.architecture != "lite_hrnet":
        return restacked(tensors, network)
    weight, bias = tensors["score.weight"], tensors["score.bias"]
    factor = HEIGHT_TO_LOGIT if (before.activation, spec.activation) == ("none", "softmax") else 1.0
    tensors["score.weight"], tensors["score.bias"] = (
        factor * _in_joints(t, before.bones.joints, SKELETONS[spec.skeleton].joints) for t in (weight, bias)
    )
    if spec.arguments.get("stem") != "lite_hrnet":
        return tensors
    fresh = {
        n: t for n, t in network.state_dict().items() if not n.startswith("stem.") and "num_batches" not in n
    }
    return {**fresh, **{f"stem.{name}": tensor for name, tensor in tensors.items()}}


def _in_joints(rows: Tensor, before: tuple[str, ...], after: tuple[str, ...]) -> Tensor:
    """One row for each joint of `after`: that joint's own, or the mean of those that it begins as."""
    sources = [(joint,) if joint in before else BEGINS_AS[joint] for joint in after]
    return torch.stack([rows[[before.index(s) for s in source]].mean(dim=0) for source in sources])
