"""The Python door: `import posecli; for poses in posecli.run("clip.mp4"): …`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from posecli import weights
from posecli.backends import Backend, OnnxNetwork, OpenVinoNetwork, pick_backends
from posecli.defaults import BOX_CONFIDENCE
from posecli.detect import Detector
from posecli.devices import pick_device
from posecli.doctor import Verdict, compare_detectors, compare_estimators, verdict
from posecli.errors import PoseError, PoseWarning
from posecli.estimate import Estimator
from posecli.exported import EXPORTED, load_exported
from posecli.models.checkpoints import load_model
from posecli.models.published import load_published
from posecli.pipeline import Choices, poses
from posecli.sources.open import open_source
from posecli.types import FramePoses

T = TypeVar("T")
Makers = dict[Backend, Callable[[], T]]


def load_estimator(
    model: str | None = None,
    device: str | torch.device = "auto",
    *,
    flip_test: bool = False,
    batch_size: int = 16,
    backend: str = "auto",
) -> Estimator:
    """A keypoint network by shipped name or file, ready on a device. None takes the device's default.

    backend "auto" takes the fastest engine whose joints agree with torch's in float32 on the CPU.
    """
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_model(model or weights.default_model(device.type))
    if path.suffix in EXPORTED:
        return Estimator(*load_exported(path, device), device, flip_test=flip_test, batch_size=batch_size)
    network, spec = load_model(path) if path.suffix == ".safetensors" else load_published(path)
    network = network.to(device).to(memory_format=torch.channels_last)
    estimator = Estimator(network, spec, device, flip_test=flip_test, batch_size=batch_size)
    sha = weights.sha256(path)
    example = torch.zeros(2, 3, *spec.input_size)
    makers: Makers[Estimator] = {
        "torch": lambda: estimator,
        "openvino": lambda: replace(estimator, network=OpenVinoNetwork.of(network, example, sha)),
        "onnx": lambda: replace(estimator, network=OnnxNetwork.of(network, example, sha)),
    }
    if (small := weights.int8_of(path)) is not None:
        makers["openvino-int8"] = lambda: replace(estimator, network=OpenVinoNetwork.int8(small, sha))

    def compare(other: Estimator) -> Verdict:
        return compare_estimators(replace(estimator, flip_test=False), replace(other, flip_test=False))

    return _fastest(makers, compare, backend, device, sha)


def load_detector(
    detector: str | None = None,
    device: str | torch.device = "auto",
    *,
    confidence: float = BOX_CONFIDENCE,
    sizes: tuple[int, ...] | None = None,
    backend: str = "auto",
) -> Detector:
    """A person detector by shipped name or ultralytics file. backend: as of `load_estimator`."""
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_detector(detector or weights.DETECTOR)
    finder = Detector.load(path, confidence=confidence, sizes=sizes, device=device)
    sha, example = weights.sha256(path), torch.zeros(1, 3, 256, 416)
    makers: Makers[Detector] = {
        "torch": lambda: finder,
        "openvino": lambda: replace(finder, network=OpenVinoNetwork.of(finder.network, example, sha)),
        "onnx": lambda: replace(finder, network=OnnxNetwork.of(finder.network, example, sha)),
    }
    backend = "openvino" if backend == "openvino-int8" else backend  # only joints come in 8 bits
    return _fastest(makers, lambda other: compare_detectors(finder, other), backend, device, sha)


def _fastest(
    makers: Makers[T], compare: Callable[[T], Verdict], backend: str, device: torch.device, sha: str
) -> T:
    """What was asked for by name, or the fastest that is right and no slower than torch on the CPU; a warning
    says why one is not used."""
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
        found = _examined(name, makers[name], compare, made, sha)
        if found is not None and found.trusted:
            trusted[found.milliseconds] = name
    best: Backend = trusted[min(trusted)] if trusted else "torch"
    try:
        return made[best] if best in made else makers[best]()
    except Exception:  # it was right when it was examined
        warnings.warn(f"{best} can't take this network any more; torch runs it.", PoseWarning, stacklevel=3)
        return makers["torch"]()


def _examined(
    name: Backend, make: Callable[[], T], compare: Callable[[T], Verdict], made: dict[str, T], sha: str
) -> Verdict | None:
    """The verdict on one engine, this machine's kept one where there is one; None if it does not take the
    network. What was made for it is in `made`."""
    examined = False

    def examine() -> Verdict:
        nonlocal examined
        examined = True
        made[name] = make()
        try:
            return compare(made[name])
        except Exception:  # a conversion that only works for the batch it was made with, say
            return Verdict(1e9, 0.0, 0.0, 0.0)

    try:
        found = verdict(f"{name} {sha}", examine)
    except Exception:
        warnings.warn(f"{name} can't take this network and is not used.", PoseWarning, stacklevel=4)
        return None
    if not found.right or (examined and not found.trusted):  # that it is slower is said once
        warnings.warn(found.sentence(name), PoseWarning, stacklevel=4)
    return found


def run(
    source: str | Path,
    *,
    model: str | None = None,
    detector: str | None = None,
    device: str = "auto",
    backend: str = "auto",
    flip_test: bool = False,
    choices: Choices | None = None,
    **changes: object,
) -> Iterator[FramePoses]:
    """People in every frame of a video, folder of photos, camera or stream.

    Further keywords are fields of `posecli.pipeline.Choices`, such as detect_every=5 or tracking=False.
    """
    chosen = replace(choices or Choices(), **changes)  # type: ignore[arg-type]
    estimator = load_estimator(model, device, flip_test=flip_test, backend=backend)
    finder = load_detector(detector, device, confidence=chosen.box_confidence, backend=backend)
    opened = open_source(str(source))
    try:
        yield from poses(opened, finder, estimator, chosen)
    finally:
        opened.close()
