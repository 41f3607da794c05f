"""What runs a network on a CPU: torch as it comes, or OpenVINO, which is faster.

A network is converted once and kept in the user's cache folder; where that can't be written it is
converted anew each time.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.quiet import import_openvino

Backend = Literal["torch", "openvino"]
BACKENDS = ("auto", "torch", "openvino")


def pick_backend(name: str, device: torch.device) -> Backend:
    """auto | torch | openvino -> what to use on a device; raises PoseError for what can't be had."""
    if name not in BACKENDS:
        raise PoseError(f"There is no backend {name!r}; choose {', '.join(BACKENDS)}.")
    if name == "openvino" and device.type != "cpu":
        raise PoseError(f"The openvino backend works on the CPU, not on {device}; leave out --backend.")
    if name == "torch" or device.type != "cpu":
        return "torch"
    try:
        import_openvino()
    except ImportError:
        if name == "openvino":
            raise PoseError("The package openvino is not installed: pip install openvino.") from None
        return "torch"
    return "openvino"


class OpenVinoNetwork:
    """A network that OpenVINO runs, called as the torch one is: a float batch in, a float tensor out."""

    def __init__(self, model: Any, precision: str | None = None) -> None:
        """model: OpenVINO's. precision: "bfloat16" or "float32"; None: the former where the CPU computes with it."""
        core = import_openvino().Core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bfloat16" if fast else "float32")
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._request: Any = core.compile_model(model, "CPU", options).create_infer_request()

    @classmethod
    def of(cls, network: nn.Module, example: Tensor, key: str) -> OpenVinoNetwork:
        """A torch network, converted. example: a batch to trace with, whose sizes may differ from later ones;
        key: names the weights."""
        openvino = import_openvino()
        version = openvino.__version__.split("-")[0]
        kept = cache_folder() / f"{key}-{version}.xml"
        if kept.is_file() and kept.with_suffix(".bin").is_file():
            return cls(openvino.Core().read_model(kept))
        model = converted(network, example)
        _keep(openvino, model, kept)
        return cls(model)

    def __call__(self, batch: Tensor) -> Tensor:
        done = self._request.infer([np.ascontiguousarray(batch.numpy())])
        out: Tensor = torch.from_numpy(done[0].copy())
        return out


def leave_cores_to_openvino(*networks: object) -> None:
    """Where OpenVINO does all the heavy work, keep torch's threads from waiting busily on its cores."""
    if all(isinstance(n, OpenVinoNetwork) for n in networks):
        torch.set_num_threads(1)


def engine(network: object) -> str:
    """What runs a network, for people."""
    return f"openvino, {network.precision}" if isinstance(network, OpenVinoNetwork) else "torch, float32"


def cache_folder() -> Path:
    """Where converted networks are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("posecli")) / "openvino"


def converted(network: nn.Module, example: Tensor) -> Any:
    """OpenVINO's model of a torch network."""
    import warnings

    class First(nn.Module):
        """Detectors give a tuple whose first element counts."""

        def forward(self, x: Tensor) -> Tensor:
            out = network(x)
            first: Tensor = out[0] if isinstance(out, tuple | list) else out
            return first

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that are constant here
        # convert_model finds the submodules' weights through attributes only.
        wrapper = First()
        wrapper.network = network
        model: Any = import_openvino().convert_model(wrapper.eval(), example_input=example)
        return model


def _keep(openvino: Any, model: Any, path: Path) -> None:
    """Write both files under other names first: another process may do the same."""
    part = path.with_name(f"{os.getpid()}-{path.name}")
    with contextlib.suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, part, compress_to_fp16=False)
        part.with_suffix(".bin").replace(path.with_suffix(".bin"))
        part.replace(path)
