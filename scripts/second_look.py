"""Prints the PCK on `dev` without and with a second look at people whose torso leans (`ModelSpec.second_look`).

    python scripts/second_look.py weights/small.safetensors --data people.npz

people.npz: what `posecli train --cache` keeps. `scripts/calibrate.py` writes the better of the two into the checkpoint. --input-size
and --crop-factor try other crops than those that the network was trained with.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from posecli.data.cache import load_pack
from posecli.engines.load import load_estimator
from posecli.metrics import pck
from posecli.models.checkpoints import read_spec


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--input-size", help="height x width, such as 256x256")
    parser.add_argument("--crop-factor", type=float)
    options = parser.parse_args()
    store = load_pack(options.data)
    store = store.take(store.people.dev)
    people = store.people
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    count = pck.counted(labelled, sizes)
    sources = np.array(people.sources)
    spec = read_spec(options.network)
    if options.input_size:
        height, width = map(int, options.input_size.split("x"))
        spec = replace(spec, input_size=(height, width))
    spec = replace(spec, crop_factor=options.crop_factor or spec.crop_factor)
    for flip_test in (False, True):
        # OpenVINO's network takes one size only.
        backend = "torch" if options.input_size else "openvino"
        estimator = load_estimator(str(options.network), "cpu", backend=backend, flip_test=flip_test)
        rows = [estimator.spec.bones.joints.index(joint) for joint in people.joints]
        for again in (False, True):
            looking = replace(estimator, spec=replace(spec, second_look=again))
            boxes = [people.boxes[i : i + 1] for i in range(len(store))]
            points = np.concatenate(looking.estimate(store.patches, boxes))[:, rows]
            right = pck.within(pck.distances(points, people.keypoints), sizes, 0.2)
            everybody = pck.pooled(right, count) or 0.0
            each = {s: pck.pooled(right[sources == s], count[sources == s]) or 0.0 for s in set(sources)}
            told = ", ".join(f"{name} {score:.4f}" for name, score in sorted(each.items()))
            print(f"flip test {flip_test!s:5}  second look {again!s:5}  {told}, all {everybody:.4f}")


if __name__ == "__main__":
    main()
