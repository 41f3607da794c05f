"""Quantises networks to 8-bit integers.

A network is calibrated on photos of people and scored on other people. It is kept only if it stays accurate.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from posecli.data.people import PeopleSet
from posecli.engines.backends import ORIGIN
from posecli.engines.check import FARTHEST, compare_estimators
from posecli.engines.estimator import Estimator, normalise
from posecli.engines.exported import HEADER, load_exported, made_apart, write
from posecli.errors import PoseError
from posecli.evaluation.keypoints import pck_by_source, predict
from posecli.models.checkpoints import header_of
from posecli.silence import import_openvino
from posecli.sources.photos import read_photo
from posecli.types import Array

CALIBRATION = 300  # people in a calibration sample
SAMPLES = 4  # maximum number of calibration samples to try until the check of `posecli doctor` passes
SCORED = 1500  # maximum number of other people used to score both networks
MOST_LOST = 0.005  # maximum loss in PCK@0.2


@dataclass(frozen=True)
class Scores:
    """PCK@0.2 (`diagonal`) before and after, on the same people."""

    before: float
    after: float
    people: int
    moved: float  # crop pixels, the largest movement of a joint in the check of `posecli doctor`


def export_int8(
    estimator: Estimator,
    path: Path,
    people: PeopleSet,
    origin: str,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Scores:
    """Write a torch network in 8 bits to `path` (.xml or .onnx).

    origin: SHA-256 of its weights.
    The network is calibrated on a sample of the labelled people. If the check of `doctor` then fails, the next sample
    is tried. Both networks are scored on people who are in no sample.
    Raises PoseError and writes no file if the PCK falls by more than MOST_LOST, or if there are too few people.
    """
    if path.suffix not in (".xml", ".onnx"):
        raise PoseError(f"{path.suffix} files do not support 8 bits; choose openvino or onnx.")
    if not estimator.spec.has_maps:
        raise PoseError(
            f"{estimator.spec.architecture} predicts coordinates; 8 bits are only for networks with heatmaps."
        )
    if len(people) < 2 * CALIBRATION:
        raise PoseError(
            f"8 bits need at least {2 * CALIBRATION} labelled people, to choose ranges and to score; these are "
            f"{len(people)}."
        )
    order = np.random.default_rng(0).permutation(len(people))
    count = min(SAMPLES, len(people) // CALIBRATION - 1)
    samples = [people.take(order[i * CALIBRATION : (i + 1) * CALIBRATION]) for i in range(count)]
    scored = people.take(np.sort(order[count * CALIBRATION :][:SCORED]))
    with made_apart(path) as made:
        small, moved = _quantised(estimator, made, samples, origin)
        before, after = (
            pck_by_source(scored, predict(scored, one, None, progress))["overall"] or 0.0
            for one in (estimator, small)
        )
        if before - after > MOST_LOST:
            raise PoseError(
                f"In 8 bits PCK@0.2 falls from {before:.3f} to {after:.3f}, by more than {MOST_LOST}; the file was "
                f"not kept."
            )
    return Scores(before, after, len(scored), moved)


def _quantised(
    estimator: Estimator, path: Path, samples: list[PeopleSet], origin: str
) -> tuple[Estimator, float]:
    """Quantise the network to `path`. Returns (8-bit network, largest movement of a joint in crop pixels).

    Tries the samples in order until the movement is small enough. A few outliers in one sample can cut off a value
    range, which then moves a joint by more than a pixel. Another sample rarely cuts off the same range.
    """
    header = header_of(estimator.spec)
    for sample in samples:
        for old in (
            path.parent.iterdir()
        ):  # files of the last sample may still be memory-mapped, so remove them first
            old.unlink()
        write(estimator, path)
        _to_int8(path, _crops(estimator, sample), header, origin)
        network, _ = load_exported(path, "cpu", "float32")
        small = replace(estimator, network=network)
        moved = compare_estimators(estimator, small).wrong
        if moved <= FARTHEST:
            break
    return small, moved


def _crops(estimator: Estimator, people: PeopleSet) -> list[Array]:
    """The input of the network for each person: (1, 3, H, W) float32."""
    found = []
    for photo, box in zip(people.photos, people.boxes, strict=True):
        crops, _ = estimator.crops([read_photo(photo)], [box[None]])
        found.append(normalise(crops, estimator.spec))
    return found


def _to_int8(path: Path, crops: list[Array], header: str, origin: str) -> None:
    """Quantise an exported file in place. Raises PoseError if nncf is not installed."""
    for chatty in ("nncf", "torch.utils.cpp_extension"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError:
        raise PoseError("8 bits need a package: pip install 'posecli[export]'.") from None
    options: dict[str, Any] = {
        "subset_size": len(crops),
        "preset": nncf.QuantizationPreset.MIXED,
        # Leave two kinds of layers in full precision: the sums of skip connections, which have wide ranges, and the
        # last layer (`score`). In 8 bits they move joints the most, and in full precision they cost little time.
        "ignored_scope": nncf.IgnoredScope(types=["Add"], patterns=[".*score.*"], validate=False),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".onnx":
            import onnx

            small = nncf.quantize(onnx.load(path), nncf.Dataset([{"crops": c} for c in crops]), **options)
            onnx.helper.set_model_props(small, {HEADER: header, ORIGIN: origin})
            onnx.save(small, path)
            return
        openvino = import_openvino()
        small = nncf.quantize(openvino.Core().read_model(path), nncf.Dataset(crops), **options)
        small.set_rt_info(header, [HEADER])
        small.set_rt_info(origin, [ORIGIN])
        # The source file is memory-mapped, so write to another file first.
        part = path.with_name("int8.xml")
        openvino.save_model(small, part, compress_to_fp16=False)
        for suffix in (".xml", ".bin"):
            part.with_suffix(suffix).replace(path.with_suffix(suffix))
