"""What a GPU makes of the shipped networks and of the paper's: whether the joints are those of the CPU, the share of
the card's measured peak that the network reaches by itself, and whole runs.

    python scripts/check_gpu.py --clip clip.mp4 --compile
    python scripts/check_gpu.py --network paper --sizes 64

The tables that it prints stand in docs/speed.md. The photo is the one that `doctor` looks at. `paper`: 8 stacks of 256.
--clip: also runs with `small`, from the file to the finished video, of clips of other sizes and lengths, and with 1, 4, 9 and
16 copies of the picture in one. They need ffmpeg 5.1 or newer.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from posecli.bench.growth import measure_growth
from posecli.bench.roofline import layers_of, measure_roofline
from posecli.engines.check import PEOPLE, picture
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_detector, load_estimator
from posecli.models.checkpoints import ModelSpec
from posecli.models.hourglass import StackedHourglass

NETWORKS = ("small", "base", "paper")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compile", action="store_true", help="after torch.compile, too")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="default: all three")
    parser.add_argument("--clip", type=Path, help="whole runs of this clip, too")
    parser.add_argument("--sizes", default="1,16,64,256", help="crops at a time")
    options = parser.parse_args()
    chosen, sizes = options.network or NETWORKS, [int(n) for n in options.sizes.split(",")]
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for name in chosen:
        if name != "paper":
            compare(name, device)
    print(
        "| network | " + " | ".join(f"crops/s, {n} at a time" for n in sizes) + " | TFLOP/s | of the peak |"
    )
    print("|---" * (len(sizes) + 3) + "|", flush=True)
    for name in chosen:
        half = replace(estimator_of(name, device), precision=torch.bfloat16)
        found = measure_roofline(half, sizes, options.compile)
        speeds = [found.reached[n] * 1e3 / gflop(half) for n in sizes]
        best = max([*found.reached.values(), *found.compiled.values()])
        print(
            f"| {name} | {' | '.join(f'{s:.0f}' for s in speeds)} | {best:.1f} | {100 * best / found.peak:.1f} % |"
        )
        print(
            f"peak {found.peak:.0f} TFLOP/s, {found.bandwidth:.0f} GB/s; {found.reached}; {found.compiled}",
            flush=True,
        )
    if options.clip:
        whole_runs(options.clip, device)


def whole_runs(clip: Path, device: torch.device) -> None:
    """Print how the time of a frame grows with the people, the width of the picture and the length."""
    found = measure_growth(clip, load_detector(device=device), load_estimator("small", device))
    for kind, points in found.items():
        told = ", ".join(f"{p.at:.0f}: {p.milliseconds:.1f} ms a frame" for p in points)
        print(f"whole runs, by {kind}: {told}", flush=True)


def estimator_of(name: str, device: torch.device) -> Estimator:
    if name != "paper":
        return load_estimator(name, device, backend="torch")
    spec = ModelSpec("hourglass", {"stacks": 8, "features": 256, "keypoints": 16}, "mpii16")
    return Estimator(StackedHourglass().eval().to(device), spec, device)


def gflop(estimator: Estimator) -> float:
    """Of one crop."""
    crop = torch.rand(1, 3, *estimator.spec.input_size, device=estimator.device)
    return sum(layer.gflop for layer in layers_of(estimator.network, crop))


def compare(name: str, device: torch.device) -> None:
    """Print how far the joints on the GPU lie from those on the CPU, in shares of the box's height."""
    image = picture()
    reference = load_estimator(name, "cpu", backend="torch").estimate([image], [PEOPLE])[0]
    there = load_estimator(name, device, backend="torch")
    height = (PEOPLE[:, 3] - PEOPLE[:, 1])[:, None]
    sure = reference[..., 2] >= 0.5
    for precision in (None, torch.float16, torch.bfloat16):
        joints = replace(there, precision=precision).estimate([image], [PEOPLE])[0]
        away = np.linalg.norm(joints[..., :2] - reference[..., :2], axis=2) / height
        print(
            f"{name}, {precision or torch.float32}: the farthest sure joint lies {away[sure].max():.4f} away"
        )


if __name__ == "__main__":
    main()
