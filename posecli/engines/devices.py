"""Which device to compute on."""

from __future__ import annotations

import os

import torch

from posecli.errors import PoseError


class _Process:
    used = False  # whether a network has run in this process
    forked = False  # whether it is the child of a process where that was so


def _note_fork() -> None:
    _Process.forked = _Process.used


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)


def refuse_fork() -> None:
    """Raise PoseError in the child of a process that has run networks: their threads do not live on in it, and it would
    wait for them for ever."""
    if _Process.forked:
        raise PoseError(
            "This process was forked from one that has run networks, whose threads are gone; start it by spawn: "
            "multiprocessing.get_context('spawn')."
        )
    _Process.used = True


def pick_device(name: str = "auto") -> torch.device:
    """auto | cpu | cuda | cuda:N | mps -> a device that is there; raises PoseError for one that is not."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise PoseError(f"There is no device {name!r}; choose auto, cpu, cuda, cuda:1 or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise PoseError("There is no CUDA device on this machine (or no driver for it); use --device cpu.")
    if number and int(number) >= torch.cuda.device_count():
        raise PoseError(f"There is no {name}; this machine has {torch.cuda.device_count()} CUDA devices.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise PoseError("There is no MPS device on this machine; use --device cpu.")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What the maker calls a card; otherwise the device's kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def half_of(device: torch.device) -> torch.dtype:
    """The 16-bit floats that a device computes with."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.float16 if device.type == "mps" else torch.bfloat16


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told; timings mean nothing before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
