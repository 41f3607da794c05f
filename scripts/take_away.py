"""Switches the rules of the pipeline off, one at a time, and compares what is shown with people counted by eye.

    python scripts/take_away.py videos/ --cache FOLDER

Prints a row a rule: people missed in plaza.mp4 and in all other clips, too many, track IDs in all clips, and left/right
swaps before and after `retrack --people N` with repaired sides (see count_people.py). Each clip is decoded once.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from count_people import (
    IN_CLIP,
    Kept,
    Remembered,
    RememberedEstimator,
    compared,
    recording_of,
    swaps_in,
    without_picture,
)  # fmt: skip

from posecli.engines.load import load_detector, load_estimator
from posecli.pipeline import loop as pipeline
from posecli.pipeline import second_look as looks
from posecli.pipeline import tracker as track
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.results.retrack import retrack
from posecli.results.sides import repair_sides
from posecli.sources.open import open_source


def _set(**values: object) -> list[tuple[Any, str, object]]:
    """Names of the pipeline, and their other values."""
    return [(pipeline, name, value) for name, value in values.items()]


def _without_lost(tracker, ids, boxes):  # type: ignore[no-untyped-def]
    tracker.step()
    return [tracker.before(i) for i in ids]


def _without_before(tracker, ids, boxes):  # type: ignore[no-untyped-def]
    tracker.step()
    return [None] * len(ids)


RULES: dict[str, list[tuple[Any, str, object]]] = {
    "–": [],
    "believed": _set(BELIEVED=0.0, BELIEVED_NESTED=0.0),
    "nested": _set(BELIEVED_NESTED=pipeline.BELIEVED),
    "held": _set(HELD=2.0),
    "shown-before": _set(SHOWN_BEFORE=1.0),
    "least-joints": _set(LEAST_JOINTS=0.0),
    "twins": _set(twins_of=lambda *_: []),
    "same-person": _set(same_person=lambda *_: False),
    "second-look": _set(look_again=lambda e, i, boxes, g, b, keypoints, maps: (boxes, keypoints, maps)),
    "look-around-joints": _set(recall=_without_before),
    "look-in-smaller-finds": _set(
        look_again=lambda e, i, boxes, g, *rest: looks.look_again(e, i, boxes, boxes, *rest)
    ),
    "lost-within": _set(recall=_without_lost),
    "named-by-place": [(track, "same_place", lambda *_: False)],
    "all of these but same-person and least-joints": [],
}


LEFT = ("same-person", "least-joints", "twins", "look-around-joints", "look-in-smaller-finds", "lost-within")
RULES["all of these but same-person and least-joints"] = [
    change for name, changes in RULES.items() if name not in LEFT for change in changes
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", default="person")
    parser.add_argument("--model", default="small")
    parser.add_argument("--box-confidence", type=float, default=Choices().box_confidence)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    counts = json.loads((options.folder / "counts.json").read_text(encoding="utf-8"))["clips"]
    finder = Remembered.of(load_detector(options.detector, "cpu", confidence=options.box_confidence))
    estimator = RememberedEstimator.of(load_estimator(options.model, "cpu"))
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(6, int))
    for clip in counts:
        kept = [Kept(options.cache, clip, part) for part in (finder, estimator)]
        source = open_source(str(options.folder / clip))
        decoded = list(source.frames(0))
        source.frames = lambda first=0, decoded=decoded: iter(decoded[first:])  # type: ignore[method-assign]
        for rule, changes in RULES.items():
            usual = [(place, name, getattr(place, name)) for place, name, _ in changes]
            for place, name, value in changes:
                setattr(place, name, value)
            found = [
                without_picture(f) for f in poses(source, finder, estimator, Choices(options.box_confidence))
            ]
            for place, name, value in usual:
                setattr(place, name, value)
            missed, surplus, _ = compared(clip, found, counts[clip], False)
            tracks = recording_of(found, estimator)
            swaps = repaired = 0
            if clip in IN_CLIP:
                swaps, repaired = (
                    swaps_in(tracks),
                    swaps_in(repair_sides(retrack(tracks, IN_CLIP[clip])[0])[0]),
                )
            plaza = clip == "plaza.mp4"
            sums[rule] += [missed * plaza, missed * (not plaza), surplus, len(tracks.tracks), swaps, repaired]
        source.close()
        for part in kept:
            part.save()
        print(f"{clip} done", flush=True)
    print(
        "| without | missed in plaza | missed elsewhere | too many | track IDs | swaps | repaired |\n|---|---|---|---|---|---|---|"
    )
    for rule, row in sums.items():
        print(f"| {rule} | " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
