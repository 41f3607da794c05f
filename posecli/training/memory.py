"""Checks before a training whether a step fits into memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from posecli.errors import PoseError
from posecli.training.config import Size, TrainConfig

PROBE = 2  # crops; with only one, batch norm fails on feature maps of a single cell
SPARE = 0.85  # maximum share of the free memory to use


def check_memory(
    network: nn.Module,
    config: TrainConfig,
    device: torch.device,
    precision: torch.dtype | None,
    world: int = 1,
) -> None:
    """Raise PoseError, with a batch size that fits, if a step at the largest crop size does not fit into memory."""
    free = free_memory(device)
    if free is None:
        return
    each = crop_memory(network, max((size for size, _ in config.sizes), key=math.prod), device, precision)
    # Four more copies of the weights: gradients, the two moments of the optimizer, and the averaged weights.
    fixed = 4 * sum(p.numel() * p.element_size() for p in network.parameters())
    needed = fixed + each * -(-config.batch // world)
    if needed > SPARE * free:
        fits = int((SPARE * free - fixed) / each) * world
        advice = f"--batch {fits} would fit" if fits >= 2 else "choose smaller crops or a smaller network"
        raise PoseError(
            f"A batch of {config.batch} crops needs about {needed / 2**30:.1f} GiB of memory and "
            f"{free / 2**30:.1f} GiB are free; {advice}."
        )


def crop_memory(network: nn.Module, size: Size, device: torch.device, precision: torch.dtype | None) -> float:
    """Bytes per crop in a training step: tensors for the backward pass, and twice the largest one for gradients."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    pixels = torch.zeros(PROBE, 3, *size, device=device)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda t: t),
        torch.autocast(device.type, precision or torch.bfloat16, enabled=precision is not None),
    ):
        maps = network(pixels.contiguous(memory_format=torch.channels_last))
        del maps
    with torch.no_grad():  # restore the running statistics from before the probe
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    kept = [size for where, size in storages.items() if where not in weights]
    return (sum(kept) + 2 * max(kept, default=0)) / PROBE


def free_memory(device: torch.device) -> float | None:
    """Free memory of the device in bytes. None if it is unknown."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        import psutil

        return float(psutil.virtual_memory().available)
    return None
