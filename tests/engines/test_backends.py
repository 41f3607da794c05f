"""Engines: the same joints as torch's, kept between runs, and not used where they are wrong or slow."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from posecli.engines import backends
from posecli.engines import check as checking
from posecli.engines import load as loading
from posecli.engines.backends import OpenVinoNetwork, pick_backends
from posecli.engines.check import Verdict, compare_detectors, compare_estimators
from posecli.errors import PoseError, PoseWarning
from posecli.models import weights
from posecli.models.checkpoints import load_model

pytestmark = pytest.mark.models
EXAMPLE = torch.zeros(2, 3, 256, 192)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "converted_folder", lambda: tmp_path / "cache" / "openvino")
    monkeypatch.setattr(checking, "converted_folder", lambda: tmp_path / "cache" / "openvino")
    return tmp_path / "cache"


@pytest.fixture
def eight_bits(tmp_path, monkeypatch):
    """As if a file in 8 bits lay beside the weights."""

    def made(path, origin):
        network = OpenVinoNetwork.of(lambda: load_model(weights.find_model("small"))[0], EXAMPLE, origin)
        network.precision = "int8"
        return network

    monkeypatch.setattr(weights, "int8_of", lambda path: tmp_path / "small-int8.xml")
    monkeypatch.setattr(OpenVinoNetwork, "int8", made)


def test_openvino_gives_torch_s_joints_and_boxes(cache) -> None:
    for load, compare in (
        (loading.load_estimator, compare_estimators),
        (loading.load_detector, compare_detectors),
    ):
        found = compare(load(device="cpu", backend="torch"), load(device="cpu", backend="openvino"))
        assert found.right
        assert found.milliseconds > 0
    names = sorted(p.suffix for p in (cache / "openvino").iterdir())
    assert names == [".bin", ".bin", ".json", ".xml", ".xml"]


def test_a_network_is_converted_once_and_takes_any_batch_and_size(cache, monkeypatch) -> None:
    network = torch.nn.Conv2d(3, 2, 3, padding=1).eval()
    first = OpenVinoNetwork.of(lambda: network, torch.zeros(2, 3, 8, 8), "tiny")
    monkeypatch.setattr(backends, "converted", lambda *_: pytest.fail("converted again"))
    again = OpenVinoNetwork.of(lambda: network, torch.zeros(2, 3, 8, 8), "tiny")
    for shape in ((1, 3, 8, 8), (5, 3, 12, 20)):
        batch = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        expected = network(batch).detach()
        for one in (first, again):
            assert one(batch).shape == expected.shape
            np.testing.assert_allclose(one(batch), expected, atol=0.05)


def test_it_works_where_nothing_can_be_kept(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    for module in (backends, checking):
        monkeypatch.setattr(module, "converted_folder", lambda: tmp_path / "file" / "openvino")
    network = torch.nn.Conv2d(3, 2, 1).eval()
    assert OpenVinoNetwork.of(lambda: network, torch.zeros(1, 3, 8, 8), "tiny")(
        torch.zeros(1, 3, 8, 8)
    ).shape == (
        1,
        2,
        8,
        8,
    )
    calls = []
    for _ in range(2):
        checking.verdict("key", lambda: calls.append(1) or Verdict(0.0, 1.0, 1.0, 2.0))
    assert len(calls) == 2


class Shifted(OpenVinoNetwork):
    """An engine whose maps lie two cells further right, as a broken conversion might give them."""

    def __call__(self, batch):
        out = super().__call__(batch)
        return out.roll(2, dims=-1)


def test_an_engine_that_is_wrong_is_not_used_and_it_is_told_once_examined(cache, monkeypatch) -> None:
    monkeypatch.setattr(loading, "OpenVinoNetwork", Shifted)
    with pytest.warns(PoseWarning, match="openvino gives other results than the CPU here and is not used"):
        estimator = loading.load_estimator(device="cpu")
    assert backends.engine(estimator.network) == "torch, float32"
    kept = json.loads((cache / "doctor.json").read_text()).values()
    assert len(kept) == 1
    assert all(k["wrong"] > 5 for k in kept)
    monkeypatch.setattr(loading, "compare_estimators", lambda *_: pytest.fail("examined again"))
    with pytest.warns(PoseWarning):
        loading.load_estimator(device="cpu")
    assert isinstance(
        loading.load_estimator(device="cpu", backend="openvino").network, Shifted
    )  # who asks gets it


def test_an_engine_that_is_slow_is_not_used(cache, monkeypatch) -> None:
    monkeypatch.setattr(loading, "compare_estimators", lambda *_: Verdict(0.1, 1.0, 50.0, 20.0))
    with pytest.warns(PoseWarning, match="slower than torch on the CPU here"):
        estimator = loading.load_estimator(device="cpu")
    assert backends.engine(estimator.network) == "torch, float32"


def test_a_network_that_openvino_can_t_take_runs_on_torch(cache, monkeypatch) -> None:
    def stumble(*_):
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(loading.OpenVinoNetwork, "of", stumble)
    monkeypatch.setattr(loading.OpenVinoNetwork, "int8", stumble)
    with pytest.warns(PoseWarning, match="openvino can't take this network and is not used"):
        assert backends.engine(loading.load_estimator(device="cpu").network) == "torch, float32"
    with pytest.raises(PoseError, match=r"can't take this network \(no such operation\)"):
        loading.load_estimator(device="cpu", backend="openvino")


def test_an_engine_that_fails_at_work_is_not_used(cache, monkeypatch) -> None:
    def fail(*_):
        raise ValueError("shapes")

    monkeypatch.setattr(loading, "compare_estimators", fail)
    with pytest.warns(PoseWarning, match="gives other results"):
        assert backends.engine(loading.load_estimator(device="cpu").network) == "torch, float32"


def test_not_a_number_is_wrong(cache) -> None:
    reference = loading.load_estimator(device="cpu", backend="torch")
    broken = loading.load_estimator(device="cpu", backend="torch")
    broken.network = lambda batch: reference.network(batch) * float("nan")
    assert not compare_estimators(reference, broken).right


def test_backends_that_can_t_be_had_are_one_sentence(monkeypatch) -> None:
    with pytest.raises(PoseError, match="no backend 'tensorrt'; choose auto, torch, torch-half, openvino"):
        pick_backends("tensorrt", torch.device("cpu"))
    with pytest.raises(PoseError, match="works on the CPU, not on cuda"):
        pick_backends("openvino", torch.device("cuda"))
    assert pick_backends("auto", torch.device("cuda")) == ("torch-half", "torch")

    def missing():
        raise ImportError(name="openvino")

    monkeypatch.setattr(backends, "import_openvino", missing)
    assert pick_backends("auto", torch.device("cpu")) == ("torch",)
    with pytest.raises(PoseError, match="pip install openvino"):
        pick_backends("openvino", torch.device("cpu"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PoseError, match=r"onnxruntime is not installed: pip install 'posecli\[onnx\]'"):
        pick_backends("onnx", torch.device("cpu"))


def test_onnx_runtime_gives_torch_s_joints_and_boxes(cache, monkeypatch) -> None:
    for load, compare in (
        (loading.load_estimator, compare_estimators),
        (loading.load_detector, compare_detectors),
    ):
        network = load(device="cpu", backend="onnx")
        assert backends.engine(network.network) == "onnx, float32"
        assert compare(load(device="cpu", backend="torch"), network).wrong < 0.01
    assert [p.suffix for p in (cache / "onnx").iterdir()] == [".onnx", ".onnx"]
    monkeypatch.setattr(backends, "_write_plain_onnx", lambda *_: pytest.fail("converted again"))
    loading.load_estimator(device="cpu", backend="onnx")


def test_auto_takes_the_fastest_of_those_that_are_right(cache, eight_bits, monkeypatch) -> None:
    figures = {"int8": 10.0, "bfloat16": 14.0, "float32": 14.0}

    def compare(_, other):
        return Verdict(0.5, 1.0, figures[other.network.precision], 30.0)

    monkeypatch.setattr(loading, "compare_estimators", compare)
    assert backends.engine(loading.load_estimator(device="cpu").network) == "openvino, int8"
    monkeypatch.setattr(loading, "compare_estimators", lambda *_: pytest.fail("examined again"))
    assert backends.engine(loading.load_estimator(device="cpu").network) == "openvino, int8"
    (cache / "doctor.json").unlink()
    figures["int8"] = 20.0
    monkeypatch.setattr(loading, "compare_estimators", compare)
    assert "int8" not in backends.engine(loading.load_estimator(device="cpu").network)


def test_an_int8_file_of_other_weights_is_not_used(cache, tmp_path, monkeypatch) -> None:
    import openvino

    small = weights.find_model("small")
    other = openvino.convert_model(torch.nn.Conv2d(3, 2, 1).eval(), example_input=torch.zeros(1, 3, 8, 8))
    openvino.save_model(other, tmp_path / "small-int8.xml")
    with monkeypatch.context() as beside:
        beside.setattr(weights, "int8_of", lambda path: tmp_path / "small-int8.xml")
        with pytest.raises(PoseError, match=r"small-int8\.xml was made of other weights"):
            loading.load_estimator(device="cpu", backend="openvino-int8")
    copy = tmp_path / "mine.safetensors"
    shutil.copy(small, copy)
    with pytest.raises(PoseError, match="no openvino-int8 file beside this network's weights"):
        loading.load_estimator(str(copy), "cpu", backend="openvino-int8")
