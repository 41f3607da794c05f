"""The engines that run a network on a CPU: torch, OpenVINO (faster) and ONNX Runtime.

A network is converted once and kept in the user's cache folder. If that folder can't be written, it is converted each
time. Only the conversion imports torch, which takes seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from posecli.engines.devices import kind_of
from posecli.errors import PoseError
from posecli.files import cache_folder, replacing
from posecli.silence import import_openvino, threads
from posecli.types import Array

if TYPE_CHECKING:
    import torch
    from torch import nn

Backend = Literal["torch", "torch-half", "openvino", "openvino-int8", "onnx"]
BACKENDS = ("auto", "torch", "torch-half", "openvino", "openvino-int8", "onnx")
FORM = 3  # of converted networks; raised when the conversion changes, so that older ones are made again
# OpenVINO sets the locale of the process to "C" for a moment. Two threads at once leave it there, and then Python reads
# text files as ASCII.
_COMPILING = threading.Lock()
ROWS = 4  # the fixed batch of a keypoint network: in bfloat16 up to 1.6 times as fast as a batch of any size
PADDED = 10  # batches filled up with empty crops, after which the network is compiled for single crops, too
ORIGIN = "posecli_origin"  # names, in an int8 file, the sha256 of the weights that it was made of


def pick_backends(name: str, device: str) -> tuple[Backend, ...]:
    """What was asked for by name, or what to choose from on a device; raises PoseError for what can't be had."""
    if name not in BACKENDS:
        raise PoseError(f"There is no backend {name!r}; choose {', '.join(BACKENDS)}.")
    if name in ("torch", "torch-half"):
        return (name,)  # type: ignore[return-value]
    if kind_of(device) != "cpu" and name == "auto":
        return ("torch-half", "torch")
    if kind_of(device) != "cpu":
        raise PoseError(f"The {name} backend works on the CPU, not on {device}; leave out --backend.")
    try:
        if name == "onnx":
            import onnx  # noqa: F401 - torch writes with it
            import onnxruntime  # noqa: F401

            return ("onnx",)
        import_openvino()
    except ImportError as error:
        if name == "auto":
            return ("torch",)
        wanted = "'posecli[onnx]'" if name == "onnx" else "openvino"
        raise PoseError(f"The package {error.name} is not installed: pip install {wanted}.") from None
    return ("openvino-int8", "openvino") if name == "auto" else (name,)  # type: ignore[return-value]


class ArrayNetwork(ABC):
    """A network that another engine than torch runs."""

    @abstractmethod
    def __call__(self, batch: Array) -> Array:
        """batch: (B, 3, H, W) float32, as torch's network takes it."""


class OpenVinoNetwork(ArrayNetwork):
    """A network that OpenVINO runs. A model with a fixed batch takes any batch, too: it is cut in parts, and the last
    part is filled up, or run crop by crop. The answers are the same."""

    def __init__(self, model: Any, precision: str | None = None) -> None:
        """model: OpenVINO's, or the path of its file, which is not read where it was compiled before. precision:
        "bfloat16" or "float32"; None: the former where the CPU computes with it."""
        core = import_openvino().Core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bfloat16" if fast else "float32")
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads(),
        }
        # Compiled networks are kept too: that saves a second at the start.
        folder = converted_folder().with_name("compiled")
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            options["CACHE_DIR"] = str(folder)

        def compiled(model: Any) -> Any:
            with _COMPILING:
                return core.compile_model(model, "CPU", options)

        def single() -> Any:
            """A request of the same network for one crop."""
            one = core.read_model(model) if isinstance(model, str | Path) else model.clone()
            one.reshape([1, *self._shape[1:]])
            return compiled(one).create_infer_request()

        network = compiled(model)
        shape = network.input(0).get_partial_shape()
        self._shape = tuple(shape.to_shape()) if shape.is_static else ()
        self._request: Any = network.create_infer_request()
        self._single = cache(single)
        self._padded = 0

    @classmethod
    def of(
        cls, make: Callable[[], nn.Module], example: Array, key: str, rows: int | None = None
    ) -> OpenVinoNetwork:
        """A torch network, converted. make: gives it, where it was not converted before; example: a batch to
        trace with, whose sizes may differ from later ones; key: names the weights; rows: a fixed batch, in the size of
        the example."""
        openvino = import_openvino()
        version = openvino.__version__.split("-")[0]
        kept = converted_folder() / f"{key}-{version}-{FORM}.xml"
        if kept.is_file() and kept.with_suffix(".bin").is_file():
            return cls(str(kept))
        from posecli.engines.conversion import converted

        model = converted(make(), example, rows)
        network = cls(model)
        for count in (1, 3):  # a conversion that took the example's batch for a constant fails here
            network(example[:1].repeat(count, axis=0))
        _keep(openvino, model, kept)
        return network

    @classmethod
    def int8(cls, path: Path, origin: str) -> OpenVinoNetwork:
        """A file that `posecli export --int8` wrote. origin: sha256 of the weights that it must be made of."""
        model = import_openvino().Core().read_model(path)
        if not model.has_rt_info([ORIGIN]) or str(model.get_rt_info([ORIGIN]).astype(str)) != origin:
            raise PoseError(
                f"{path.name} was made from other weights; export it again with `posecli export --int8`."
            )
        network = cls(model, "float32")
        network.precision = "int8"
        return network

    def __call__(self, batch: Array) -> Array:
        rows = self._shape[0] if self._shape else len(batch)
        whole = len(batch) // rows * rows
        found = [_answer(self._request, batch[n : n + rows]) for n in range(0, whole, rows)]
        if whole < len(batch):
            found.append(self._rest(batch[whole:]))
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _rest(self, batch: Array) -> Array:
        """The answer to fewer crops than the fixed batch has."""
        if self._padded == PADDED:
            return np.concatenate([_answer(self._single(), batch[n : n + 1]) for n in range(len(batch))])
        self._padded += 1
        filled = np.zeros(self._shape, np.float32)
        filled[: len(batch)] = batch
        return _answer(self._request, filled)[: len(batch)]


def _answer(request: Any, batch: Array) -> Array:
    found: Array = request.infer([np.ascontiguousarray(batch)])[0].copy()
    return found


class OnnxNetwork(ArrayNetwork):
    """A network that ONNX Runtime runs."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        [self._input] = [i.name for i in self._session.get_inputs()]

    @classmethod
    def of(cls, make: Callable[[], nn.Module], example: Array, key: str) -> OnnxNetwork:
        """A torch network, converted; arguments as of `OpenVinoNetwork.of`."""
        kept = converted_folder().with_name("onnx") / f"{key}-{metadata.version('torch')}-{FORM}.onnx"
        if not kept.is_file():
            from posecli.engines.conversion import write_plain_onnx

            with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
                made = Path(folder) / "network.onnx"
                write_plain_onnx(make(), example, made)
                try:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(kept) as part:
                        shutil.copyfile(made, part)
                except (OSError, PoseError):
                    return cls(made)
        return cls(kept)

    def __call__(self, batch: Array) -> Array:
        out: Array
        [out, *_] = self._session.run(None, {self._input: np.ascontiguousarray(batch)})
        return out


class LiteRtNetwork(ArrayNetwork):
    """A network that LiteRT runs, crop by crop."""

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise PoseError(
                "Running .tflite files needs a package: pip install ai-edge-litert, or give the model as .xml or .onnx."
            ) from None
        self._interpreter: Any = Interpreter(str(path), num_threads=threads())
        self._interpreter.allocate_tensors()
        [self._input], [self._output] = (
            [d["index"] for d in details]
            for details in (self._interpreter.get_input_details(), self._interpreter.get_output_details())
        )

    def __call__(self, batch: Array) -> Array:
        outputs = []
        for crop in batch:
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(crop[None]))
            self._interpreter.invoke()
            outputs.append(self._interpreter.get_tensor(self._output))
        return np.concatenate(outputs)


def leave_cores_to_openvino(*networks: object) -> None:
    """Where OpenVINO does all the heavy work, keep torch's threads, if it is loaded, from waiting busily on its cores."""
    torch = sys.modules.get("torch")
    if torch is not None and all(isinstance(n, OpenVinoNetwork) for n in networks):
        torch.set_num_threads(1)


def engine(network: object, precision: torch.dtype | None = None) -> str:
    """What runs a network, for people."""
    for kind, name in ((OnnxNetwork, "onnx"), (LiteRtNetwork, "litert")):
        if isinstance(network, kind):
            return f"{name}, float32"
    if isinstance(network, OpenVinoNetwork):
        return f"openvino, {network.precision}"
    return f"torch, {str(precision).removeprefix('torch.')}" if precision else "torch, float32"


def converted_folder() -> Path:
    """Where converted networks are kept."""
    return cache_folder() / "openvino"


def kept_facts(key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is to be known of a network before it is loaded, kept beside the converted ones."""
    path = converted_folder() / f"{key}.json"
    with contextlib.suppress(OSError, ValueError):
        facts: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        return facts
    facts = make()
    with contextlib.suppress(OSError, PoseError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(facts), encoding="ascii")
    return facts


def _keep(openvino: Any, model: Any, path: Path) -> None:
    """Write both files under other names first: another process may do the same."""
    part = path.with_name(f"{os.getpid()}-{path.name}")
    with contextlib.suppress(OSError, RuntimeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, part, compress_to_fp16=False)
        part.with_suffix(".bin").replace(path.with_suffix(".bin"))
        part.replace(path)
