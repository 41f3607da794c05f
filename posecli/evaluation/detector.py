"""Scores a person detector on labelled photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posecli.data.coco import is_dev, load_document, photo_folder
from posecli.engines.detector import Detector
from posecli.errors import PoseError
from posecli.evaluation.keypoints import drawn
from posecli.geometry.boxes import iou_matrix
from posecli.metrics.detection import TALL, Matches, match_finds, recall_precision
from posecli.sources.photos import read_photo
from posecli.types import Array

FOUND = 0.5  # minimum IoU for a labelled person to count as found
LEAST = 0.01  # detections with a lower score are ignored
Progress = Callable[[int, int], None]


def score_detector(
    annotations: Path,
    detector: Detector,
    images: Path | None = None,
    progress: Progress = lambda *_: None,
    most: int | None = None,
    dev: bool = False,
) -> dict[str, Any]:
    """Recall and precision of a detector by source, on a COCO file.

    Photos with `boxes: all`, or without this field, give recall and precision. In other photos only some people have a
    box. They give only the share of these people that is found.
    most: maximum number of photos; None: all. dev: use only the photos for validation.
    Raises PoseError if no photo is left.
    """
    document = load_document(annotations)
    folder = images or photo_folder(annotations)
    of_photo: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        of_photo[annotation["image_id"]].append(annotation)
    photos = [p for p in document["images"] if of_photo[p["id"]] or p.get("boxes", "all") == "all"]
    photos = [p for p in photos if is_dev(p) or not dev]
    if not photos:
        raise PoseError(f"{annotations} has no photo with boxes" + (" in its dev part." if dev else "."))
    chosen = drawn((p["id"] for p in photos), most)
    photos = [p for p in photos if p["id"] in chosen]
    asked = detector.confidence
    complete: dict[str, list[Matches]] = defaultdict(list)
    best: dict[str, list[float]] = defaultdict(list)
    for done, photo in enumerate(photos, 1):
        # The curve also needs detections below the threshold.
        found = detector.find(read_photo(folder / photo["file_name"]), LEAST)
        entries = of_photo[photo["id"]]
        people = _boxes([e for e in entries if not e.get("iscrowd")])
        crowds = _boxes([e for e in entries if e.get("iscrowd")])
        source = str(photo.get("source", "coco"))
        if photo.get("boxes", "all") == "all":
            complete[source].append(match_finds(found.xyxy, found.scores, people, crowds))
        else:
            right = iou_matrix(people, found.xyxy) >= FOUND
            best[source] += [max(found.scores[row], default=0.0) for row in right]
        progress(done, len(photos))
    return {
        "confidence": asked,
        "taller_than": TALL,
        "all_boxes": {source: _recall_precision(matches, asked) for source, matches in complete.items()},
        "main_people": {source: _share_found(np.array(scores), asked) for source, scores in best.items()},
    }


def _recall_precision(matches: list[Matches], confidence: float) -> dict[str, Any]:
    """Recall and precision at `confidence` and as a curve, for photos with complete boxes."""
    curve = [(float(c), *recall_precision(matches, c)) for c in _confidences()]
    recall, precision = recall_precision(matches, confidence)
    return {
        "photos": len(matches),
        "people": sum(m.people for m in matches),
        "recall": recall,
        "precision": precision,
        "curve": [{"confidence": c, "recall": r, "precision": p} for c, r, p in curve],
    }


def _share_found(scores: Array, confidence: float) -> dict[str, Any]:
    """The share of people that are found, for photos with incomplete boxes.

    scores: the highest score of a matching detection for each person; 0 if there is none.
    """
    curve = [{"confidence": float(c), "found": float((scores >= c).mean())} for c in _confidences()]
    return {"people": len(scores), "found": float((scores >= confidence).mean()), "curve": curve}


def _confidences() -> Array:
    return np.round(np.arange(0.05, 0.96, 0.05), 2)


def _boxes(entries: list[dict[str, Any]]) -> Array:
    """Boxes of annotations, (N, 4) xyxy."""
    boxes = np.array([e["bbox"] for e in entries], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
