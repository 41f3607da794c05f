"""Converts torch networks for other engines."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posecli.models.unshuffled import unshuffled
from posecli.silence import import_openvino
from posecli.types import Array


def converted(network: nn.Module, example: Tensor | Array, rows: int | None = None) -> Any:
    """OpenVINO's model of a torch network. rows: a fixed batch, in the size of the example."""
    import_openvino()
    from openvino.tools.ovc import convert_model

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that are constant here
        model: Any = convert_model(_First(network).eval(), example_input=torch.as_tensor(example))
    if rows is not None:
        model.reshape([rows, *example.shape[1:]])
    return model


def write_plain_onnx(network: nn.Module, example: Tensor | Array, path: Path) -> None:
    """Write a file that takes any batch, height and width."""
    sizes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        # The tracer, though deprecated, takes detectors of any size; torch.export does not.
        torch.onnx.export(
            _First(network).eval(), (torch.as_tensor(example),), path, dynamo=False, input_names=["batch"],
            output_names=["out"], dynamic_axes={"batch": sizes},
        )  # fmt: skip


class _First(nn.Module):
    """Detectors give a tuple whose first element counts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = unshuffled(network)

    def forward(self, x: Tensor) -> Tensor:
        out = self.network(x)
        first: Tensor = out[0] if isinstance(out, tuple | list) else out
        return first
