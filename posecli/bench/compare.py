"""Several models on the same people: scores, speed and size, and their pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from posecli.bench.stages import crops_per_second
from posecli.data.people import PeopleSet
from posecli.draw.skeleton import draw_people
from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.evaluation.keypoints import predict, score, shared_feet
from posecli.models.checkpoints import build
from posecli.models.field import FIELD
from posecli.pipeline.people import shown_rows
from posecli.skeletons import Skeleton
from posecli.types import Image, Person

LABEL = 28  # pixels of the strip with a model's name


@dataclass(frozen=True)
class Compared:
    """One model's row. Scores are PCK@0.2 (`diagonal`) by source, and AP of all."""

    name: str
    architecture: str
    parameters: int
    gmacs: float  # multiply-adds of one crop, in thousands of millions
    milliseconds: float  # a crop, one at a time
    scores: dict[str, float | None]


def compare(
    models: Sequence[tuple[str, Estimator]],
    people: PeopleSet | None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Compared]:
    """Measure each model; scores where labelled people are given, of feet only where every model has them."""
    if people is not None:
        people = shared_feet(people, [estimator.spec.bones for _, estimator in models])
    rows = []
    for name, estimator in models:
        scores: dict[str, float | None] = {}
        if people is not None:
            predicted = predict(people, estimator, None, _named(progress, name))
            document = score(people, predicted)
            for source, part in {**document["sources"], "overall": document["overall"]}.items():
                scores[source] = part["pck"] and part["pck"]["value"]
            scores["AP"] = document["overall"]["ap"]
        rows.append(
            Compared(
                name,
                estimator.spec.architecture,
                sum(p.numel() for p in estimator.network.parameters()),  # type: ignore[attr-defined]
                count_gmacs(estimator),
                1000 / crops_per_second(estimator, 1),
                scores,
            )
        )
    return rows


@dataclass(frozen=True)
class FieldRow:
    """A network of the field, with fresh weights: neither size nor speed depends on them."""

    name: str
    size: tuple[int, int]  # (height, width) of a crop in pixels
    parameters: int
    gmacs: float
    milliseconds: float  # a crop, one at a time
    score: str  # published
    source: str


def measure_field(device: str, progress: Callable[[str, int, int], None] = lambda *_: None) -> list[FieldRow]:
    """Every network that the field compares with, counted and timed in torch on a device."""
    rows = []
    for done, network in enumerate(FIELD):
        progress(network.name, done, len(FIELD))
        built = build(network.spec).eval().to(device)
        estimator = Estimator(built, network.spec, device)
        rows.append(
            FieldRow(
                network.name,
                network.spec.input_size,
                sum(p.numel() for p in built.parameters()),
                count_gmacs(estimator),
                1000 / crops_per_second(estimator, 1),
                network.score,
                network.source,
            )
        )
    return rows


def count_gmacs(estimator: Estimator) -> float:
    """Multiply-adds of one crop in thousands of millions (the counter counts two operations for each)."""
    height, width = estimator.spec.input_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        estimator.network(torch.zeros(1, 3, height, width, device=estimator.device))
    return float(counter.get_total_flops()) / 2e9


def side_by_side(
    image: Image, detector: Detector, models: Sequence[tuple[str, Estimator]], confidence: float
) -> Image:
    """The picture once for each model with its skeletons, in the same boxes, under its name."""
    boxes = detector.find(image)
    tiles = []
    for name, estimator in models:
        [points] = estimator.estimate([image], [boxes.xyxy])
        kept = shown_rows(boxes, points)
        shown = [Person(None, float(boxes.scores[i]), boxes.xyxy[i], points[i]) for i in kept]
        tiles.append(_tile(image, name, shown, estimator.spec.bones, confidence))
    return np.hstack(tiles)


def _tile(image: Image, name: str, people: list[Person], bones: Skeleton, confidence: float) -> Image:
    tile = np.zeros((image.shape[0] + LABEL, image.shape[1], 3), np.uint8)
    tile[LABEL:] = image
    cv2.putText(tile, name, (8, LABEL - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    draw_people(tile[LABEL:], people, bones, confidence)
    return tile


def _named(progress: Callable[[str, int, int], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
