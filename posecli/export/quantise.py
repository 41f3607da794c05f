"""Quantises networks to 8-bit integers. They are calibrated on photos of people, and scored on others before they are kept."""

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

CALIBRATION = 300  # people by whom ranges are chosen
SAMPLES = 4  # samples of CALIBRATION people are tried until `posecli doctor` finds the joints where they were
SCORED = 1500  # others, at most, on whom both networks are scored
MOST_LOST = 0.005  # of PCK@0.2


@dataclass(frozen=True)
class Scores:
    """PCK@0.2 (`diagonal`) of the same people."""

    before: float
    after: float
    people: int
    moved: float  # crop pixels, the most that a joint moved of those that `posecli doctor` checks


def export_int8(
    estimator: Estimator,
    path: Path,
    people: PeopleSet,
    origin: str,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Scores:
    """Write a torch network in 8 bits as `path` (.xml or .onnx); origin: sha256 of its weights.

    Ranges are chosen on some of the labelled people, others when `doctor`'s check would refuse the file, and
    both networks scored on people who were in no sample; raises PoseError, and leaves nothing, where more than
    MOST_LOST of the PCK is lost.
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
        small, moved = _first_unmoved(estimator, made, samples, origin)
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


def _first_unmoved(
    estimator: Estimator, path: Path, samples: list[PeopleSet], origin: str
) -> tuple[Estimator, float]:
    """The network in 8 bits, written as `path`, and how far it moves the joints that `doctor` checks.

    A range cut off by a few people's outliers can move one sure joint by more than a pixel; other people's
    seldom cut the same one.
    """
    header = header_of(estimator.spec)
    for sample in samples:
        for old in path.parent.iterdir():  # an earlier sample's, which may still lie mapped in memory
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
    """What the network takes of each person: (1, 3, H, W) float32."""
    found = []
    for photo, box in zip(people.photos, people.boxes, strict=True):
        crops, _ = estimator.crops([read_photo(photo)], [box[None]])
        found.append(normalise(crops, estimator.spec))
    return found


def _to_int8(path: Path, crops: list[Array], header: str, origin: str) -> None:
    """Bring an exported file to 8 bits, in place."""
    for chatty in ("nncf", "torch.utils.cpp_extension"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        import nncf
    except ImportError:
        raise PoseError("8 bits need a package: pip install 'posecli[export]'.") from None
    options: dict[str, Any] = {
        "subset_size": len(crops),
        "preset": nncf.QuantizationPreset.MIXED,
        # Sums along a hourglass' skips span wide ranges, and the last layer (`score`) is what joints are read from:
        # in 8 bits these move joints most, and cost the least time as they are.
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
        # The file that was read lies mapped in memory: it is not written over.
        part = path.with_name("int8.xml")
        openvino.save_model(small, part, compress_to_fp16=False)
        for suffix in (".xml", ".bin"):
            part.with_suffix(suffix).replace(path.with_suffix(suffix))
