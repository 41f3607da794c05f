"""Writes a network with the mean of its own stem and another network's, or of all weights: both began from the same weights.

    python scripts/mix_stems.py trained.safetensors weights/small.safetensors mixed.safetensors --share 0.5
    python scripts/mix_stems.py trained.safetensors weights/small.safetensors mixed.safetensors --share 0.33 --whole

docs/lab/2026-11-keypoints.md says what it brought. Joints that the other network does not know keep their own maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from posecli.models.checkpoints import load_tensors, read_spec, save_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    parser.add_argument("other", type=Path, help="its stem is mixed in")
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the other network")
    parser.add_argument("--whole", action="store_true", help="mix all weights, not only the stem")
    options = parser.parse_args()
    spec, tensors = read_spec(options.network), load_tensors(options.network)
    others, theirs = read_spec(options.other).bones.joints, load_tensors(options.other)
    for name, tensor in tensors.items():
        if not (options.whole or name.startswith("stem.")):
            continue
        other = theirs[name]
        if name.startswith("stem.score"):  # a row a joint
            other = tensor.clone()
            for k, joint in enumerate(spec.bones.joints):
                if joint in others:
                    other[k] = theirs[name][others.index(joint)]
        tensors[name] = torch.lerp(tensor, other, options.share)
    save_checkpoint(options.out, tensors, spec)


if __name__ == "__main__":
    main()
