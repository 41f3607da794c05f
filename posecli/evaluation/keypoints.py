"""Scores a model on labelled people."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from posecli.data.people import HIDDEN, UNLABELLED, VISIBLE, Ignored, PeopleSet, not_in_picture
from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.geometry.boxes import iou_matrix
from posecli.metrics import angles, mistakes, oks, pck
from posecli.metrics.calibration import reliability
from posecli.skeletons import BODY19, BODY23, FEET, Skeleton, convert_keypoints, sources_of
from posecli.sources.photos import read_photo
from posecli.types import Array, Flags

ALPHA = 0.2
SURE_JOINT = 0.2  # minimum joint confidence for the person's score, as in HRNet's rescoring
FOUND = 0.3  # minimum IoU to match a detected box with a labelled person, for PCK with detected boxes
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictions:
    """The predictions for each labelled person, and all predictions of each photo."""

    keypoints: Array  # (N, K, 3) x, y, confidence for each labelled person; NaN if not found
    scores: Array  # (N,) score of each person
    everybody: dict[int, list[dict[str, Any]]]  # image id -> COCO results
    warnings: tuple[str, ...] = ()  # sentences about what could not be used


def predict(
    people: PeopleSet,
    estimator: Estimator,
    detector: Detector | None = None,
    progress: Progress = lambda *_: None,
) -> Predictions:
    """Run a model on every photo, with the labelled boxes or with the boxes of `detector`."""
    rows_of: dict[Path, list[int]] = defaultdict(list)
    for row, photo in enumerate(people.photos):
        rows_of[photo].append(row)
    names = people.joints
    # Leave feet out of the person's score, so that networks with and without feet are ranked alike.
    scored = [k for k, name in enumerate(names) if name not in FEET]
    keypoints = np.full((len(people), len(names), 3), np.nan, np.float32)
    scores = np.zeros(len(people))
    everybody: dict[int, list[dict[str, Any]]] = defaultdict(list)
    without = {photo: number for number, photo, _ in people.empty} if detector is not None else {}
    for photo in without:  # photos without people, where the detector can make false positives
        rows_of.setdefault(photo, [])
    for done, (photo, rows) in enumerate(rows_of.items(), 1):
        image = read_photo(photo)
        given = people.boxes[rows]
        box_scores: Array
        boxes, box_scores = given, np.ones(len(rows), np.float32)
        if detector is not None:
            found = detector.find(image)
            boxes, box_scores = found.xyxy, found.scores
        [points] = estimator.estimate([image], [boxes])
        points = joints_of(points, estimator.spec.bones, names)
        person_scores = box_scores * joint_score(points[:, scored])
        owner = np.arange(len(rows)) if detector is None else _owners(given, boxes)
        for i, row in enumerate(rows):
            if owner[i] >= 0:
                keypoints[row], scores[row] = points[owner[i]], person_scores[owner[i]]
        image_id = int(people.image_ids[rows[0]]) if rows else without[photo]
        for i in range(len(points)):
            record = coco_result(
                image_id, points[i], float(person_scores[i]), boxes[i], min(people.categories)
            )
            if detector is None:
                record["annotation_id"] = int(people.ids[rows[i]])
            everybody[image_id].append(record)
        progress(done, len(rows_of))
    return Predictions(keypoints, scores, dict(everybody))


def drawn(photos: Iterable[int], most: int | None) -> set[int]:
    """A fixed random sample of `most` photo IDs. All IDs if `most` is None."""
    ids = sorted(set(photos))
    if most is None or most >= len(ids):
        return set(ids)
    return set(np.random.default_rng(0).permutation(ids)[:most].tolist())


def joints_of(keypoints: Array, source: Skeleton, names: tuple[str, ...]) -> Array:
    """Convert keypoints (n, K, 3) to the joints `names`. Joints that `source` lacks are NaN."""
    out = np.full((len(keypoints), len(names), 3), np.nan, np.float32)
    for k, name in enumerate(names):
        if sources_of(name, source.joints) is not None:
            target = Skeleton("one", (name,), ())
            out[:, k] = convert_keypoints(keypoints, source, target)[:, 0]
    return out


def joint_score(keypoints: Array) -> Array:
    """Mean confidence (n,) of each person's joints above SURE_JOINT. 0 if there are none."""
    confidence = np.nan_to_num(keypoints[..., 2])
    sure = confidence > SURE_JOINT
    mean: Array = (confidence * sure).sum(axis=1) / np.maximum(sure.sum(axis=1), 1)
    return mean


def coco_result(image_id: int, points: Array, score: float, box: Array, category: int) -> dict[str, Any]:
    """One person in the COCO results format. box: xyxy."""
    values = np.nan_to_num(points)
    x1, y1, x2, y2 = (float(v) for v in box)
    return {
        "image_id": image_id,
        "category_id": category,
        "keypoints": [round(float(v), 3) for v in values.reshape(-1)],
        "score": round(score, 5),
        "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
    }


def read_predictions(path: Path, people: PeopleSet) -> Predictions:
    """Read COCO results from a file and match them with the labelled people.

    Matches by annotation_id if the file has it, otherwise by the best OKS.
    Raises PoseError if the file does not hold COCO results for these joints.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        everybody: dict[int, list[dict[str, Any]]] = defaultdict(list)
        others = 0
        for record in records:
            checked = _checked_result(record, path, people.joints)
            if checked.get("category_id") in (None, *people.categories):
                everybody[int(record["image_id"])].append(checked)
            else:
                others += 1
    except FileNotFoundError:
        raise PoseError(f"There is no file {path}.") from None
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise PoseError(f"{path} is not a list of COCO results ({_short(error)}).") from error
    listed = {*people.image_ids.tolist(), *(number for number, *_ in people.empty)}
    strangers = sum(len(finds) for number, finds in everybody.items() if number not in listed)
    told = [f"{path.name} holds no prediction."] if not everybody else []
    if others:
        told.append(f"{path.name}: predictions of other categories than people (left out): {others}.")
    if strangers:
        told.append(f"{path.name}: predictions of photos that are not scored (left out): {strangers}.")
    keypoints = np.full((len(people), len(people.joints), 3), np.nan, np.float32)
    scores = np.zeros(len(people))
    sigmas = oks.sigmas_of(people.joints)
    for image_id in np.unique(people.image_ids):
        rows = np.flatnonzero(people.image_ids == image_id)
        finds = everybody.get(int(image_id), [])
        points = np.array([f["keypoints"] for f in finds], np.float32).reshape(
            len(finds), len(people.joints), 3
        )
        by_id = {f["annotation_id"]: i for i, f in enumerate(finds) if "annotation_id" in f}
        similarity = oks.oks(points[..., :2], _truth(people, rows), sigmas) if finds else None
        for j, row in enumerate(rows):
            chosen = by_id.get(int(people.ids[row]), -1)
            if not by_id and similarity is not None:
                chosen = int(similarity[:, j].argmax())
            if chosen >= 0:
                keypoints[row], scores[row] = points[chosen], finds[chosen]["score"]
    return Predictions(keypoints, scores, dict(everybody), tuple(told))


def _checked_result(record: dict[str, Any], path: Path, joints: tuple[str, ...]) -> dict[str, Any]:
    """A COCO result with its keypoints and score checked. Raises PoseError, ValueError, KeyError or TypeError."""
    points = np.array(record["keypoints"], np.float64).reshape(-1)
    # body19 and body23 differ only in the feet. Convert the results to the joints of the labels.
    if joints == BODY19.joints and len(points) == 3 * len(BODY23.joints):
        points = points[: 3 * len(joints)]
    elif joints == BODY23.joints and len(points) == 3 * len(BODY19.joints):
        points = np.concatenate([points, np.zeros(3 * len(FEET))])
    if len(points) != 3 * len(joints):
        raise PoseError(f"{path} has {len(points) // 3} joints a person, the labels have {len(joints)}.")
    score = float(record["score"])
    if not np.isfinite([*points, score]).all():
        raise PoseError(f"{path} has coordinates or scores that are not numbers.")
    return {**record, "keypoints": points.tolist(), "score": score}


def _short(error: Exception) -> str:
    text = repr(error)
    return text if len(text) <= 100 else text[:97] + "..."


def score(people: PeopleSet, predictions: Predictions) -> dict[str, Any]:
    """The document of `posecli eval --json`: {"sources": {…}, "overall": {…}}.

    Labelled feet are ignored if the network does not predict feet.
    """
    people = only_placed_feet(people, predictions)
    parts = {
        source: _score_part(
            _of_source(people, source), predictions, np.flatnonzero(np.array(people.sources) == source)
        )
        for source in sorted(set(people.sources))
    }
    return {"sources": parts, "overall": _score_part(people, predictions, np.arange(len(people)))}


def without_joints(people: PeopleSet, joints: Sequence[str]) -> PeopleSet:
    """The people with these joints marked as unlabelled."""
    visible = people.visible.copy()
    visible[:, [people.joints.index(j) for j in joints]] = UNLABELLED
    return replace(people, visible=visible)


def only_placed_feet(people: PeopleSet, predictions: Predictions) -> PeopleSet:
    """The people without the labels of foot joints that were never predicted: the network does not have them."""
    # COCO result files write 0 for missing joints.
    placed: Flags = np.asarray(np.nan_to_num(predictions.keypoints).any(axis=(0, 2)))
    if not placed.any():  # nobody was found: these labels still count as missed
        return people
    return without_joints(people, [j for k, j in enumerate(people.joints) if j in FEET and not placed[k]])


def shared_feet(people: PeopleSet, skeletons: Sequence[Skeleton]) -> PeopleSet:
    """The people without labels of feet that a skeleton lacks, so that all networks are scored on the same joints."""
    return without_joints(
        people, [j for j in people.joints if j in FEET and not all(j in s.joints for s in skeletons)]
    )


def _of_source(people: PeopleSet, source: str) -> PeopleSet:
    """The part of the set from one source: people, ignored people and photos without people."""
    part = people.take(np.flatnonzero(np.array(people.sources) == source))
    return replace(
        part,
        ignored=tuple(a for a in people.ignored if a.source == source),
        empty=tuple(e for e in people.empty if e[2] == source),
    )


def pck_by_source(people: PeopleSet, predictions: Predictions) -> dict[str, float | None]:
    """PCK@0.2 (`diagonal`) of each source, and `overall`."""
    people = only_placed_feet(people, predictions)
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    gaps = np.nan_to_num(pck.distances(predictions.keypoints, people.keypoints), nan=np.inf)
    right = pck.within(gaps, sizes, ALPHA)
    sources = np.array(people.sources)
    scores = {s: pck.pooled(right[sources == s], count[sources == s]) for s in sorted(set(people.sources))}
    return {**scores, "overall": pck.pooled(right, count)}


def _score_part(part: PeopleSet, predictions: Predictions, rows: npt.NDArray[np.integer]) -> dict[str, Any]:
    """The figures of one part of a set. rows: the rows of `predictions` that belong to its people."""
    found = predictions.keypoints[rows]
    labelled = part.visible > 0
    # A joint that was not predicted counts as wrong: its distance is infinite.
    gaps = np.nan_to_num(pck.distances(found, part.keypoints), nan=np.inf)
    photos = part.image_ids
    limbs = pck.joint_columns(part.joints, pck.LIMB_JOINTS)
    diagonal = pck.torso_sizes(part.keypoints, labelled, part.joints, "diagonal")
    lsp = pck.torso_sizes(part.keypoints, labelled, part.joints, "lsp")
    count = pck.counted(labelled, diagonal)
    right = pck.within(gaps, diagonal, ALPHA)
    alphas, curve = pck.curve(gaps, diagonal, labelled)
    pdj_alphas, pdj_curves = pck.joint_curves(gaps, lsp, labelled)
    shares = pck.per_joint(right, count)
    flip = np.array(Skeleton("labelled", part.joints, ()).flip)
    kinds = mistakes.kinds_of(found, part.keypoints, labelled, diagonal, photos, flip, ALPHA)
    result: dict[str, Any] = {
        "people": len(part),
        "people_with_diagonal": int(np.isfinite(diagonal).sum()),
        "joints": int(count.sum()),
        "pck": _with_interval(right, count, photos),
        "pck_limbs": _with_interval(right[:, limbs], count[:, limbs], photos),
        "pck_lsp": _with_interval(pck.within(gaps, lsp, ALPHA), pck.counted(labelled, lsp), photos),
        "pck_bbox": _with_interval(pck.within(gaps, pck.box_sizes(part.boxes), ALPHA), labelled, photos),
        "pck_hidden": pck.pooled(right, count & (part.visible == HIDDEN)),
        "pck_visible": pck.pooled(right, count & (part.visible == VISIBLE)),
        "per_joint": {j: _number(s) for j, s in zip(part.joints, shares, strict=True)},
        "mistakes": mistakes.shares(kinds),
        "mistakes_confidence": mistakes.confidences(kinds, found[..., 2]),
        "auc": pck.area_under(curve) if count.any() else None,
        "curve": {"alpha": alphas.round(4).tolist(), "pck": curve.round(5).tolist()},
        "pdj": {
            "alpha": pdj_alphas.round(4).tolist(),
            "per_joint": {
                j: [_number(round(float(v), 5)) for v in c]
                for j, c in zip(part.joints, pdj_curves, strict=True)
            },
        },
        "pckh": None,
        "pckh_means": None,
    }
    if np.isfinite(part.head_sizes).any():
        head_right = pck.within(gaps, part.head_sizes, 0.5)
        head_count = pck.counted(labelled, part.head_sizes)
        result["pckh"] = _with_interval(head_right, head_count, photos)
        result["pckh_means"] = pck.mpii_means(head_right, head_count, part.joints)
    result["angles"] = angles.angle_errors(found, part.keypoints, labelled, part.joints)
    result["collapsed"] = {
        pair: angles.collapsed(found, part.keypoints, labelled, diagonal, part.joints, pair)
        for pair in ("ankle", "knee")
    }
    result |= _average_precision(part, predictions)
    stated = found[..., 2]
    # A joint outside the picture is wrong wherever it is predicted.
    known = (count | not_in_picture(part)) & np.isfinite(stated)
    # Values above 1 are not confidences (but a visibility flag or a heatmap peak), so skip the calibration.
    if (stated[known] > 1).any():
        known = np.zeros_like(known)
    table = reliability(stated[known].astype(np.float64), (right & count)[known])
    result["ece"] = None if table is None else table.ece
    for name, kind in (("ece_hidden", HIDDEN), ("ece_visible", VISIBLE)):
        chosen = known & count & (part.visible == kind)
        of_kind = reliability(stated[chosen].astype(np.float64), right[chosen])
        result[name] = None if of_kind is None else of_kind.ece
    result["reliability"] = table and {
        "stated": table.stated.round(4).tolist(),
        "right": table.right.round(4).tolist(),
        "count": table.count.tolist(),
        "brier": table.brier,
    }
    return result


def _with_interval(right: Flags, count: Flags, photos: Any) -> dict[str, float] | None:
    value = pck.pooled(right, count)
    if value is None:
        return None
    span = pck.interval((right & count).sum(axis=1), count.sum(axis=1), photos)
    low, high = span or (value, value)
    return {"value": value, "low": low, "high": high}


def _average_precision(part: PeopleSet, predictions: Predictions) -> dict[str, float | None]:
    """COCO's AP and AR, as in COCOeval. Photos without people count too. Unlabelled feet are left out."""
    columns = [k for k, j in enumerate(part.joints) if j not in FEET or (part.visible[:, k] > 0).any()]
    sigmas = oks.sigmas_of(part.joints)[columns]
    ignored: dict[int, list[Ignored]] = defaultdict(list)
    for one in part.ignored:
        ignored[one.image_id].append(one)
    boxed = all("bbox" in r for records in predictions.everybody.values() for r in records)
    photos = []
    for image_id in sorted({*part.image_ids.tolist(), *(number for number, *_ in part.empty)}):
        truth = _with_ignored(_truth(part, np.flatnonzero(part.image_ids == image_id)), ignored[image_id])
        truth = replace(truth, keypoints=truth.keypoints[:, columns], visible=truth.visible[:, columns])
        records = predictions.everybody.get(image_id, [])
        keypoints = np.array([r["keypoints"] for r in records], np.float64)
        keypoints = keypoints.reshape(len(records), len(part.joints), 3)
        areas = np.array([r["bbox"][2] * r["bbox"][3] for r in records]) if boxed else None
        photos.append(
            (truth, oks.Finds(keypoints[:, columns, :2], np.array([r["score"] for r in records]), areas))
        )
    return oks.average_precision(photos, sigmas)


def _truth(people: PeopleSet, rows: npt.NDArray[np.integer]) -> oks.Truth:
    boxes = people.boxes[rows].copy()
    boxes[:, 2:] -= boxes[:, :2]
    return oks.Truth(
        people.keypoints[rows], people.visible[rows], boxes, people.areas[rows], np.zeros(len(rows), bool)
    )


def _with_ignored(truth: oks.Truth, ignored: Sequence[Ignored]) -> oks.Truth:
    """Add crowds and people without labelled joints. Predictions on them are ignored."""
    n, k = len(ignored), truth.keypoints.shape[1]
    boxes = np.array([a.box for a in ignored]).reshape(n, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return oks.Truth(
        np.concatenate([truth.keypoints, np.array([a.keypoints for a in ignored]).reshape(n, k, 2)]),
        np.concatenate([truth.visible, np.array([a.visible for a in ignored], np.uint8).reshape(n, k)]),
        np.concatenate([truth.boxes, boxes]),
        np.concatenate([truth.areas, [a.area for a in ignored]]),
        np.concatenate([truth.crowd, np.array([a.crowd for a in ignored], bool)]),
    )


def _owners(given: Array, boxes: Array) -> npt.NDArray[np.integer]:
    """Match labelled boxes (N, 4) with detected boxes (M, 4), both xyxy, by IoU.

    Returns the index of the detected box for each labelled box (N,), or -1.
    """
    if not len(boxes):
        return np.full(len(given), -1)
    from scipy.optimize import linear_sum_assignment

    overlaps = iou_matrix(given, boxes)
    owner = np.full(len(given), -1)
    for i, j in zip(*linear_sum_assignment(-overlaps), strict=True):
        if overlaps[i, j] >= FOUND:
            owner[i] = j
    return owner


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
