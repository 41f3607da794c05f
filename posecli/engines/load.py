"""Loads networks by name or file, with the fastest engine that gives the right joints."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posecli.defaults import BOX_CONFIDENCE
from posecli.engines.backends import (
    ROWS,
    OnnxNetwork,
    OpenVinoNetwork,
    kept_facts,
    leave_cores_to_openvino,
)
from posecli.engines.check import (
    SURE_BOX,
    Verdict,
    check_detector,
    check_estimator,
    compare_detectors,
    compare_estimators,
    verdict,
)
from posecli.engines.choose import Makers, fastest
from posecli.engines.detector import Detector
from posecli.engines.devices import device_name, half_of, pick_device, refuse_fork
from posecli.engines.estimator import Estimator
from posecli.engines.exported import EXPORTED, load_exported
from posecli.engines.shipped import shipped
from posecli.errors import PoseError, PoseWarning
from posecli.files import sha256
from posecli.models import weights
from posecli.models.checkpoints import ModelSpec, load_model, read_spec

if TYPE_CHECKING:
    import torch
    from torch import nn

CPU = "cpu"


@dataclass(frozen=True)
class Networks:
    """The networks of a run. Each is loaded at its first use and kept."""

    device: str = "auto"
    model: str | None = None
    detector: str | None = None
    flip_test: bool = False
    batch_size: int = 16
    box_confidence: float = BOX_CONFIDENCE
    backend: str = "auto"
    _begun: list[Future[tuple[Estimator, Detector]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def begin(self) -> None:
        """Start to load in a thread. `loaded` waits for it. Imports and the opening of a source can go on meanwhile."""
        self._begun.append(ThreadPoolExecutor(1).submit(self._load))

    @cached_property
    def loaded(self) -> tuple[Estimator, Detector]:
        return self._begun[0].result() if self._begun else self._load()

    def _load(self) -> tuple[Estimator, Detector]:
        refuse_fork()
        device = pick_device(self.device)
        estimator = load_estimator(
            self.model, device, flip_test=self.flip_test, batch_size=self.batch_size, backend=self.backend
        )
        finder = load_detector(self.detector, device, confidence=self.box_confidence, backend=self.backend)
        leave_cores_to_openvino(estimator.network, finder.network)
        return estimator, finder


def load_estimator(
    model: str | None = None,
    device: str | torch.device = "auto",
    *,
    flip_test: bool = False,
    batch_size: int = 16,
    backend: str = "auto",
) -> Estimator:
    """A keypoint network by shipped name or file, ready on a device. None takes the shipped default.

    backend "auto" takes the fastest engine whose joints agree with torch's in float32 on the CPU.
    """
    device = pick_device(str(device))
    path = weights.find_model(model or weights.MODEL)
    if path.suffix in EXPORTED:
        return Estimator(*load_exported(path, device), device, flip_test=flip_test, batch_size=batch_size)
    # torch's network is made only where it is needed: that is time at the start.
    loaded = cache(lambda: _load(path))
    spec = read_spec(path) if path.suffix == ".safetensors" else loaded()[1]
    empty = Estimator(_nothing, spec, flip_test=flip_test, batch_size=batch_size)
    sha, example = sha256(path), np.zeros((2, 3, *spec.input_size), np.float32)
    if device == CPU and backend in ("auto", "openvino") and (kept := shipped(path, sha)) is not None:
        ready = replace(empty, network=kept.network())
        if _right(f"shipped {sha}", lambda: check_estimator(replace(ready, flip_test=False), kept.answers)):
            return ready
    _refuse_without_torch(path)

    @cache
    def reference() -> Estimator:
        import torch

        return replace(empty, network=loaded()[0].to(memory_format=torch.channels_last))

    def network() -> nn.Module:
        return reference().network  # type: ignore[return-value]

    def there() -> Estimator:
        if device == CPU:
            return reference()
        return replace(empty, network=copy.deepcopy(network()).to(device), device=device)

    makers: Makers[Estimator] = {
        "torch": there,
        "torch-half": lambda: replace(there(), precision=half_of(device)),
        "openvino": lambda: replace(empty, network=OpenVinoNetwork.of(network, example, sha, ROWS)),
        "onnx": lambda: replace(empty, network=OnnxNetwork.of(network, example, sha)),
    }
    if (small := weights.int8_of(path)) is not None:
        makers["openvino-int8"] = lambda: replace(empty, network=OpenVinoNetwork.int8(small, sha))

    def compare(other: Estimator) -> Verdict:
        return compare_estimators(replace(reference(), flip_test=False), replace(other, flip_test=False))

    return fastest(makers, compare, backend, device, f"{device_name(device)} {sha}") or fastest(
        makers | {"torch": reference}, compare, "auto", CPU, f"{device_name(CPU)} {sha}"
    )  # type: ignore[return-value]


def load_detector(
    detector: str | None = None,
    device: str | torch.device = "auto",
    *,
    confidence: float = BOX_CONFIDENCE,
    size: int | None = None,
    backend: str = "auto",
) -> Detector:
    """A person detector by shipped name or ultralytics file. backend: as of `load_estimator`."""
    device = pick_device(str(device))
    path = weights.find_detector(detector or weights.DETECTOR)
    sha, example = sha256(path), np.zeros((1, 3, 256, 416), np.float32)

    @cache
    def finder() -> Detector:
        return Detector.load(path, confidence=confidence, size=size)

    def network() -> nn.Module:
        return finder().network  # type: ignore[no-any-return]

    def there() -> Detector:
        if device == CPU:
            return finder()
        return Detector.load(path, confidence=confidence, size=size, device=device)

    # Boxes come in neither 8 nor 16 bits.
    backend = {"openvino-int8": "openvino", "torch-half": "torch"}.get(backend, backend)
    if device == CPU and backend in ("auto", "openvino") and (kept := shipped(path, sha)) is not None:
        ready = Detector.empty(kept.facts, path.stem, confidence, size)
        ready.network = kept.network()
        if _right(
            f"shipped {sha}",
            lambda: check_detector(
                replace(ready, confidence=SURE_BOX, size=kept.facts["size"]), kept.answers
            ),
        ):
            return ready
    _refuse_without_torch(path)
    about = kept_facts(f"detector-{sha}", lambda: Detector.load(path).facts())
    empty = Detector.empty(about, path.stem, confidence, size)
    makers: Makers[Detector] = {
        "torch": there,
        "openvino": lambda: replace(empty, network=OpenVinoNetwork.of(network, example, sha)),
        "onnx": lambda: replace(empty, network=OnnxNetwork.of(network, example, sha)),
    }

    def compare(other: Detector) -> Verdict:
        return compare_detectors(finder(), other)

    return fastest(makers, compare, backend, device, f"{device_name(device)} {sha}") or fastest(
        makers | {"torch": finder}, compare, "auto", CPU, f"{device_name(CPU)} {sha}"
    )  # type: ignore[return-value]


def _right(key: str, examine: Callable[[], Verdict]) -> bool:
    """Whether a shipped network gives torch's stored answers here; a warning where it does not."""
    found = verdict(key, examine)
    if not found.right:
        warnings.warn(found.sentence("the shipped OpenVINO network"), PoseWarning, stacklevel=3)
    return found.right


def _refuse_without_torch(path: Path) -> None:
    """Raise PoseError where torch would have to read a file and is not installed."""
    if find_spec("torch") is None:
        raise PoseError(
            f"{path.name} needs PyTorch, which is not installed: pip install torch torchvision ultralytics. Without it, "
            f"only the networks {weights.MODEL} and {weights.DETECTOR} run, on a CPU with OpenVINO."
        )


def _load(path: Path) -> tuple[nn.Module, ModelSpec]:
    """torch's network of a file, ours or somebody else's."""
    if path.suffix == ".safetensors":
        return load_model(path)
    from posecli.models.published import load_published  # imports torch

    return load_published(path)


def _nothing(batch: Any) -> Any:
    raise AssertionError("this estimator has no network yet")
