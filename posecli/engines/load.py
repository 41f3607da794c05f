"""Networks by name or file, ready on a device, with the fastest engine that gives the right joints."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TypeVar

import torch

from posecli.defaults import BOX_CONFIDENCE
from posecli.engines.backends import (
    Backend,
    OnnxNetwork,
    OpenVinoNetwork,
    kept_facts,
    leave_cores_to_openvino,
    pick_backends,
)
from posecli.engines.check import Verdict, compare_detectors, compare_estimators, verdict
from posecli.engines.detector import Detector
from posecli.engines.devices import device_name, half_of, pick_device, refuse_fork
from posecli.engines.estimator import Estimator
from posecli.engines.exported import EXPORTED, load_exported
from posecli.errors import PoseError, PoseWarning
from posecli.files import sha256
from posecli.models import weights
from posecli.models.checkpoints import load_model, read_spec
from posecli.models.published import load_published

T = TypeVar("T")
CPU = torch.device("cpu")
Makers = dict[Backend, Callable[[], T]]


@dataclass(frozen=True)
class Networks:
    """Which networks to work with; loaded when they are first asked for, and kept."""

    device: str = "auto"
    model: str | None = None
    detector: str | None = None
    flip_test: bool = False
    batch_size: int = 16
    box_confidence: float = BOX_CONFIDENCE
    backend: str = "auto"

    @cached_property
    def loaded(self) -> tuple[Estimator, Detector]:
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
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_model(model or weights.MODEL)
    if path.suffix in EXPORTED:
        return Estimator(*load_exported(path, device), device, flip_test=flip_test, batch_size=batch_size)
    # torch's network is made only where it is needed: that is time at the start.
    load = load_model if path.suffix == ".safetensors" else load_published
    loaded = cache(lambda: load(path))
    spec = read_spec(path) if path.suffix == ".safetensors" else loaded()[1]
    empty = Estimator(_nothing, spec, flip_test=flip_test, batch_size=batch_size)
    sha, example = sha256(path), torch.zeros(2, 3, *spec.input_size)

    @cache
    def reference() -> Estimator:
        return replace(empty, network=loaded()[0].to(memory_format=torch.channels_last))

    def network() -> torch.nn.Module:
        return reference().network  # type: ignore[return-value]

    def there() -> Estimator:
        if device.type == "cpu":
            return reference()
        return replace(empty, network=copy.deepcopy(network()).to(device), device=device)

    makers: Makers[Estimator] = {
        "torch": there,
        "torch-half": lambda: replace(there(), precision=half_of(device)),
        "openvino": lambda: replace(empty, network=OpenVinoNetwork.of(network, example, sha)),
        "onnx": lambda: replace(empty, network=OnnxNetwork.of(network, example, sha)),
    }
    if (small := weights.int8_of(path)) is not None:
        makers["openvino-int8"] = lambda: replace(empty, network=OpenVinoNetwork.int8(small, sha))

    def compare(other: Estimator) -> Verdict:
        return compare_estimators(replace(reference(), flip_test=False), replace(other, flip_test=False))

    return _fastest(makers, compare, backend, device, sha) or _fastest(
        makers | {"torch": reference}, compare, "auto", CPU, sha
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
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_detector(detector or weights.DETECTOR)
    sha, example = sha256(path), torch.zeros(1, 3, 256, 416)

    @cache
    def finder() -> Detector:
        return Detector.load(path, confidence=confidence, size=size)

    def network() -> torch.nn.Module:
        return finder().network  # type: ignore[no-any-return]

    def there() -> Detector:
        if device.type == "cpu":
            return finder()
        return Detector.load(path, confidence=confidence, size=size, device=device)

    about = kept_facts(f"detector-{sha}", lambda: Detector.load(path).facts())
    empty = Detector.empty(about, path.stem, confidence, size)
    makers: Makers[Detector] = {
        "torch": there,
        "openvino": lambda: replace(empty, network=OpenVinoNetwork.of(network, example, sha)),
        "onnx": lambda: replace(empty, network=OnnxNetwork.of(network, example, sha)),
    }
    # Boxes come in neither 8 nor 16 bits.
    backend = {"openvino-int8": "openvino", "torch-half": "torch"}.get(backend, backend)

    def compare(other: Detector) -> Verdict:
        return compare_detectors(finder(), other)

    return _fastest(makers, compare, backend, device, sha) or _fastest(
        makers | {"torch": finder}, compare, "auto", CPU, sha
    )  # type: ignore[return-value]


def _nothing(batch: torch.Tensor) -> torch.Tensor:
    raise AssertionError("this estimator has no network yet")


def _fastest(
    makers: Makers[T], compare: Callable[[T], Verdict], backend: str, device: torch.device, sha: str
) -> T | None:
    """What was asked for by name, or the fastest that is right and no slower than torch on the CPU; a warning
    says why one is not used. None where nothing on a device other than the CPU is."""
    names = [n for n in pick_backends(backend, device) if n in makers]
    if not names:
        raise PoseError(f"There is no {backend} file beside this network's weights; leave out --backend.")
    if backend != "auto" or names == ["torch"]:
        try:
            return makers[names[0]]()
        except PoseError:
            raise
        except Exception as error:  # whatever a converter stumbles over
            raise PoseError(f"{backend} can't take this network ({str(error).splitlines()[0]}).") from error
    made: dict[str, T] = {}
    trusted: dict[float, Backend] = {}
    for name in names:
        found = _examined(name, device, makers[name], compare, made, sha)
        if found is not None and found.trusted:
            trusted[found.milliseconds] = name
    if not trusted and device.type != "cpu":
        return None
    best: Backend = trusted[min(trusted)] if trusted else "torch"
    try:
        return made[best] if best in made else makers[best]()
    except Exception:  # it was right when it was examined
        warnings.warn(f"{best} can't take this network any more; torch runs it.", PoseWarning, stacklevel=3)
        return makers["torch"]()


def _examined(
    name: Backend,
    device: torch.device,
    make: Callable[[], T],
    compare: Callable[[T], Verdict],
    made: dict[str, T],
    sha: str,
) -> Verdict | None:
    """The verdict on one engine, this machine's kept one where there is one; None if it does not take the
    network. What was made for it is in `made`."""
    examined = False
    what = name if device.type == "cpu" else f"{device} ({name})"

    def examine() -> Verdict:
        nonlocal examined
        examined = True
        made[name] = make()
        try:
            return compare(made[name])
        except Exception:  # a conversion that only works for the batch it was made with, say
            return Verdict(1e9, 0.0, 0.0, 0.0)

    try:
        found = verdict(f"{name} {device_name(device)} {sha}", examine)
    except Exception:
        warnings.warn(f"{what} can't take this network and is not used.", PoseWarning, stacklevel=4)
        return None
    if not found.right or (examined and not found.trusted):  # that it is slower is said once
        warnings.warn(found.sentence(what), PoseWarning, stacklevel=4)
    return found
