"""Which device to compute on.

Devices have the names of torch: cpu, cuda, cuda:1, mps. Importing torch takes seconds, so it is imported only if there
may be a GPU.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from posecli.errors import PoseError

if TYPE_CHECKING:
    import torch


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
            "This process was forked after networks had run, so they do not work here; use spawn instead: "
            "multiprocessing.get_context('spawn')."
        )
    _Process.used = True


def pick_device(name: str = "auto") -> str:
    """auto | cpu | cuda | cuda:N | mps -> a device that is there; raises PoseError for one that is not."""
    if name == "cpu" or (name == "auto" and (not may_have_card() or find_spec("torch") is None)):
        return "cpu"
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise PoseError(f"There is no device {name!r}; choose auto, cpu, cuda, cuda:1 or mps.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise PoseError("There is no CUDA device on this machine (or no driver for it); use --device cpu.")
    if number and int(number) >= torch.cuda.device_count():
        raise PoseError(f"There is no {name}; this machine has {torch.cuda.device_count()} CUDA devices.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise PoseError("There is no MPS device on this machine; use --device cpu.")
    return name


@cache
def may_have_card() -> bool:
    """Whether torch could find a card here: False only where no driver of one is installed."""
    if sys.platform == "darwin":
        return True
    if os.path.exists("/dev/kfd"):  # AMD's, which torch calls cuda, too
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def kind_of(device: str | torch.device) -> str:
    """cpu, cuda or mps."""
    return str(device).partition(":")[0]


def device_name(device: str) -> str:
    """What the maker calls a card; otherwise the device's kind."""
    if kind_of(device) != "cuda":
        return kind_of(device)
    import torch

    return torch.cuda.get_device_name(device)


def half_of(device: str) -> torch.dtype:
    """The 16-bit floats that a device computes with."""
    import torch

    if kind_of(device) == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.float16 if kind_of(device) == "mps" else torch.bfloat16


def synchronise(device: str | torch.device) -> None:
    """Wait until the device has done what it was told; timings mean nothing before."""
    if kind_of(device) == "cpu":
        return
    import torch

    if kind_of(device) == "cuda":
        torch.cuda.synchronize(device)
    else:
        torch.mps.synchronize()
