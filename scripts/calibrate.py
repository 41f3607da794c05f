"""Calibrates the confidence of a network on `dev`, and chooses whether it takes a second look, as `posecli train` does at its end.

    python scripts/calibrate.py weights/small.safetensors --data people.npz --share coco=0.7 --share lspet=0.3

people.npz: what `posecli train --cache` keeps. --share: how much the joints of a source count together. The printed errors are
of people that the curve was not fitted on: it is fitted on four fifths of the people and tried on the last. Curves of
single joints (heels and toes, `calibrate_feet.py`) stay.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from posecli.data.cache import load_pack
from posecli.data.people import not_in_picture
from posecli.engines.load import load_estimator
from posecli.metrics import pck
from posecli.metrics.calibration import fit_calibration, reliability
from posecli.training.calibrate import calibrate, joint_weights

FOLDS = 5
AS_IT_IS = ((0.0, 1e6), (0.0, 1e6))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", action="append", metavar="SOURCE=SHARE", default=[])
    options = parser.parse_args()
    shares = {source: float(share) for source, _, share in (text.partition("=") for text in options.share)}
    store = load_pack(options.data)
    dev = store.take(store.people.dev)
    people = dev.people
    boxes = [people.boxes[i : i + 1] for i in range(len(people))]
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    known, sources = count | not_in_picture(people), np.array(people.sources)
    weights = np.ones(known.shape)
    if shares:
        weights[known] = joint_weights(known, sources, shares)
    fold = np.random.default_rng(0).integers(0, FOLDS, len(known))
    fitted: list[np.ndarray] = []
    for flip_test in (False, True):
        estimator = load_estimator(str(options.network), "cpu", backend="openvino", flip_test=flip_test)
        estimator.spec = replace(estimator.spec, calibration=AS_IT_IS, own_calibration={})
        rows = [estimator.spec.bones.joints.index(joint) for joint in people.joints]
        found = np.concatenate(estimator.estimate(dev.patches, boxes))[:, rows]
        right = pck.within(pck.distances(found, people.keypoints), sizes, 0.2) & count
        peaks = found[..., 2].astype(np.float64)
        fitted = fitted or [peaks, right]  # as `calibrate` does: without flip test
        stated = np.zeros_like(peaks)
        for k in range(FOLDS):
            learned, tried = known & (fold != k)[:, None], fold == k
            curve = fit_calibration(fitted[0][learned], fitted[1][learned], weights=weights[learned])
            stated[tried] = np.interp(peaks[tried], *curve)
        for source in sorted(set(sources)):
            own = known & (sources == source)[:, None]
            table = reliability(stated[own], right[own])
            assert table is not None
            print(f"flip test {flip_test!s:5}  {source}: calibration error {table.ece:.3f}")
    calibrate(options.network, store, torch.device("cpu"), shares or None)


if __name__ == "__main__":
    main()
