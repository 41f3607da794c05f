"""Writes a Lite-HRNet whose batch-norms were folded into numbered convolutions (Conv_0_w, Conv_0_b, …) as a checkpoint
to begin from, to score and to compare with.

    python scripts/begin_lite_hrnet.py lite_hrnet_coco_aic.safetensors lite_hrnet.safetensors
    posecli eval --model lite_hrnet.safetensors --data coco:people/val.json
"""

import sys
from pathlib import Path

from safetensors.torch import load_file

from posecli.geometry.heatmaps import CELL_CENTRE, STRIDE
from posecli.models.checkpoints import ModelSpec, save_checkpoint
from posecli.models.lite_hrnet import from_folded

SKELETONS = {17: "coco17", 19: "body19"}  # by the number of maps


def main(folded: Path, out: Path) -> None:
    tensors = from_folded(load_file(folded))
    keypoints = len(tensors["score.bias"])
    spec = ModelSpec(
        architecture="lite_hrnet",
        arguments={"keypoints": keypoints, "norm": False},
        skeleton=SKELETONS[keypoints],
        input_size=(256, 192),
        crop_factor=1.25,
        activation="none",
        sigma=2.0,
        offset=-CELL_CENTRE,  # it was trained with cells that begin where ours have their centre
        flip_shift=2 * CELL_CENTRE / STRIDE,
        licence="Apache-2.0",
    )
    save_checkpoint(out, tensors, spec)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
