"""Tensors under the key names and in the shapes of published checkpoints."""

import torch
from torch import Tensor


def norm(name: str, channels: int) -> dict[str, Tensor]:
    return {
        f"{name}.weight": torch.rand(channels) + 0.5,
        f"{name}.bias": torch.randn(channels) * 0.1,
        f"{name}.running_mean": torch.randn(channels) * 0.1,
        f"{name}.running_var": torch.rand(channels) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def conv(name: str, inputs: int, outputs: int, size: int = 1) -> dict[str, Tensor]:
    scale = 0.5 / (inputs * size * size) ** 0.5
    return {
        f"{name}.weight": torch.randn(outputs, inputs, size, size) * scale,
        f"{name}.bias": torch.randn(outputs) * 0.01,
    }


def princeton_residual(name: str, i: int, o: int) -> dict[str, Tensor]:
    return {
        **conv(f"{name}.skip_layer.conv", i, o),
        **norm(f"{name}.bn1", i), **conv(f"{name}.conv1.conv", i, o // 2),
        **norm(f"{name}.bn2", o // 2), **conv(f"{name}.conv2.conv", o // 2, o // 2, 3),
        **norm(f"{name}.bn3", o // 2), **conv(f"{name}.conv3.conv", o // 2, o),
    }  # fmt: skip


def princeton_file(stacks: int, f: int = 256, k: int = 16) -> dict[str, Tensor]:
    tensors = {**conv("pre.0.conv", 3, 64, 7), **norm("pre.0.bn", 64)}
    for n, (i, o) in {1: (64, 128), 3: (128, 128), 4: (128, f)}.items():
        tensors |= princeton_residual(f"pre.{n}", i, o)
    for s in range(stacks):
        inner = f"hgs.{s}.0"
        for _ in range(4):
            for part in ("up1", "low1", "low3"):
                tensors |= princeton_residual(f"{inner}.{part}", f, f)
            inner += ".low2"
        tensors |= princeton_residual(inner, f, f)
        tensors |= princeton_residual(f"features.{s}.0", f, f)
        tensors |= {**conv(f"features.{s}.1.conv", f, f), **norm(f"features.{s}.1.bn", f)}
        tensors |= conv(f"outs.{s}.conv", f, k)
        if s < stacks - 1:
            tensors |= {
                **conv(f"merge_features.{s}.conv.conv", f, f),
                **conv(f"merge_preds.{s}.conv.conv", k, f),
            }
    return tensors
