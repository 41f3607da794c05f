"""How much of a device's power a torch network uses, and which layers wait for memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from posecli.engines.devices import synchronise
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError

SIDES = {"cuda": 8192, "mps": 4096}  # of the matrices whose product shows the peak
CPU_SIDE = 1536
SECONDS = 1.0  # of measuring, each
TRIES = 5  # of a peak


@dataclass(frozen=True)
class Layer:
    """All layers of one kind and shape."""

    kind: str  # with the shape of what it gives, batch left out
    count: int
    gflop: float  # of the batch, all of them
    megabytes: float  # read and written at least once: inputs, weights, outputs

    @property
    def intensity(self) -> float:
        """FLOP a byte: below the device's ratio of the two it waits for memory."""
        return 1000 * self.gflop / max(self.megabytes, 1e-9)


@dataclass(frozen=True)
class Roofline:
    batch: int
    precision: str
    peak: float  # TFLOP/s, measured on a product of matrices
    bandwidth: float  # GB/s, measured on a copy
    reached: dict[int, float]  # by batch size: TFLOP/s of the network
    compiled: dict[int, float]  # the same after torch.compile; empty where it was not asked for
    layers: list[Layer]  # the heaviest first


def measure_roofline(estimator: Estimator, sizes: list[int], compiled: bool = False) -> Roofline:
    """The network by itself on its device, in its precision; raises PoseError for one that torch does not run.

    compiled: also after torch.compile, with CUDA graphs on a card. It takes most of a minute for each size, so
    that no engine of `run` does it; here one sees what it would bring.
    """
    network, device = estimator.network, torch.device(estimator.device)
    if not isinstance(network, nn.Module):
        raise PoseError("--roofline needs torch: add --backend torch or torch-half.")
    precision = estimator.precision or torch.float32
    reached, faster = {}, {}
    for size in sizes:
        batch = torch.rand(size, 3, *estimator.spec.input_size, device=device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        tflop = sum(layer.gflop for layer in layers_of(network, batch)) / 1e3
        with (
            torch.inference_mode(),
            torch.autocast(device.type, precision, enabled=bool(estimator.precision)),
        ):
            reached[size] = tflop / _seconds(partial(network, batch), device)
            if compiled:
                graph = torch.compile(network, mode="reduce-overhead" if device.type == "cuda" else None)
                faster[size] = tflop / _seconds(partial(graph, batch), device)
    largest = torch.rand(max(sizes), 3, *estimator.spec.input_size, device=device)
    name = str(precision).removeprefix("torch.")
    return Roofline(
        max(sizes), name, matrix_peak(device, precision), copy_bandwidth(device), reached, faster,
        layers_of(network, largest, precision.itemsize),
    )  # fmt: skip


@torch.inference_mode()
def layers_of(network: nn.Module, batch: Tensor, itemsize: int = 4) -> list[Layer]:
    """What each kind of layer computes and moves for a batch, the heaviest first. Layers that only move are in it."""
    found: dict[str, tuple[int, float, float]] = {}

    def note(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        if not isinstance(made, Tensor) or not given:
            return
        weights = sum(p.numel() for p in module.parameters())
        flop = 0.0
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            per = module.weight[0].numel()  # multiply-adds of one value that a convolution makes
            values = made.numel() if isinstance(module, nn.Conv2d) else given[0].numel()
            flop = 2.0 * per * values
        elif isinstance(module, nn.Linear):
            flop = 2.0 * module.in_features * made.numel()
        moved = (given[0].numel() + made.numel() + weights) * itemsize
        key = f"{type(module).__name__} {'x'.join(map(str, made.shape[1:]))}"
        count, before, bytes_before = found.get(key, (0, 0.0, 0.0))
        found[key] = (count + 1, before + flop, bytes_before + moved)

    hooks = [m.register_forward_hook(note) for m in network.modules() if not list(m.children())]
    try:
        network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    layers = [Layer(key, count, flop / 1e9, moved / 1e6) for key, (count, flop, moved) in found.items()]
    return sorted(layers, key=lambda layer: -layer.gflop)


@torch.inference_mode()
def matrix_peak(device: torch.device, precision: torch.dtype) -> float:
    """TFLOP/s of a product of two large matrices."""
    side = SIDES.get(device.type, CPU_SIDE)
    a = torch.rand(side, side, device=device).to(precision)
    return 2 * side**3 / _least(lambda: a @ a, device) / 1e12


@torch.inference_mode()
def copy_bandwidth(device: torch.device) -> float:
    """GB/s, read and written, of copying what no cache holds."""
    a = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device)
    b = torch.empty_like(a)
    return 2 * a.numel() * a.itemsize / _least(lambda: b.copy_(a), device) / 1e9


def _least(work: Callable[[], object], device: torch.device) -> float:
    """The least of some measurements: what else a machine does in between is not its peak."""
    return min(_seconds(work, device) for _ in range(TRIES))


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call, warm, over as many as SECONDS hold."""
    for _ in range(3):
        work()
    synchronise(device)
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < SECONDS:
        work()
        calls += 1
        if calls % 10 == 0:
            synchronise(device)  # a card runs behind: without it thousands would wait in line
    synchronise(device)
    return (time.perf_counter() - start) / calls
