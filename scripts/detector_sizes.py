"""Which picture sizes, overlap and confidence suit a detector, on photos in which everybody has a box.

    python scripts/detector_sizes.py weights/person.pt people/train.json
    python scripts/detector_sizes.py weights/person.pt people/train.json --dev

Prints one line a way to look: best F1 with its confidence, recall where precision is 0.84, and the median
milliseconds a photo. Sizes are pixels of the longer side; "m" marks a look at the mirrored photo. Several looks
are fused by weighted boxes fusion (Solovyev et al. 2021).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from posecli.data.coco import is_dev
from posecli.engines import detector
from posecli.engines.detector import Detector
from posecli.engines.load import load_detector
from posecli.geometry.boxes import iou_matrix
from posecli.metrics.detection import match_finds, recall_precision
from posecli.sources.photos import read_photo
from posecli.types import Array, Boxes, Image

SIZES = (320, 384, 416, 448, 512, 640)
WAYS = [
    *((str(size),) for size in SIZES),
    ("416", "256"), ("416", "320"), ("512", "320"),
    ("416", "416m"), ("416", "320m"), ("416", "256m"), ("320", "320m"),
]  # fmt: skip
OVERLAPS = (0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of plain suppression
LOOSE = 0.8  # overlap from which finds of one look are one, before looks are fused
SAME_PERSON = 0.45  # overlap from which finds of several looks are one person
BEST_PIXELS, SPREAD = 110.0, 1.0  # the side of people who are found best, in the scaled picture
LEAST = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detector")
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--dev", action="store_true", help="only the photos that choices are made on")
    parser.add_argument("--every", type=int, default=1, help="take every N-th photo")
    options = parser.parse_args()
    detector.OVERLAP = LOOSE
    photos = labelled_photos(options.annotations, options.dev)[:: options.every]
    looks = sorted({look for way in WAYS for look in way})
    finders = {size: load_detector(options.detector, "cpu", confidence=LEAST, size=size, backend="openvino")
               for size in {int(look.rstrip("m")) for look in looks}}  # fmt: skip
    finds: dict[str, list[Boxes]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for path, _, _ in photos:
        image = read_photo(path)
        for look in looks:
            start = time.perf_counter()
            finds[look].append(find(finders[int(look.rstrip("m"))], image, look.endswith("m")))
            seconds[look].append(time.perf_counter() - start)
    print(f"{len(photos)} photos, {sum(len(p) for _, p, _ in photos)} people")
    print(
        "| looks | overlap | best F1 | confidence | recall at precision 0.84 | ms |\n|---|---|---|---|---|---|"
    )
    for way in WAYS:
        milliseconds = sum(float(np.median(seconds[look])) for look in way) * 1000
        for overlap in OVERLAPS if len(way) == 1 else (SAME_PERSON,):
            found = [
                together([finds[look][i] for look in way], way, photos[i][0], overlap)
                for i in range(len(photos))
            ]
            matches = [
                match_finds(f.xyxy, f.scores, p, c) for f, (_, p, c) in zip(found, photos, strict=True)
            ]
            curve = [(c, *recall_precision(matches, c)) for c in np.arange(0.03, 0.7, 0.01)]
            f1, best = max((2 * r * p / max(r + p, 1e-9), c) for c, r, p in curve)
            recall = max((r for _, r, p in curve if p >= 0.84), default=0.0)
            print(
                f"| {' + '.join(way)} | {overlap} | {f1:.3f} | {best:.2f} | {recall:.3f} | {milliseconds:.1f} |",
                flush=True,
            )


def labelled_photos(annotations: Path, dev: bool) -> list[tuple[Path, Array, Array]]:
    """(photo, (N, 4) people, (M, 4) crowds), xyxy, of photos in which everybody has a box."""
    document = json.loads(annotations.read_text(encoding="utf-8"))
    people: dict[int, list[list[float]]] = defaultdict(list)
    crowds: dict[int, list[list[float]]] = defaultdict(list)
    for entry in document["annotations"]:
        x, y, w, h = entry["bbox"]
        (crowds if entry.get("iscrowd") else people)[entry["image_id"]].append([x, y, x + w, y + h])
    chosen = [p for p in document["images"] if p.get("boxes") == "all" and (is_dev(p) or not dev)]
    folder = annotations.parent / "images"
    return [
        (
            folder / p["file_name"],
            *(np.array(of[p["id"]], np.float64).reshape(-1, 4) for of in (people, crowds)),
        )
        for p in chosen
    ]


def find(finder: Detector, image: Image, mirrored: bool) -> Boxes:
    """All finds in a photo, hardly suppressed."""
    found = finder.find(np.ascontiguousarray(image[:, ::-1]) if mirrored else image)
    if not mirrored:
        return found
    x1, y1, x2, y2 = found.xyxy.T
    return Boxes(np.stack([image.shape[1] - x2, y1, image.shape[1] - x1, y2], axis=1), found.scores)


def together(finds: list[Boxes], way: tuple[str, ...], photo: Path, overlap: float) -> Boxes:
    """One look's finds, suppressed; or several looks', fused."""
    if len(finds) > 1:
        longer = max(read_size(photo))
        return fused(finds, [int(look.rstrip("m")) / longer for look in way])
    [found] = finds
    overlaps, free, kept = iou_matrix(found.xyxy, found.xyxy), np.ones(len(found), bool), []
    for i in range(len(found)):
        if free[i]:
            kept.append(i)
            free &= overlaps[i] <= overlap
    return found.take(np.array(kept, int))


def read_size(photo: Path) -> tuple[int, int]:
    from PIL import Image as Photo

    with Photo.open(photo) as opened:
        return opened.size


def fused(finds: list[Boxes], scales: list[float]) -> Boxes:
    """Finds of several looks -> one box a person: the mean of their boxes, weighted by score, and of the looks'
    best scores. A look has the more say, the nearer the person's size there is to BEST_PIXELS."""
    xyxy = np.concatenate([f.xyxy for f in finds]).astype(np.float64)
    scores = np.concatenate([f.scores for f in finds]).astype(np.float64)
    scale = np.repeat(np.arange(len(finds)), [len(f) for f in finds])
    sides = (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1)
    say = np.exp(-0.5 * (np.log(sides[:, None] * np.asarray(scales) / BEST_PIXELS) / SPREAD) ** 2)
    say /= np.maximum(say.sum(axis=1, keepdims=True), 1e-12)  # (N, looks)
    weights = scores * say[np.arange(len(scores)), scale]
    order = np.argsort(-weights, kind="stable")
    xyxy, scores, scale, say, weights = xyxy[order], scores[order], scale[order], say[order], weights[order]
    overlaps, free = iou_matrix(xyxy, xyxy), np.ones(len(xyxy), bool)
    boxes, sums = [], []
    for i in range(len(xyxy)):
        if not free[i]:
            continue
        same = np.flatnonzero(free & (overlaps[i] > SAME_PERSON))
        free[same] = False
        boxes.append(weights[same] @ xyxy[same] / weights[same].sum())
        best = [max(scores[same[scale[same] == s]], default=0.0) for s in range(len(finds))]
        sums.append(float(say[i] @ best))
    result = Boxes(np.array(boxes, np.float32).reshape(-1, 4), np.array(sums, np.float32))
    return result.take(np.argsort(-result.scores, kind="stable"))


if __name__ == "__main__":
    main()
