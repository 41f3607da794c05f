"""FLOP and bytes of layers against counts by hand, and shares of a peak that can't be passed."""

import shutil

import pytest
import torch
from torch import nn

from posecli.bench import roofline
from posecli.bench.compare import count_gmacs
from posecli.bench.roofline import layers_of, measure_roofline
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.models.checkpoints import ModelSpec, build
from tests.support.command import call


def test_layers_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2, 2, bias=False)
    )
    conv, up, relu = layers_of(network, torch.zeros(2, 3, 10, 20))
    assert (conv.kind, conv.count) == ("Conv2d 8x10x20", 1)
    assert conv.gflop == pytest.approx(2 * 2 * 8 * 200 * 27 / 1e9)
    assert conv.megabytes == pytest.approx(4 * (2 * 3 * 200 + 2 * 8 * 200 + 8 * 27) / 1e6)
    assert up.gflop == pytest.approx(
        2 * 2 * 8 * 200 * 4 * 4 / 1e9
    )  # each value in goes to 2 x 2 of 4 channels
    assert (relu.kind, relu.gflop) == ("ReLU 8x10x20", 0)
    assert relu.intensity == 0


@pytest.mark.models
def test_the_shipped_network_s_sum_is_torch_s_own_count() -> None:
    estimator = load_estimator("small", "cpu", backend="torch")
    layers = layers_of(estimator.network, torch.zeros(1, 3, *estimator.spec.input_size))
    assert sum(layer.gflop for layer in layers) == pytest.approx(2 * count_gmacs(estimator), rel=1e-3)


@pytest.mark.models
def test_shares_of_the_peak(monkeypatch) -> None:
    monkeypatch.setattr(roofline, "SECONDS", 0.1)
    found = measure_roofline(load_estimator("small", "cpu", backend="torch"), [1, 2])
    assert list(found.reached) == [1, 2]
    assert all(0 < speed < 1.3 * found.peak for speed in found.reached.values())
    assert found.precision == "float32"
    assert found.bandwidth > 0.5


@pytest.mark.external
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_compiled_network_is_measured_beside_the_plain_one(monkeypatch) -> None:
    monkeypatch.setattr(roofline, "SECONDS", 0.1)
    spec = ModelSpec(
        "hourglass", {"stacks": 1, "features": 8, "stem": [4, 8, 8], "keypoints": 19}, input_size=(64, 64)
    )
    found = measure_roofline(Estimator(build(spec).eval(), spec), [2], compiled=True)
    assert list(found.compiled) == list(found.reached) == [2]
    assert 0 < found.compiled[2] < 1.3 * found.peak


@pytest.mark.models
def test_engines_that_hide_their_layers(capfd, bus_clip) -> None:
    with pytest.raises(PoseError, match="--roofline needs torch"):
        measure_roofline(load_estimator("small", "cpu", backend="openvino"), [1])
    arguments = ("--device", "cpu", "--backend", "torch", "--batch-size", "1", "--frames", 2, "--roofline")
    code, out, err = call(capfd, "bench", bus_clip, *arguments)
    assert code == 0, err
    assert "of the peak" in out
