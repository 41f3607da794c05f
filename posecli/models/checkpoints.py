"""Checkpoints: one .safetensors file with the tensors in half precision and a JSON header.

The header is read without torch. Importing torch takes seconds, so only functions for tensors import it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from posecli.errors import PoseError
from posecli.files import replacing
from posecli.models.networks import NETWORKS
from posecli.skeletons import BODY19, SKELETONS, Skeleton
from posecli.types import Array

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


Curve = tuple[tuple[float, ...], tuple[float, ...]]  # (x, y) of a piecewise linear curve


@dataclass(frozen=True)
class ModelSpec:
    """Everything besides the tensors that is needed to use a network."""

    architecture: str
    arguments: dict[str, Any]
    skeleton: str = BODY19.name
    input_size: tuple[int, int] = (256, 256)  # (height, width) of a crop in pixels
    mean: tuple[float, ...] = IMAGENET_MEAN  # of RGB in [0, 1], subtracted
    std: tuple[float, ...] = IMAGENET_STD  # of RGB in [0, 1], divided by
    # Crop side / longer box side. A pair has different factors for width and height.
    crop_factor: float | tuple[float, float] = 1.2
    # What the network outputs. "softmax": logits over the heatmap cells. "none": heatmaps with peaks of about 1.
    # "byte": heatmaps with peaks of about 255. "coordinates": joint positions without heatmaps.
    activation: str = "softmax"
    sigma: float = 1.5  # cells, of the Gaussian used in training
    decoder: str = "dark"
    offset: float = 0.0  # crop pixels added to x and y, if the network was trained with other cell centres
    flip_shift: float = 0.0  # flip test: cells by which the mirrored heatmaps move right before averaging
    # Maps heatmap peaks to confidences. x and y both rise.
    calibration: Curve = ((0.0, 1.0), (0.0, 1.0))
    own_calibration: dict[str, Curve] = field(default_factory=dict)  # by joint, replaces `calibration`
    # Whether people whose torso leans are looked at again, in a crop turned upright (chosen on dev by `calibrate`).
    second_look: bool = False
    licence: str = "AGPL-3.0-or-later"
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def has_maps(self) -> bool:
        return self.activation != "coordinates"

    @property
    def bones(self) -> Skeleton:
        return SKELETONS[self.skeleton]

    def confidence(self, peaks: Array) -> Array:
        """Map heatmap peaks (…, K) to confidences (…, K) in [0, 1].

        The confidence is the share of joints with such a peak that lie within 0.2 torso sizes of the truth.
        """
        # np.interp keeps the last value beyond the end of the curve.
        found = np.interp(peaks, *self.calibration).astype(np.float32)
        for joint, curve in self.own_calibration.items():
            k = self.bones.joints.index(joint)
            found[..., k] = np.interp(peaks[..., k], *curve)
        return found


def build(spec: ModelSpec) -> nn.Module:
    """The network that `spec` describes, with random weights. Raises PoseError for an unknown architecture."""
    if spec.architecture not in NETWORKS:
        raise PoseError(
            f"This checkpoint holds a network {spec.architecture!r}, which this version of posecli does "
            f"not know; it knows {', '.join(NETWORKS)}."
        )
    return NETWORKS[spec.architecture].build(spec.arguments)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Write tensors in half precision with their spec. An interrupted write leaves no partial file."""
    from safetensors.torch import save_file

    half = {
        name: (t.half() if t.is_floating_point() else t).contiguous().cpu()
        for name, t in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    with replacing(path) as part:
        save_file(half, part, metadata={"posecli": header_of(spec)})


def read_spec(path: Path) -> ModelSpec:
    """Read only the header of a checkpoint. Raises PoseError if the file is not a posecli checkpoint."""
    if not path.is_file():
        raise PoseError(f"There is no model file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})["posecli"])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise PoseError(
            f"{path} is not a posecli checkpoint; give a .safetensors file that `posecli train` wrote."
        ) from error
    return spec_of(header, path)


def header_of(spec: ModelSpec) -> str:
    """A spec as JSON, for a file's header."""
    return json.dumps({"format": FORMAT, **asdict(spec)}, sort_keys=True)


def spec_of(header: dict[str, Any], path: Path) -> ModelSpec:
    """Parse the spec in a file's header. Raises PoseError for a damaged or unknown header."""
    try:
        version = header.pop("format")
        for name in ("input_size", "mean", "std"):
            header[name] = tuple(header[name])
        if isinstance(header["crop_factor"], list):
            header["crop_factor"] = tuple(header["crop_factor"])
        header["calibration"] = _curve(header["calibration"])
        own = header.get("own_calibration", {})
        header["own_calibration"] = {joint: _curve(curve) for joint, curve in own.items()}
        spec = ModelSpec(**header)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PoseError(f"The header of {path} is damaged; write the file again.") from error
    if version > FORMAT:
        raise PoseError(f"{path} was written by a newer posecli (format {version}); update posecli.")
    if spec.skeleton not in SKELETONS:
        raise PoseError(f"{path} has a skeleton {spec.skeleton!r} that this posecli does not know.")
    return spec


def _curve(points: list[list[float]]) -> Curve:
    x, y = points
    return tuple(x), tuple(y)


def load_tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118


def load_model(path: Path) -> tuple[nn.Module, ModelSpec]:
    """Load a network in evaluation mode, float32, with its spec. Raises PoseError for a file that does not fit."""
    spec = read_spec(path)
    network = build(spec)
    load_into(network, load_tensors(path), path)
    return network.eval(), spec


def restacked(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Adapt a network's tensors to the number of stacks or stages (module lists) of `network`.

    If the file has more, the first ones are used. Each had its own loss, so their outputs stay the same.
    If `network` has more, each additional one is a copy of the last one in the file. The connections of an
    hourglass into an additional stack (`merge_…`) start at zero. The copies therefore get the same input as
    the original, and the longer network gives the same output.
    """
    import torch
    from torch import nn

    lists = {name for name, child in network.named_children() if isinstance(child, nn.ModuleList)}
    wanted = network.state_dict()
    result = {n: t for n, t in tensors.items() if n in wanted or n.split(".")[0] not in lists}
    for name, place in wanted.items():
        part, _, rest = name.partition(".")
        if part not in lists or name in result:
            continue
        if part.startswith("merge_"):
            result[name] = torch.zeros_like(place)
            continue
        number, _, rest = rest.partition(".")
        for index in reversed(range(int(number))):
            last = tensors.get(f"{part}.{index}.{rest}")
            if last is not None and last.shape == place.shape:
                result[name] = last
                break
    return result


def load_into(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a network. Raises PoseError with the name of the first tensor that does not fit."""
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    for name in [*(wanted.keys() - tensors.keys()), *(tensors.keys() - wanted.keys())][:1]:
        whose = "lacks" if name in wanted else "has a surplus"
        raise PoseError(f"{path} holds another network: it {whose} {name}.")
    for name, tensor in wanted.items():
        if tensor.shape != tensors[name].shape:
            raise PoseError(
                f"{path} holds another network: {name} is {tuple(tensors[name].shape)}, "
                f"not {tuple(tensor.shape)}."
            )
    import torch

    with torch.no_grad():
        network.load_state_dict(dict(tensors), strict=False)
