"""Converts published checkpoints to posecli's networks, and keeps their preprocessing.

Hourglass: bearpaw/pytorch-pose, anibali/pytorch-stacked-hourglass (same keys as bearpaw),
princeton-vl/pytorch_stacked_hourglass.
HRNet and Simple Baselines: leoxiaobin/deep-high-resolution-net.pytorch,
microsoft/human-pose-estimation.pytorch, MMPose.
CPN: GengDavid/pytorch-cpn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.geometry.heatmaps import CELL_CENTRE
from posecli.models.checkpoints import IMAGENET_MEAN, IMAGENET_STD, ModelSpec, build, load_into
from posecli.models.hourglass import LEVELS
from posecli.skeletons import COCO17, MPII16, Skeleton

# bearpaw subtracts this mean. It also stores a standard deviation, but never uses it.
BEARPAW_MEAN = (0.4404, 0.4440, 0.4327)
_BEARPAW_PLACES = {"0": "up", "1": "down", "2": "out"}
_PRINCETON_PLACES = {"up1": "up", "low1": "down", "low2": "inner", "low3": "out"}


@dataclass(frozen=True)
class Converted:
    """Tensors under posecli's names, their spec, and the entries of the file that are not used."""

    tensors: dict[str, Tensor]
    spec: ModelSpec
    dropped: tuple[str, ...]


def load_published(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Load a published file (.pth, .pt, .tar). Returns (network in evaluation mode, spec). Raises PoseError."""
    converted = convert(read_tensors(path), path)
    network = build(converted.spec)
    load_into(network, converted.tensors, path)
    return network.eval(), converted.spec


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, with the prefix `module.` removed from their names.

    Nothing but tensors is unpickled. Raises PoseError if the file holds anything else or is damaged.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PoseError(f"There is no model file {path}.") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise PoseError(
            f"{path} is not a checkpoint that can be loaded safely: it holds more than tensors, or is damaged. "
            f"Give a posecli .safetensors file, or save its state dict alone on a machine that trusts it."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise PoseError(f"{path} holds no state dict of tensors.")
    plain = {re.sub(r"^(model\.)?module\.", "", str(name)): tensor for name, tensor in loaded.items()}
    return {name: tensor for name, tensor in plain.items() if not name.endswith("num_batches_tracked")}


def convert(tensors: Mapping[str, Tensor], path: Path) -> Converted:
    """Recognise a published network by its keys and convert it. Raises PoseError for unknown networks."""
    if "layer1.0.bn1.weight" in tensors and any(k.startswith("hg.0.hg.") for k in tensors):
        return _convert_bearpaw(tensors, path)
    if "pre.0.conv.weight" in tensors and any(k.startswith("hgs.0.") for k in tensors):
        return _convert_princeton(tensors)
    if any(k.startswith("global_net.") for k in tensors):
        return _convert_cpn(tensors, path)
    plain = {re.sub(r"^(backbone|keypoint_head|head)\.", "", k): v for k, v in tensors.items()}
    if "stage4.0.branches.0.0.conv1.weight" in plain:
        return _convert_hrnet(plain, path)
    if "deconv_layers.0.weight" in plain and "layer4.0.conv1.weight" in plain:
        return _convert_simple_baseline(plain, path)
    raise PoseError(
        f"{path} holds a network that posecli does not know; it knows its own .safetensors files, the "
        f"hourglasses of bearpaw, anibali and princeton-vl, HRNet, Simple Baselines and pytorch-cpn."
    )


def _convert_bearpaw(tensors: Mapping[str, Tensor], path: Path) -> Converted:
    if any(re.match(r"res\.\d+\.1\.", name) for name in tensors):
        raise PoseError(f"{path} has several residuals a position (num_blocks above 1), which posecli lacks.")
    named = {_bearpaw_name(name): tensor for name, tensor in tensors.items()}
    spec = _spec(named, (64, 128, 256), BEARPAW_MEAN, crop_factor=1.25)
    return Converted(named, spec, ())


def _bearpaw_name(name: str) -> str:
    name = re.sub(r"^layer(\d)\.0\.", r"res\1.", name)
    name = name.replace("downsample.0.", "skip.")
    name = re.sub(r"^res\.(\d+)\.0\.", r"res.\1.", name)
    name = re.sub(r"^fc_\.", "merge_features.", name)
    name = re.sub(r"^score_\.", "merge_score.", name)
    place = re.match(r"^hg\.(\d+)\.hg\.(\d)\.(\d)\.0\.(.*)$", name)
    if place:
        stack, level, position, rest = place.groups()
        # bearpaw's level 0 has the lowest resolution. Here the levels are nested from the highest inwards.
        inward = "inner." * (LEVELS - 1 - int(level))
        part = "inner" if position == "3" else _BEARPAW_PLACES[position]
        return f"hg.{stack}.{inward}{part}.{rest}"
    return name


def _convert_princeton(tensors: Mapping[str, Tensor]) -> Converted:
    """In this file every residual block has a skip_layer. It is unused if the channels match, and dropped here."""
    named, dropped = {}, []
    for name, tensor in tensors.items():
        ours = _princeton_name(name)
        if ours.endswith(("skip.weight", "skip.bias")) and not _changes_channels(name, tensors):
            dropped.append(name)
        else:
            named[ours] = tensor
    return Converted(named, _spec(named, (64, 128, 128), (0.0, 0.0, 0.0), crop_factor=1.0), tuple(dropped))


def _princeton_name(name: str) -> str:
    name = name.replace("skip_layer.conv.", "skip.")
    name = re.sub(r"^pre\.0\.conv\.", "conv1.", name)
    name = re.sub(r"^pre\.0\.bn\.", "bn1.", name)
    for theirs, ours in (("1", "res1"), ("3", "res2"), ("4", "res3")):
        name = re.sub(rf"^pre\.{theirs}\.", f"{ours}.", name)
    stack = re.match(r"^hgs\.(\d+)\.0\.(.*)$", name)
    if stack:
        parts = [_PRINCETON_PLACES.get(p, p) for p in stack[2].split(".")]
        name = ".".join(["hg", stack[1], *parts])
    name = re.sub(r"^features\.(\d+)\.0\.", r"res.\1.", name)
    name = re.sub(r"^features\.(\d+)\.1\.conv\.", r"fc.\1.0.", name)
    name = re.sub(r"^features\.(\d+)\.1\.bn\.", r"fc.\1.1.", name)
    name = re.sub(r"^outs\.(\d+)\.conv\.", r"score.\1.", name)
    name = re.sub(r"^merge_features\.(\d+)\.conv\.conv\.", r"merge_features.\1.", name)
    name = re.sub(r"^merge_preds\.(\d+)\.conv\.conv\.", r"merge_score.\1.", name)
    return re.sub(r"\.(conv[123])\.conv\.", r".\1.", name)


def _changes_channels(name: str, tensors: Mapping[str, Tensor]) -> bool:
    weight = tensors[re.sub(r"\.(weight|bias)$", ".weight", name)]
    return weight.shape[0] != weight.shape[1]


def _spec(
    named: Mapping[str, Tensor], stem: tuple[int, int, int], mean: tuple[float, ...], crop_factor: float
) -> ModelSpec:
    keypoints, features = named["score.0.weight"].shape[:2]
    stacks = 1 + max(int(n.split(".")[1]) for n in named if n.startswith("score."))
    if keypoints != len(MPII16.joints):
        raise PoseError(
            f"The file has maps of {keypoints} joints; only MPII's {len(MPII16.joints)} are known."
        )
    return ModelSpec(
        "hourglass",
        {"stacks": stacks, "features": features, "keypoints": keypoints, "stem": list(stem), "bias": True},
        skeleton=MPII16.name,
        input_size=(256, 256),
        mean=mean,
        std=(1.0, 1.0, 1.0),
        crop_factor=crop_factor,
        activation="none",
        sigma=1.0,
        decoder="quarter",
        licence="see the file's publisher",
    )


# ---------------------------------------------------------------- HRNet, Simple Baselines, CPN

RESNET_DEPTHS = {6: 50, 23: 101, 36: 152}  # blocks of layer3 -> depth


def _convert_hrnet(tensors: Mapping[str, Tensor], path: Path) -> Converted:
    width = tensors["stage4.0.branches.0.0.conv1.weight"].shape[0]
    return _heatmap_network("hrnet", {"width": width}, tensors, path)


def _convert_simple_baseline(tensors: Mapping[str, Tensor], path: Path) -> Converted:
    return _heatmap_network("simple_baseline", {"depth": _depth("", tensors, path)}, tensors, path)


def _heatmap_network(
    architecture: str, arguments: dict[str, int], tensors: Mapping[str, Tensor], path: Path
) -> Converted:
    """HRNet and Simple Baselines share their training setup: targets centred on crop pixel 4c, boxes x 1.25."""
    skeleton = _skeleton(tensors["final_layer.weight"].shape[0], path)
    size = _size_in_name(path) or ((256, 256) if skeleton is MPII16 else (256, 192))
    spec = ModelSpec(
        architecture,
        {**arguments, "keypoints": len(skeleton.joints)},
        skeleton=skeleton.name,
        input_size=size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        crop_factor=1.25,
        activation="none",
        sigma=2.0 if size[0] <= 256 else 3.0,
        decoder="quarter",
        offset=-CELL_CENTRE,
        flip_shift=1,
        licence="MIT",
    )
    return _only_wanted(tensors, spec)


def _convert_cpn(tensors: Mapping[str, Tensor], path: Path) -> Converted:
    named = dict(tensors)
    for i in range(3):
        # Some versions have a bias before a batch norm. It only shifts the running mean.
        bias = named.pop(f"global_net.upsamples.{i}.1.bias", None)
        if bias is not None:
            mean = f"global_net.upsamples.{i}.2.running_mean"
            named[mean] = named[mean] - bias
    skeleton = _skeleton(named["refine_net.final_predict.1.weight"].shape[0], path)
    spec = ModelSpec(
        "cpn",
        {"depth": _depth("resnet.", tensors, path), "keypoints": len(skeleton.joints)},
        skeleton=skeleton.name,
        input_size=_size_in_name(path) or (256, 192),
        mean=(122.7717 / 255, 115.9465 / 255, 102.9801 / 255),
        std=(1.0, 1.0, 1.0),
        crop_factor=(1.2, 1.3),  # 10 % of the width and 15 % of the height on each side
        activation="byte",
        sigma=1.4,  # of its 7 x 7 kernel
        decoder="second",
        licence="GPL-3.0",
    )
    return _only_wanted(named, spec)


def _only_wanted(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Converted:
    """Keep the tensors that posecli's network has. Others, such as classifiers, are listed as dropped."""
    with torch.device("meta"):
        wanted = build(spec).state_dict().keys()
    return Converted(
        {k: v for k, v in tensors.items() if k in wanted},
        spec,
        tuple(k for k in tensors if k not in wanted),
    )


def _depth(prefix: str, tensors: Mapping[str, Tensor], path: Path) -> int:
    blocks = {m[1] for k in tensors if (m := re.match(re.escape(prefix) + r"layer3\.(\d+)\.", k))}
    if len(blocks) not in RESNET_DEPTHS:
        raise PoseError(f"{path} has a ResNet with {len(blocks)} blocks in its third stage, not 6, 23 or 36.")
    return RESNET_DEPTHS[len(blocks)]


def _skeleton(keypoints: int, path: Path) -> Skeleton:
    for skeleton in (COCO17, MPII16):
        if len(skeleton.joints) == keypoints:
            return skeleton
    raise PoseError(f"{path} has maps of {keypoints} joints; COCO's 17 and MPII's 16 are known.")


def _size_in_name(path: Path) -> tuple[int, int] | None:
    """(height, width) from a file name such as pose_hrnet_w32_384x288.pth, or None."""
    found = re.search(r"(?<!\d)(\d{3})[x.](\d{3})(?!\d)", path.name)
    return (int(found[1]), int(found[2])) if found else None
