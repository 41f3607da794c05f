"""posecli info"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import Annotated

import typer

from posecli.cli import options as o

PACKAGES = [
    "torch",
    "torchvision",
    "ultralytics",
    "opencv-python",
    "numpy",
    "av",
    "imageio-ffmpeg",
    "lap",
    "safetensors",
    "scipy",
    "pillow",
    "pillow-heif",
    "openvino",
    "typer",
    "rich",
]


def info(
    sizes: Annotated[
        bool, typer.Option("--sizes", help="Also show how much disk space posecli and its packages take.")
    ] = False,
    json: o.JsonOnStdout = False,
) -> None:
    """Show versions, devices, weights and ffmpeg. Add this to bug reports.

    [bold]Examples[/bold]

      posecli info
      posecli info --json > report.json
      posecli info --sizes
    """
    facts = gather()
    if sizes:
        from posecli.cli.sizes import installed_sizes

        facts["installed"] = installed_sizes()
    if json:
        import json as text

        print(text.dumps(facts, indent=1))
        return
    width = 2 + max(len(name) for values in facts.values() for name in values)
    for group, values in facts.items():
        for row, (name, value) in enumerate(values.items()):
            print(f"{'' if row else group:11}{name:{width}}{value}")  # no table: that would cut paths


def gather() -> dict[str, dict[str, str]]:
    """Collect facts about the installation, by group."""
    import imageio_ffmpeg
    import psutil

    from posecli.engines.devices import may_have_card
    from posecli.files import sha256
    from posecli.models import weights
    from posecli.models.checkpoints import read_spec
    from posecli.silence import threads
    from posecli.version import __version__

    memory = psutil.virtual_memory()
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": str(psutil.cpu_count(logical=False) or psutil.cpu_count()),
        "memory": f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} free",
    }
    devices = {"cpu": f"{threads()} threads"}
    if may_have_card() and find_spec("torch") is not None:
        import torch

        for i in range(torch.cuda.device_count()):
            devices[f"cuda:{i}"] = torch.cuda.get_device_name(i)
        if torch.backends.mps.is_available():
            devices["mps"] = "available"
    files = {}
    shipped = {**weights.shipped_models(), **weights.shipped_detectors()}
    for path in [p for model in weights.shipped_models().values() if (p := weights.int8_of(model))]:
        shipped[path.stem] = path.with_suffix(".bin")
    for name, path in shipped.items():
        about = ""
        if path.suffix == ".safetensors":
            spec = read_spec(path)
            about = f", {spec.architecture} {spec.input_size[0]}x{spec.input_size[1]}, {spec.skeleton}"
        files[name] = f"{path.stat().st_size / 1e6:.1f} MB{about}, sha256 {sha256(path)}"
    return {
        "posecli": {"version": __version__, "weights": str(weights.weights_folder())},
        "machine": machine,
        "devices": devices,
        "packages": {name: _version(name) for name in PACKAGES},
        "ffmpeg": {"version": imageio_ffmpeg.get_ffmpeg_version(), "path": imageio_ffmpeg.get_ffmpeg_exe()},
        "weights": files,
    }


def _version(package: str) -> str:
    from importlib import metadata

    for name in (package, f"{package}-headless"):  # opencv-python comes in two forms
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"
