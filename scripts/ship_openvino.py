"""Writes the shipped networks converted for OpenVINO, with PyTorch's answers on the picture of `posecli doctor`.

    python scripts/ship_openvino.py weights/small.safetensors weights/person.pt

Run it after each change of the weights, of the conversion or of the picture. Weights are kept in half precision.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from posecli.engines.backends import ROWS
from posecli.engines.check import SURE_BOX, joints, picture
from posecli.engines.conversion import converted
from posecli.engines.detector import Detector
from posecli.engines.load import load_estimator
from posecli.files import sha256
from posecli.silence import import_openvino


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, nargs="+")
    for path in parser.parse_args().weights:
        if path.suffix == ".pt":
            detector = Detector.load(path, confidence=SURE_BOX)
            found, facts = detector.find(picture()), detector.facts()
            answers = np.concatenate([found.xyxy, found.scores[:, None]], axis=1)
            network, example, rows = detector.network, torch.zeros(1, 3, 256, 416), None
        else:
            estimator = load_estimator(str(path), "cpu", backend="torch")
            answers, facts = joints(estimator), {}
            network, example, rows = estimator.network, torch.zeros(2, 3, *estimator.spec.input_size), ROWS
        out = path.with_name(f"{path.stem}-openvino.xml")
        import_openvino().save_model(converted(network, example, rows), out, compress_to_fp16=True)
        told = {"origin": sha256(path), "facts": facts, "answers": np.round(answers, 3).tolist()}
        out.with_suffix(".json").write_text(json.dumps(told) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
