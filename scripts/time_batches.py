"""Milliseconds a crop in OpenVINO, of a network that takes batches of any size, and of fixed batches, stored as
the shipped ones are.

    python scripts/time_batches.py weights/small.safetensors

docs/lab/2026-11-speed.md has the table. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from posecli.engines.conversion import converted
from posecli.models.checkpoints import load_model
from posecli.silence import import_openvino, threads

BATCHES = (1, 4, 8, 16)
CALLS = 25


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", type=Path)
    network, spec = load_model(parser.parse_args().network)
    core = import_openvino().Core()
    precisions = [
        "f32",
        *(["bf16"] if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else []),
    ]
    print("| batch | " + " | ".join(f"{p}, any size | {p}, fixed" for p in precisions) + " |")
    print("|---" * (1 + 2 * len(precisions)) + "|")
    for rows in BATCHES:
        crops = np.random.default_rng(0).normal(size=(rows, 3, *spec.input_size)).astype(np.float32)
        models = {
            fixed: as_shipped(converted(network, crops[:1].repeat(2, axis=0), fixed))
            for fixed in (None, rows)
        }
        cells = []
        for precision in precisions:
            options = {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads(),
            }
            for fixed in (None, rows):
                cells.append(milliseconds(core.compile_model(models[fixed], "CPU", options), crops) / rows)
        print(f"| {rows} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)


def as_shipped(model: object) -> object:
    """The model, saved with weights in half precision and read again."""
    openvino = import_openvino()
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        path = Path(folder) / "network.xml"
        openvino.save_model(model, path, compress_to_fp16=True)
        # As bytes, so that nothing is read from the folder once it is gone.
        return openvino.Core().read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())


def milliseconds(compiled: object, crops: np.ndarray) -> float:
    """The median of some calls."""
    request = compiled.create_infer_request()  # type: ignore[attr-defined]
    taken = []
    for _ in range(CALLS + 3):
        start = time.perf_counter()
        request.infer([crops])
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken[3:]))


if __name__ == "__main__":
    main()
