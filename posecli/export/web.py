"""A folder for any static web server: a page that runs the network in the browser, on one person."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from posecli.engines.estimator import Estimator
from posecli.engines.exported import export
from posecli.errors import PoseError
from posecli.files import replacing
from posecli.models.checkpoints import ModelSpec

ABOUT = "network.json"
NETWORKS = {"onnx": "network.onnx", "litert": "network.tflite"}  # by runtime
# What npm calls each runtime, and the folder that its files go into.
RUNTIMES = {"onnx": ("onnxruntime-web", "ort"), "litert": ("@litertjs/core", "litert")}


def export_web(estimator: Estimator, folder: Path, runtime: str = "onnx") -> list[Path]:
    """Write the page and the network into `folder`; returns the files. runtime: onnx, or litert.

    The runtime's own files are not among them: they come from npm (docs/export.md). Raises PoseError for networks that
    give no heatmaps, or whose decoder the page does not have.
    """
    page = write_page(estimator.spec, folder, runtime)
    export(estimator, folder / NETWORKS[runtime])
    return [folder / NETWORKS[runtime], *page]


def write_page(spec: ModelSpec, folder: Path, runtime: str) -> list[Path]:
    """The page without its network."""
    if not spec.has_maps or spec.decoder != "dark" or not isinstance(spec.crop_factor, (int, float)):
        raise PoseError("The page runs networks with heatmaps that are decoded by DARK, such as small.")
    if spec.activation not in ("softmax", "none"):
        raise PoseError(f"The page does not support heatmaps of the kind {spec.activation!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "runtime": runtime,
        "size": spec.input_size,
        "mean": spec.mean,
        "std": spec.std,
        "factor": spec.crop_factor,
        "sigma": spec.sigma,
        "offset": spec.offset,
        "softmax": spec.activation == "softmax",
        "calibration": [spec.own_calibration.get(j, spec.calibration) for j in spec.bones.joints],
        "joints": spec.bones.joints,
        "edges": spec.bones.edges,
    }
    written = [folder / ABOUT]
    with replacing(folder / ABOUT) as part:
        part.write_text(json.dumps(about), encoding="utf-8")
    for file in sorted((resources.files("posecli.export") / "site").iterdir(), key=lambda f: f.name):
        with replacing(folder / file.name) as part:
            part.write_bytes(file.read_bytes())
        written.append(folder / file.name)
    return written
