"""Compares the people that `run` shows in clips with people counted by eye, and tracks and swaps before and after `retrack`.

    python scripts/count_people.py videos/ --detector person --model small
    python scripts/count_people.py videos/ --clips plaza.mp4,park.mp4

The folder holds the clips and counts.json: for some moments of each clip how many people over 64 px high are in the
picture, how many more one could count ("unsure"), and for crowds seen from afar how many of any size ("all").
missed = max(0, people - shown); too many = max(0, shown - people - unsure), summed over the moments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import time
from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_detector, load_estimator
from posecli.metrics.video import side_swaps
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.results.recording import Recording, Track
from posecli.results.retrack import retrack
from posecli.results.sides import repair_sides
from posecli.sources.open import open_source
from posecli.stages import untimed
from posecli.types import Array, Boxes, FramePoses, Heatmaps, Image

TALL = 64.0  # pixels: people up to this height count only where everybody was counted
IN_CLIP = {  # clips whose people are known by number, for retrack --people
    "dancers_portrait.mp4": 3, "bedroom.mp4": 2, "chaplin.mp4": 2, "park.mp4": 2, "one_by_one.mp4": 6,
    "climbers_rotated.mp4": 2, "gait_side.mp4": 1,
}  # fmt: skip
STREET_START, STREET_STEP = 0.2, 0.1  # seconds: street.avi has no times of its own, see the clips' README


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", default="person")
    parser.add_argument("--model", default="small")
    parser.add_argument("--box-confidence", type=float, default=Choices().box_confidence)
    parser.add_argument("--clips", help="only these, by name, joined by commas")
    parser.add_argument(
        "--cache", type=Path, help="keep what the networks say in this folder, for the next time"
    )
    parser.add_argument("--moments", action="store_true", help="print each moment that is not right")
    options = parser.parse_args()
    counts = json.loads((options.folder / "counts.json").read_text(encoding="utf-8"))["clips"]
    chosen = options.clips.split(",") if options.clips else list(counts)
    finder = Remembered.of(load_detector(options.detector, "cpu", confidence=options.box_confidence))
    estimator = RememberedEstimator.of(load_estimator(options.model, "cpu"))
    total = np.zeros(4, int)
    print(
        "| clip | people | missed | too many | tracks | retracked | swaps | repaired | s |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name in chosen:
        kept = [Kept(options.cache, name, part) for part in (finder, estimator)]
        start = time.monotonic()
        source = open_source(str(options.folder / name))
        frames = [
            without_picture(f) for f in poses(source, finder, estimator, Choices(options.box_confidence))
        ]
        source.close()
        seconds = time.monotonic() - start
        for part in kept:
            part.save()
        missed, surplus, people = compared(name, frames, counts[name], options.moments)
        tracks = recording_of(frames, estimator, {"width": source.width, "height": source.height})
        after = swaps = repaired = "–"
        if name in IN_CLIP:
            whole, _, _ = retrack(tracks, IN_CLIP[name])
            after, swaps, repaired = len(whole.tracks), swaps_in(tracks), swaps_in(repair_sides(whole)[0])
        print(
            f"| {name} | {people} | {missed} | {surplus} | {len(tracks.tracks)} | {after} | {swaps} | {repaired} | {seconds:.0f} |",
            flush=True,
        )
        total += [people, missed, surplus, len(tracks.tracks)]
    print("| all | {} | {} | {} | {} | | | | |".format(*total))


def without_picture(found: FramePoses) -> FramePoses:
    return replace(found, frame=replace(found.frame, image=np.zeros((0, 0, 3), np.uint8)), heatmaps=())


def compared(
    name: str, frames: list[FramePoses], moments: list[dict[str, float]], tell: bool
) -> tuple[int, int, int]:
    """(missed, too many, people) over the moments at which somebody counted."""
    missed = surplus = people = 0
    times = np.array([float(f.frame.time) for f in frames])
    for moment in moments:
        seconds, wanted = moment["t_seconds"], int(moment.get("all", moment["people"]))
        row = (
            round((seconds - STREET_START) / STREET_STEP)
            if name == "street.avi"
            else int(np.abs(times - seconds).argmin())
        )
        found = frames[min(row, len(frames) - 1)]
        shown = sum("all" in moment or p.box[3] - p.box[1] > TALL for p in found.people)
        less, more = max(0, wanted - shown), max(0, shown - wanted - int(moment["unsure"]))
        if tell and (less or more):
            print(f"  {name} {seconds:.1f} s: {shown} shown of {wanted} (+{moment['unsure']} unsure)")
        missed, surplus, people = missed + less, surplus + more, people + wanted
    return missed, surplus, people


def recording_of(frames: list[FramePoses], estimator: Estimator, source: dict[str, int]) -> Recording:
    bones = estimator.spec.bones
    edges = [[bones.joints.index(a), bones.joints.index(b)] for a, b in bones.bones]
    rows = defaultdict(list)
    for row, found in enumerate(frames):
        for place, person in enumerate(found.people):
            rows[person.track].append((row, place, person))
    tracks = []
    for number, seen in sorted(rows.items()):
        box = np.array([p.box for _, _, p in seen], np.float64)
        box[:, 2:] -= box[:, :2]
        tracks.append(Track(
            number, np.array([r for r, _, _ in seen]), np.array([p.keypoints for _, _, p in seen], np.float64), box,
            np.array([p.score for _, _, p in seen]), tuple(() for _ in seen), np.array([k for _, k, _ in seen]),
        ))  # fmt: skip
    header = {
        "skeleton": {"name": bones.name, "joints": list(bones.joints), "edges": edges},
        "options": {},
        "source": source,
    }
    times = np.array([float(f.frame.time) for f in frames])
    return Recording(
        header,
        np.array([f.frame.index for f in frames]),
        times,
        tuple(f.frame.flags for f in frames),
        tuple(tracks),
    )


def swaps_in(recording: Recording) -> int:
    sizes = [np.maximum(t.boxes[:, 2:].max(axis=1), 1e-6) for t in recording.tracks]
    return sum(
        side_swaps(t.keypoints, s, recording.skeleton) for t, s in zip(recording.tracks, sizes, strict=True)
    )


# ---------------------------------------------------------------- networks that remember what they said


def key_of(image: Image) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image[::8, ::8]).tobytes(), digest_size=12).digest()


@dataclass
class Remembered(Detector):
    """A detector that looks at each picture once."""

    said: dict[bytes, Boxes] = field(default_factory=dict)
    least: float = 0.02

    @staticmethod
    def of(detector: Detector) -> Remembered:
        return Remembered(**{f.name: getattr(detector, f.name) for f in fields(Detector)})

    def find(self, image: Image, confidence: float | None = None) -> Boxes:
        key = key_of(image)
        if key not in self.said:
            self.said[key] = Detector.find(self, image, self.least)
        found = self.said[key]
        return found.take(found.scores >= (self.confidence if confidence is None else confidence))


@dataclass
class RememberedEstimator(Estimator):
    """An estimator that looks at each box of each picture once."""

    said: dict[tuple[bytes, bytes], Array] = field(default_factory=dict)

    @staticmethod
    def of(estimator: Estimator) -> RememberedEstimator:
        return RememberedEstimator(**{f.name: getattr(estimator, f.name) for f in fields(Estimator)})

    def estimate_with_maps(
        self, images, boxes, keep=True, timer=untimed
    ) -> list[tuple[Array, tuple[Heatmaps, ...]]]:  # type: ignore[no-untyped-def]
        keys = []
        for image, of in zip(images, boxes, strict=True):
            key = key_of(image)
            keys.append([(key, np.asarray(box, np.float32).tobytes()) for box in of])
        new = [[n for n, k in enumerate(of) if k not in self.said] for of in keys]
        asked = [np.asarray(bs, np.float32).reshape(-1, 4)[rows] for bs, rows in zip(boxes, new, strict=True)]
        if any(map(len, asked)):
            answers = Estimator.estimate_with_maps(self, images, asked, False, timer)
            for of, rows, (points, _) in zip(keys, new, answers, strict=True):
                self.said |= {of[n]: point for n, point in zip(rows, points, strict=True)}
        joints = len(self.spec.bones.joints)
        return [(np.array([self.said[k] for k in of], np.float32).reshape(-1, joints, 3), ()) for of in keys]


class Kept:
    """What a network said about a clip, in a file of the cache folder."""

    def __init__(self, folder: Path | None, clip: str, part: Remembered | RememberedEstimator) -> None:
        name = f"{part.name}-{part.size}" if isinstance(part, Remembered) else part.spec.architecture
        self.path = None if folder is None else folder / f"{clip}-{type(part).__name__}-{name}.pickle"
        self.part = part
        part.said = {}
        if self.path is not None and self.path.is_file():
            part.said = pickle.loads(self.path.read_bytes())
        self.known = len(part.said)

    def save(self) -> None:
        if self.path is not None and len(self.part.said) > self.known:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(pickle.dumps(self.part.said))


if __name__ == "__main__":
    main()
