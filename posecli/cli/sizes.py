"""The disk space of an installation, split by parts that could be left out."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path


def installed_sizes() -> dict[str, str]:
    """Disk space of posecli and its dependencies: part -> gigabytes as text."""
    whole = _needed("posecli")
    lean = _needed("posecli", without=("ultralytics", "torchvision"))
    cuda = {n for n in whole if n == "triton" or n.startswith(("nvidia-", "cuda-"))}
    of_torch = sum(p.stat().st_size for p in _files("torch") if re.search("cuda|nccl|nvshmem", p.name))
    parts = {
        "all": sum(whole.values()),
        "CUDA's part of it": sum(whole[n] for n in cuda) + of_torch,
        "what only the detector's package needs": sum(whole.values()) - sum(lean.values()),
    }
    return {name: f"{size / 1e9:.2f} GB" for name, size in parts.items()}


def _needed(package: str, without: tuple[str, ...] = ()) -> dict[str, int]:
    """Disk space of a package and its dependencies without extras: package -> bytes."""
    from packaging.requirements import Requirement

    found: dict[str, int] = {}
    waiting = [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or name in without:
            continue
        if name == "opencv-python" and not _files(name):
            name = "opencv-python-headless"  # the same without windows
        found[name] = sum(p.stat().st_size for p in _files(name))
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        wanted = [Requirement(r) for r in needs]
        waiting += [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def _files(package: str) -> list[Path]:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return []
    return [p for f in files if (p := Path(str(f.locate()))).is_file()]
