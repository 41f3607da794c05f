"""The header of a result file: source, model and options."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from posecli.engines.backends import engine
from posecli.engines.estimator import Estimator
from posecli.files import readable_name, sha256
from posecli.models import weights
from posecli.output.document import FORMAT, FileHeader, Header, SourceHeader, frame_record, skeleton_record
from posecli.pipeline.choices import Choices
from posecli.pipeline.contracts import Source
from posecli.pipeline.tracker import TRACKER
from posecli.skeletons import Skeleton, derived_joints
from posecli.types import FramePoses
from posecli.version import __version__


def run_header(
    source: Source,
    model: str | None,
    detector: str | None,
    estimator: Estimator,
    skeleton: Skeleton,
    choices: Choices,
) -> Header:
    """The whole document but frames and summary. No path and no clock in it."""
    return _header(source_header(source), model, detector, estimator, skeleton, choices)


def source_header(source: Source) -> SourceHeader:
    """What was read."""
    told: SourceHeader = {
        "name": source.name,
        "width": source.width,
        "height": source.height,
        "rate": _rate(source.rate),
        "duration": source.duration,
        "rotation": source.rotation,
    }
    if source.stream is not None:
        told["stream"] = source.stream
    if source.origin:
        told["origin"] = round(float(source.origin), 6)
    return told


def boxes_header(source: Source) -> Header:
    """Of people who were followed by their boxes alone, without a network for joints."""
    nothing: FileHeader = {"name": "none", "sha256": ""}
    return {
        "posecli": __version__,
        "format": FORMAT,
        "source": source_header(source),
        "model": nothing,
        "detector": nothing,
        "tracker": TRACKER,
        "skeleton": skeleton_record(Skeleton("none", (), ()), {}),
        "options": {},
    }


def photo_document(
    photo: Path,
    poses: FramePoses,
    model: str | None,
    detector: str | None,
    estimator: Estimator,
    skeleton: Skeleton,
    choices: Choices,
) -> str:
    """The whole document of one photo: a single frame at time 0."""
    height, width = poses.frame.image.shape[:2]
    told: SourceHeader = {
        "name": readable_name(photo),
        "width": width,
        "height": height,
        "rate": None,
        "duration": None,
        "rotation": 0,
    }
    document = _header(told, model, detector, estimator, skeleton, choices)
    summary = {"frames": 1, "people": len(poses.people), "tracks": 0, "damaged": 0, "messages": []}
    return (
        json.dumps({**document, "frames": [frame_record(poses, skeleton)], "summary": summary}, indent=1)
        + "\n"
    )


def _header(
    source: SourceHeader,
    model: str | None,
    detector: str | None,
    estimator: Estimator,
    skeleton: Skeleton,
    choices: Choices,
) -> Header:
    model_file = weights.find_model(model or weights.MODEL)
    detector_file = weights.find_detector(detector or weights.DETECTOR)
    return {
        "posecli": __version__,
        "format": FORMAT,
        "source": source,
        "model": {
            "name": model_file.stem,
            "sha256": sha256(model_file),
            "architecture": estimator.spec.architecture,
            "input_size": list(estimator.spec.input_size),
        },
        "detector": {"name": detector_file.stem, "sha256": sha256(detector_file)},
        "tracker": TRACKER if choices.tracking else None,
        "skeleton": skeleton_record(skeleton, derived_joints(estimator.spec.bones, skeleton)),
        "options": {
            **{k: v for k, v in asdict(choices).items() if k not in ("skeleton", "keep_heatmaps")},
            "select_of": Path(choices.select_of).name if choices.select_of else None,
            "flip_test": estimator.flip_test,
            "engine": engine(estimator.network, estimator.precision),
        },
    }


def _rate(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}"
