"""How often both ankles, or both knees, lie on one place in clips: mostly a leg that was taken for the other.

    python scripts/legs_on_one_place.py videos/ --model small --model weights/before.safetensors

For each clip and model the share of people-frames (boxes over 100 px high) whose ankles lie within 0.12 torso of each
other, though both are said with 0.4 or more. True coincidences, such as a leg behind the other seen from the side, are
counted too: compare models, and look at the frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from posecli.engines.load import load_detector, load_estimator
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.sources.open import open_source, videos_in
from posecli.types import FramePoses

TALL = 100.0  # pixels
NEAR = 0.12  # of the torso: the longer of shoulder to hip, crosswise
SURE = 0.4
PAIRS = ("ankle", "knee")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--clips", help="only these, by name, joined by commas")
    options = parser.parse_args()
    clips = videos_in(options.folder)
    if options.clips:
        clips = [options.folder / name for name in options.clips.split(",")]
    detector = load_detector(None, "cpu")
    estimators = {Path(m).stem: load_estimator(m, "cpu") for m in options.model}
    columns = [f"{name}, {pair}s" for name in estimators for pair in PAIRS]
    print(f"| clip | people-frames | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    sums = np.zeros((len(estimators), len(PAIRS) + 1))
    for clip in clips:
        cells, counts = [], []
        for n, estimator in enumerate(estimators.values()):
            source = open_source(str(clip))
            found = on_one_place(poses(source, detector, estimator, Choices()), estimator.spec.bones.joints)
            source.close()
            sums[n] += found
            counts.append(found[0])
            cells += [f"{100 * v / max(found[0], 1):.0f} %" for v in found[1:]]
        print(f"| {clip.name} | {', '.join(f'{c:.0f}' for c in counts)} | {' | '.join(cells)} |", flush=True)
    cells = [f"{100 * v / max(row[0], 1):.1f} %" for row in sums for v in row[1:]]
    print(f"| all | {', '.join(f'{row[0]:.0f}' for row in sums)} | {' | '.join(cells)} |")


def on_one_place(frames: object, joints: tuple[str, ...]) -> np.ndarray:
    """(3,) people-frames, those with both ankles on one place, those with both knees."""
    counts = np.zeros(len(PAIRS) + 1)
    place = {name: joints.index(name) for name in joints}
    for frame in frames:  # type: ignore[attr-defined]
        assert isinstance(frame, FramePoses)
        for person in frame.people:
            points = person.keypoints
            if person.box[3] - person.box[1] < TALL:
                continue
            counts[0] += 1
            torso = max(
                np.linalg.norm(points[place[f"{a}_shoulder"], :2] - points[place[f"{b}_hip"], :2])
                for a, b in (("left", "right"), ("right", "left"))
            )
            for n, pair in enumerate(PAIRS, 1):
                left, right = points[place[f"left_{pair}"]], points[place[f"right_{pair}"]]
                sure = min(left[2], right[2]) >= SURE
                counts[n] += sure and np.linalg.norm(left[:2] - right[:2]) <= NEAR * torso
    return counts


if __name__ == "__main__":
    main()
