"""posecli finds people in photos and videos and places their joints with a stacked hourglass."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "run": "posecli.api",
    "annotate": "posecli.api",
    "read": "posecli.results.recording",
    "load_estimator": "posecli.engines.load",
    "load_detector": "posecli.engines.load",
    "Estimator": "posecli.engines.estimator",
    "Detector": "posecli.engines.detector",
    "Choices": "posecli.pipeline.choices",
    "load_model": "posecli.models.checkpoints",
    "SKELETONS": "posecli.skeletons",
    "PoseError": "posecli.errors",
    "Person": "posecli.types",
    "read_photo": "posecli.sources.photos",
    "draw_people": "posecli.draw.skeleton",
}
__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `posecli --help` needs none of it.
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'posecli' has no attribute {name!r}")
