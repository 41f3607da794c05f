"""The Python door: `import posecli; for poses in posecli.run("clip.mp4"): …`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from posecli import weights
from posecli.defaults import BOX_CONFIDENCE
from posecli.detect import Detector
from posecli.devices import pick_device
from posecli.estimate import Estimator
from posecli.models.checkpoints import load_model
from posecli.models.published import load_published
from posecli.pipeline import Choices, poses
from posecli.sources.open import open_source
from posecli.types import FramePoses


def load_estimator(
    model: str | None = None,
    device: str | torch.device = "auto",
    *,
    flip_test: bool = False,
    batch_size: int = 16,
) -> Estimator:
    """A keypoint network by shipped name or file, ready on a device. None takes the device's default."""
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_model(model or weights.default_model(device.type))
    network, spec = load_model(path) if path.suffix == ".safetensors" else load_published(path)
    network = network.to(device).to(memory_format=torch.channels_last)
    return Estimator(network, spec, device, flip_test=flip_test, batch_size=batch_size)


def load_detector(
    detector: str | None = None,
    device: str | torch.device = "auto",
    *,
    confidence: float = BOX_CONFIDENCE,
    sizes: tuple[int, ...] | None = None,
) -> Detector:
    """A person detector by shipped name or ultralytics file."""
    if isinstance(device, str):
        device = pick_device(device)
    path = weights.find_detector(detector or weights.DETECTOR)
    return Detector.load(path, confidence=confidence, sizes=sizes, device=device)


def run(
    source: str | Path,
    *,
    model: str | None = None,
    detector: str | None = None,
    device: str = "auto",
    flip_test: bool = False,
    choices: Choices | None = None,
    **changes: object,
) -> Iterator[FramePoses]:
    """People in every frame of a video, folder of photos, camera or stream.

    Further keywords are fields of `posecli.pipeline.Choices`, such as detect_every=5 or tracking=False.
    """
    chosen = replace(choices or Choices(), **changes)  # type: ignore[arg-type]
    estimator = load_estimator(model, device, flip_test=flip_test)
    finder = load_detector(detector, device, confidence=chosen.box_confidence)
    opened = open_source(str(source))
    try:
        yield from poses(opened, finder, estimator, chosen)
    finally:
        opened.close()
