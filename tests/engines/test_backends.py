"""Engines: the same joints as torch's, kept between runs, and not used where they are wrong or slow."""

import locale
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from posecli.engines import backends
from posecli.engines import load as loading
from posecli.engines.backends import PADDED, ROWS, OpenVinoNetwork, pick_backends
from posecli.engines.check import compare_detectors, compare_estimators
from posecli.errors import PoseError
from posecli.models import weights
from posecli.silence import import_openvino

pytestmark = pytest.mark.models


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "posecli"


def test_a_network_is_converted_once_and_takes_any_batch_and_size(cache) -> None:
    network, made = torch.nn.Conv2d(3, 2, 3, padding=1).eval(), []

    def make():
        made.append(1)
        return network

    first, again = (OpenVinoNetwork.of(make, np.zeros((2, 3, 8, 8), np.float32), "tiny") for _ in range(2))
    assert made == [1]
    for shape in ((1, 3, 8, 8), (5, 3, 12, 20)):
        batch = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = network(torch.from_numpy(batch)).detach().numpy()
        for one in (first, again):
            assert one(batch).shape == expected.shape
            np.testing.assert_allclose(one(batch), expected, atol=0.05)


def test_a_fixed_batch_takes_any_number_of_crops(cache) -> None:
    """Parts that are filled up, and single crops once there were enough of those, give the same as torch."""
    network = torch.nn.Conv2d(3, 2, 3, padding=1).eval()
    example = np.zeros((2, 3, 8, 12), np.float32)
    openvino = OpenVinoNetwork.of(lambda: network, example, "tiny", ROWS)
    for count in [1, 2, 3, 4, 7, 8] * (PADDED // 4 + 1):
        batch = np.random.default_rng(count).normal(size=(count, 3, 8, 12)).astype(np.float32)
        expected = network(torch.from_numpy(batch)).detach().numpy()
        np.testing.assert_allclose(openvino(batch), expected, atol=0.05)
    again = OpenVinoNetwork.of(lambda: network, example, "tiny", ROWS)  # from the file that was kept
    np.testing.assert_array_equal(again(batch), openvino(batch))
    np.testing.assert_array_equal(again(batch[:1]), openvino(batch[:1]))  # filled up here, single there


def test_two_threads_that_load_networks_leave_the_locale_as_it_is(cache) -> None:
    """OpenVINO changes it while it compiles; left at "C", Python would read text files as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        shipped = [
            weights.weights_folder() / f"{name}-openvino.xml" for name in (weights.MODEL, weights.DETECTOR)
        ]
        with ThreadPoolExecutor() as threads:
            list(threads.map(OpenVinoNetwork, map(str, shipped * 6)))
        assert locale.setlocale(locale.LC_ALL) == before
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_it_works_where_nothing_can_be_kept(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    network = torch.nn.Conv2d(3, 2, 1).eval()
    nothing = np.zeros((1, 3, 8, 8), np.float32)
    found = OpenVinoNetwork.of(lambda: network, nothing, "tiny")(nothing)
    assert found.shape == (1, 2, 8, 8)


def test_openvino_gives_torch_s_joints_and_boxes(cache, tmp_path) -> None:
    for load, compare, name in (
        (loading.load_estimator, compare_estimators, "small.safetensors"),
        (loading.load_detector, compare_detectors, "person.pt"),
    ):
        file = tmp_path / name  # away from the shipped conversion
        shutil.copyfile(weights.weights_folder() / name, file)
        found = compare(
            load(str(file), device="cpu", backend="torch"), load(str(file), device="cpu", backend="openvino")
        )
        assert found.right
        assert found.milliseconds > 0
    names = sorted(p.suffix for p in (cache / "openvino").iterdir())
    assert names == [".bin", ".bin", ".json", ".xml", ".xml"]


def test_not_a_number_is_wrong(cache) -> None:
    reference = loading.load_estimator(device="cpu", backend="torch")
    broken = loading.load_estimator(device="cpu", backend="torch")
    broken.network = lambda batch: reference.network(batch) * float("nan")
    assert not compare_estimators(reference, broken).right


def test_backends_that_can_t_be_had_are_one_sentence(monkeypatch) -> None:
    with pytest.raises(PoseError, match="no backend 'tensorrt'; choose auto, torch, torch-half, openvino"):
        pick_backends("tensorrt", "cpu")
    with pytest.raises(PoseError, match="works on the CPU, not on cuda"):
        pick_backends("openvino", "cuda")
    assert pick_backends("auto", "cuda") == ("torch-half", "torch")

    monkeypatch.setitem(sys.modules, "openvino", None)
    assert pick_backends("auto", "cpu") == ("torch",)
    with pytest.raises(PoseError, match="pip install openvino"):
        pick_backends("openvino", "cpu")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PoseError, match=r"onnxruntime is not installed: pip install 'posecli\[onnx\]'"):
        pick_backends("onnx", "cpu")


def test_onnx_runtime_gives_torch_s_joints_and_boxes(cache) -> None:
    for load, compare in (
        (loading.load_estimator, compare_estimators),
        (loading.load_detector, compare_detectors),
    ):
        network = load(device="cpu", backend="onnx")
        assert backends.engine(network.network) == "onnx, float32"
        assert compare(load(device="cpu", backend="torch"), network).wrong < 0.01
    assert [p.suffix for p in (cache / "onnx").iterdir()] == [".onnx", ".onnx"]
    before = {p.name: p.stat().st_mtime_ns for p in (cache / "onnx").iterdir()}
    loading.load_estimator(device="cpu", backend="onnx")
    assert {p.name: p.stat().st_mtime_ns for p in (cache / "onnx").iterdir()} == before


def test_an_int8_file_of_other_weights_is_not_used(cache, tmp_path) -> None:
    openvino = import_openvino()
    from openvino.tools.ovc import convert_model

    copy = tmp_path / "mine.safetensors"
    shutil.copy(weights.find_model("small"), copy)
    with pytest.raises(PoseError, match="no openvino-int8 file next to the weights of this network"):
        loading.load_estimator(str(copy), "cpu", backend="openvino-int8")
    other = convert_model(torch.nn.Conv2d(3, 2, 1).eval(), example_input=torch.zeros(1, 3, 8, 8))
    openvino.save_model(other, tmp_path / "mine-int8.xml")
    with pytest.raises(PoseError, match=r"mine-int8\.xml was made from other weights"):
        loading.load_estimator(str(copy), "cpu", backend="openvino-int8")
