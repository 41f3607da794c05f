"""The Python door: `import posecli; for poses in posecli.run("clip.mp4"): …`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from posecli import weights
from posecli.backends import OpenVinoNetwork, pick_backend
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
    if pick_backend(backend, device) == "torch":
        return estimator
    sha = weights.sha256(path)

    def fast() -> Estimator:
        return replace(
            estimator, network=OpenVinoNetwork.of(network, torch.zeros(2, 3, *spec.input_size), sha)
        )

    def compare(other: Estimator) -> Verdict:
        return compare_estimators(replace(estimator, flip_test=False), replace(other, flip_test=False))

    return _faster(estimator, fast, compare, backend, sha)


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
    if pick_backend(backend, device) == "torch":
        return finder
    sha = weights.sha256(path)

    def fast() -> Detector:
        return replace(finder, network=OpenVinoNetwork.of(finder.network, torch.zeros(1, 3, 256, 416), sha))

    return _faster(finder, fast, lambda other: compare_detectors(finder, other), backend, sha)


def _faster(plain: T, make: Callable[[], T], compare: Callable[[T], Verdict], backend: str, sha: str) -> T:
    """The same on OpenVINO if that was asked for by name, or if it is right and faster; else `plain`, with a
    warning that says why."""
    try:
        fast = make()
    except Exception as error:  # whatever a converter stumbles over
        if backend == "openvino":
            raise PoseError(f"OpenVINO can't take this network ({str(error).splitlines()[0]}).") from error
        warnings.warn("OpenVINO can't take this network; torch runs it.", PoseWarning, stacklevel=3)
        return plain
    if backend == "openvino":
        return fast

    examined = False

    def examine() -> Verdict:
        nonlocal examined
        examined = True
        try:
            return compare(fast)
        except Exception:  # a conversion that only works for the batch it was made with, say
            return Verdict(1e9, 0.0, 0.0, 0.0)

    found = verdict(f"openvino {sha}", examine)
    if not found.right or (examined and not found.trusted):  # that it is slower is said once
        warnings.warn(found.sentence("openvino"), PoseWarning, stacklevel=3)
    return fast if found.trusted else plain


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
