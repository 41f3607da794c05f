"""Calibrates the confidence of heels and big toes on the 200 feet that were placed by eye (tests/data/feet.json).

    python scripts/calibrate_feet.py people/ videos/ weights/small.safetensors

A point is right within 0.2 torso of the placed one, as for the other joints. Heels get one curve and toes another, of few points,
as there are few feet. They are written into the file. The printed error "after" is of feet that the curve was not fitted on: it
is fitted on half of the pictures and tried on the other half.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from score_feet import PARTS, Foot, pictures, read_feet

from posecli.engines.load import load_estimator
from posecli.metrics.calibration import fit_calibration, reliability
from posecli.models.checkpoints import Curve, load_tensors, read_spec, save_checkpoint

POINTS = 6  # of a curve
AS_IT_IS: Curve = ((0.0, 1e6), (0.0, 1e6))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="folder with val.json and images/")
    parser.add_argument("videos", type=Path, help="folder with the clips")
    parser.add_argument("model", type=Path, help="the file that gets the curve")
    options = parser.parse_args()
    feet = read_feet(options.people / "val.json")
    spec = read_spec(options.model)
    curves = {}
    answered = answers(feet, options.people, options.videos, str(options.model))
    for number, part in enumerate(PARTS):
        peaks, right, group = (column[number :: len(PARTS)] for column in answered)
        now = spec.own_calibration.get(f"left_{part}", spec.calibration)
        for when, stated in (("before", np.interp(peaks, *now)), ("after", crossed(peaks, right, group))):
            found = reliability(stated, right, 5)
            assert found is not None
            print(
                f"{part}, {when}: stated {stated.mean():.3f}, right {right.mean():.3f}, calibration error {found.ece:.3f}"
            )
        curves |= dict.fromkeys([f"left_{part}", f"right_{part}"], fit_calibration(peaks, right, POINTS))
    save_checkpoint(options.model, load_tensors(options.model), replace(spec, own_calibration=curves))


def answers(
    feet: list[Foot], people: Path, videos: Path, model: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) peaks of the points, whether each is right, and which half its picture belongs to."""
    estimator = load_estimator(model, "cpu")
    joints = estimator.spec.bones.joints
    estimator.spec = replace(estimator.spec, calibration=AS_IT_IS, own_calibration={})
    rows = []
    for number, (picture, image) in enumerate(pictures(feet, people, videos)):
        pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        for foot in (f for f in feet if f.picture == picture):
            found = estimator.estimate([pixels], [foot.box[None].astype(np.float32)])[0][0]
            for part in PARTS:
                x, y, peak = found[joints.index(f"{foot.side}_{part}")]
                away = np.hypot(*(foot.points[part] - (x, y)))
                rows.append((peak, away <= 0.2 * foot.torso, number % 2))
    peaks, right, group = (np.array(column) for column in zip(*rows, strict=True))
    return peaks.astype(np.float64), right.astype(bool), group


def crossed(peaks: np.ndarray, right: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) confidences by curves that were fitted on the other half."""
    stated = np.empty_like(peaks)
    for half in (0, 1):
        curve = fit_calibration(peaks[group != half], right[group != half], POINTS)
        stated[group == half] = np.interp(peaks[group == half], *curve)
    return stated


if __name__ == "__main__":
    main()
