"""posecli finds people in photos and videos and locates their joints with a stacked hourglass."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from posecli.version import __version__ as __version__

if TYPE_CHECKING:  # for type checkers and editors; at run time these names are loaded on first use
    from posecli.api import annotate as annotate
    from posecli.api import run as run
    from posecli.draw.skeleton import Drawing as Drawing
    from posecli.draw.skeleton import draw_people as draw_people
    from posecli.engines.detector import Detector as Detector
    from posecli.engines.estimator import Estimator as Estimator
    from posecli.engines.load import load_detector as load_detector
    from posecli.engines.load import load_estimator as load_estimator
    from posecli.errors import PoseError as PoseError
    from posecli.models.checkpoints import load_model as load_model
    from posecli.output.record import Summary as Summary
    from posecli.pipeline.choices import Choices as Choices
    from posecli.results.recording import Recording as Recording
    from posecli.results.recording import Track as Track
    from posecli.results.recording import read as read
    from posecli.skeletons import SKELETONS as SKELETONS
    from posecli.sources.photos import read_photo as read_photo
    from posecli.types import FramePoses as FramePoses
    from posecli.types import Person as Person

_PUBLIC = {
    "run": "posecli.api",
    "annotate": "posecli.api",
    "read": "posecli.results.recording",
    "read_photo": "posecli.sources.photos",
    "load_estimator": "posecli.engines.load",
    "load_detector": "posecli.engines.load",
    "load_model": "posecli.models.checkpoints",
    "draw_people": "posecli.draw.skeleton",
    "SKELETONS": "posecli.skeletons",
    "Choices": "posecli.pipeline.choices",
    "Drawing": "posecli.draw.skeleton",
    "Summary": "posecli.output.record",
    "FramePoses": "posecli.types",
    "Person": "posecli.types",
    "Recording": "posecli.results.recording",
    "Track": "posecli.results.recording",
    "Estimator": "posecli.engines.estimator",
    "Detector": "posecli.engines.detector",
    "PoseError": "posecli.errors",
}
__all__ = [*_PUBLIC, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # Importing torch takes a second, and `posecli --help` does not need it.
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'posecli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
