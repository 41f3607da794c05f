"""Milliseconds a crop of a Lite-HRNet hourglass in OpenVINO, as it was trained and with its channels in place.

    python scripts/time_unshuffled.py weights/small.safetensors

Leave the machine alone meanwhile. The kinds of layers are OpenVINO's: a Reorder lays the numbers out anew.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from posecli.models.checkpoints import load_model
from posecli.models.unshuffled import unshuffled
from posecli.silence import import_openvino, threads

BATCH, ROUNDS = 4, 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    network, spec = load_model(parser.parse_args().model)
    crops = np.random.default_rng(0).normal(size=(BATCH, 3, *spec.input_size)).astype(np.float32)
    openvino = import_openvino()
    from openvino.tools.ovc import convert_model

    answers = []
    for name, version in (("shuffled", network), ("in place", unshuffled(network))):
        with torch.inference_mode():
            model = convert_model(version.eval(), example_input=torch.from_numpy(crops))
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads(), "PERF_COUNT": True}
        request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
        whole, layers = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            answer = request.infer([crops])[0].copy()
            whole.append((time.perf_counter() - start) * 1000 / BATCH)
            kinds: Counter[str] = Counter()
            for layer in request.profiling_info:
                kinds[layer.node_type] += layer.real_time.total_seconds() * 1000 / BATCH
            layers.append(kinds)
        answers.append(answer)
        best = layers[int(np.argmin(whole))]
        told = ", ".join(f"{kind} {spent:.1f}" for kind, spent in best.most_common(6))
        print(f"{name}: least {min(whole):.1f} ms, median {np.median(whole):.1f} ms; {told}")
    print(f"the answers differ by {np.abs(answers[0] - answers[1]).max():.1g}")


if __name__ == "__main__":
    main()
