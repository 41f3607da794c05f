"""How fast hourglasses of several sizes behind a Lite-HRNet train and run: the table in docs/lab/2026-11-keypoints.md.

python scripts/stem_sizes.py
"""

from __future__ import annotations

import time

import torch
from torch import nn

from posecli.models.hourglass import StackedHourglass
from posecli.models.lite_hrnet import LiteHRNet

BATCH, TOGETHER, ROUNDS = 16, 4, 4  # crops of a training step, crops of a run, how often


def main() -> None:
    joints = 19
    networks: list[tuple[str, nn.Module, tuple[int, int]]] = [
        ("Lite-HRNet alone", LiteHRNet(joints, norm=False), (256, 192)),
        *(
            (
                f"stem + {stacks} stacks of {features}",
                StackedHourglass(stacks, features, joints, "lite_hrnet"),
                (256, 192),
            )
            for stacks, features in ((2, 64), (2, 96), (2, 128), (1, 128))
        ),
        (
            "stem + 2 stacks of 128, 320x256",
            StackedHourglass(2, 128, joints, "lite_hrnet"),
            (320, 256),
        ),
        ("2 stacks of 128, 192 px", StackedHourglass(2, 128, joints), (192, 192)),
    ]
    print("| network | crops/s in training | ms a crop |\n|---|---|---|")
    for name, network, size in networks:
        trained, ran = speeds(network.to(memory_format=torch.channels_last), size)
        print(f"| {name} | {trained:.1f} | {ran:.0f} |", flush=True)


def speeds(network: nn.Module, size: tuple[int, int]) -> tuple[float, float]:
    """(crops a second forward and backward, milliseconds a crop forward), the best of some rounds."""
    crops = torch.rand(BATCH, 3, *size).contiguous(memory_format=torch.channels_last)
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        network.train()(crops).square().mean().backward()
        took.append(time.perf_counter() - start)
    ran = []
    with torch.inference_mode():
        for _ in range(ROUNDS + 2):
            start = time.perf_counter()
            network.eval()(crops[:TOGETHER])
            ran.append(time.perf_counter() - start)
    return BATCH / min(took), 1000 * min(ran) / TOGETHER


if __name__ == "__main__":
    main()
