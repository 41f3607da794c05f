"""Writes tiny.tflite, and the output of torch for two crops (tiny_litert.npz):
pip install 'posecli[litert]' && python tests/data/make_tiny_litert.py

The converter needs its own version of torch and is too slow for every test run. So both files are in the repository.
"""

from pathlib import Path

import numpy as np
import torch

from posecli.engines.estimator import Estimator
from posecli.engines.exported import export
from posecli.models.checkpoints import ModelSpec, build

HERE = Path(__file__).parent
SPEC = ModelSpec(
    "hourglass", {"stacks": 1, "features": 8, "keypoints": 19, "stem": [4, 8, 8]}, input_size=(64, 64)
)  # fmt: skip

torch.manual_seed(0)
estimator = Estimator(build(SPEC).eval(), SPEC)
path = HERE / "tiny.tflite"
path.unlink(missing_ok=True)
export(estimator, path)
crops = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
np.savez_compressed(HERE / "tiny_litert.npz", crops=crops, maps=estimator.maps(crops))
