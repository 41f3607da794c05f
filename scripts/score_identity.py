"""Scores who is who in clips against tests/data/who_is_who.json, before and after `retrack`.

    python scripts/score_identity.py videos/
    python scripts/score_identity.py videos/ --clips chaplin.mp4,park.mp4 --model small

IDF1: how much of the time everybody has the number that fits him best (Ristani et al. 2016). Switches: how often
somebody gets another number. Missed and too many are people at the moments that were looked at, every half second, at
an overlap (IoU) of 0.5. `retrack` is told how many people there are, and looks at the video. Needs motmetrics.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import motmetrics
import numpy as np

import posecli
from posecli.geometry.boxes import iou_matrix
from posecli.results.recording import Recording
from posecli.results.retrack import retrack
from posecli.sources.open import open_source
from posecli.types import Array

TRUTH = Path(__file__).parents[1] / "tests" / "data" / "who_is_who.json"
METRICS = ["idf1", "num_switches", "num_misses", "num_false_positives"]
CROWDED = ("swing_dance.mp4",)  # how many people there are is not known: `retrack` is not told
OVERLAP = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", help="only these, by name, joined by commas")
    parser.add_argument("--model", default="small")
    options = parser.parse_args()
    truth = json.loads(TRUTH.read_text(encoding="utf-8"))["clips"]
    chosen = options.clips.split(",") if options.clips else list(truth)
    heads = [
        f"{name}{when}" for when in ("", " after") for name in ("IDF1", "switches", "missed", "too many")
    ]
    print(f"| clip | people | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    before, after = [], []
    for name in chosen:
        clip = options.folder / name
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "result.mp4"
            posecli.annotate(clip, out, video=False, csv=False, model=options.model)
            recording = posecli.read(out.with_suffix(".json"))
        people = len({who for moment in truth[name] for who in moment["people"]})
        source = open_source(str(clip))
        whole, _, _ = retrack(recording, None if name in CROWDED else people, source)
        source.close()
        before.append(compared(recording, truth[name]))
        after.append(compared(whole, truth[name]))
        print(f"| {name} | {people} | {cells(before[-1:])} | {cells(after[-1:])} |", flush=True)
    print(f"| all | | {cells(before)} | {cells(after)} |")


def compared(recording: Recording, moments: list[dict[str, object]]) -> motmetrics.MOTAccumulator:
    """What was shown at each moment beside what is true."""
    found = motmetrics.MOTAccumulator(auto_id=True)
    names = sorted({who for moment in moments for who in moment["people"]})  # type: ignore[attr-defined]
    for moment in moments:
        row = int(np.abs(recording.times - moment["time"]).argmin())  # type: ignore[operator]
        shown = {t.number: t.boxes[t.rows == row] for t in recording.tracks if (t.rows == row).any()}
        true: dict[str, list[float]] = moment["people"]  # type: ignore[assignment]
        boxes = corners(np.array(list(true.values())).reshape(-1, 4))
        theirs = corners(np.array([b[0] for b in shown.values()]).reshape(-1, 4))
        overlap = iou_matrix(boxes, theirs)
        numbers = np.array(list(shown))
        if "others" in moment and len(numbers):  # people who are not named may be shown
            kept = (overlap >= OVERLAP).any(axis=0)
            overlap, numbers = overlap[:, kept], numbers[kept]
        distances = np.where(overlap >= OVERLAP, 1 - overlap, np.nan)
        found.update([names.index(who) for who in true], numbers.tolist(), distances)
    return found


def corners(boxes: Array) -> Array:
    """x, y, width, height -> x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def cells(found: list[motmetrics.MOTAccumulator]) -> str:
    summary = motmetrics.metrics.create().compute_many(found, metrics=METRICS, generate_overall=True)
    idf1, *counts = summary.loc["OVERALL"]
    return " | ".join([f"{idf1:.3f}", *(f"{int(c)}" for c in counts)])


if __name__ == "__main__":
    main()
