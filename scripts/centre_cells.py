"""Measures on `dev` how far a network's joints lie from their labels on average, and writes the correction into the checkpoint.

    python scripts/centre_cells.py weights/small.safetensors --data people.npz

people.npz: what `posecli train --cache` keeps. A network that learned from a teacher with other cell centres has such a
shift: the same in every crop, and mirrored in mirrored crops. The correction is `ModelSpec.offset` (crop pixels, both
axes), and for the flip test `ModelSpec.flip_shift`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from posecli.data.cache import load_pack
from posecli.engines.load import load_estimator
from posecli.geometry.crops import to_crop
from posecli.geometry.heatmaps import STRIDE, decode
from posecli.models.checkpoints import read_spec, save_checkpoint

NEAR = 12.0  # crop pixels; joints further from their label are mistakes, which tell nothing about a shift


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    store = load_pack(options.data)
    store = store.take(store.people.dev)
    people = store.people
    estimator = load_estimator(str(options.network), "cpu", backend="openvino")
    crops, affines = estimator.crops(store.patches, [people.boxes[i : i + 1] for i in range(len(store))])
    known = estimator.spec.bones.joints
    common = [joint for joint in people.joints if joint in known]
    rows, own = [known.index(j) for j in common], [people.joints.index(j) for j in common]
    labels, labelled = to_crop(people.keypoints, affines)[:, own], people.visible[:, own] > 0

    def gaps(crops: np.ndarray, mirrored: bool) -> np.ndarray:
        """Crop pixels (right, down) by which joints near their labels lie off, on average."""
        size = estimator.batch_size
        maps = np.concatenate(
            [estimator.maps(crops[n : n + size], False) for n in range(0, len(crops), size)]
        )[:, 0]
        if mirrored:
            maps = maps[..., ::-1][:, estimator.spec.bones.flip]
        points, _ = decode(maps, "dark", estimator.spec.sigma)
        off = (points[:, rows] - labels)[labelled]
        return off[np.linalg.norm(off, axis=1) < NEAR].mean(axis=0)

    straight, mirrored = gaps(crops, False), gaps(crops[:, :, ::-1], True)
    print(
        f"joints lie {straight.round(2)} crop pixels (right, down) from their labels, {mirrored.round(2)} in mirrored crops"
    )
    # A shift to the right is one to the left once the crop is mirrored back.
    right, down = (straight[0] - mirrored[0]) / 2, (straight[1] + mirrored[1]) / 2
    offset = -round(float(right + down) / 2, 2)
    spec = replace(read_spec(options.network), offset=offset, flip_shift=round(-2 * offset / STRIDE, 3))
    save_checkpoint(options.network, load_file(options.network), spec)
    print(f"offset {spec.offset}, flip_shift {spec.flip_shift}")


if __name__ == "__main__":
    main()
