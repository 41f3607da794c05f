"""Exported files: the same heatmaps as torch's, our header inside, and they run like any model."""

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import posecli
from posecli.cli.app import main
from posecli.engines import exported
from posecli.engines.exported import export, load_exported
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.models.checkpoints import build, save_checkpoint
from tests.support.places import DATA
from tests.support.stand_ins import SPEC

pytestmark = pytest.mark.models


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_files_give_torch_s_heatmaps_for_any_batch_and_carry_the_spec(tiny, tmp_path, suffix) -> None:
    path = tmp_path / f"tiny{suffix}"
    gap = export(tiny, path)
    assert 0 <= gap < exported.TOLERANCE
    names = {p.name for p in tmp_path.iterdir()}
    assert names == ({"tiny.xml", "tiny.bin"} if suffix == ".xml" else {path.name})
    network, spec = load_exported(path, "cpu", "float32")
    assert spec == SPEC
    for n in (1, 3):
        batch = torch.randn(n, 3, 64, 64)
        with torch.inference_mode():
            found = network(batch if suffix == ".pt2" else batch.numpy())
            np.testing.assert_allclose(found, tiny.network(batch).numpy(), atol=1e-4)
    estimator = load_estimator(str(path), "cpu")
    assert estimator.spec == SPEC


def test_a_file_that_differs_is_not_kept(tiny, tmp_path, monkeypatch) -> None:
    torch.manual_seed(1)
    other = build(SPEC).eval()
    honest = exported._write_openvino
    monkeypatch.setattr(exported, "_write_openvino", lambda network, *rest: honest(other, *rest))
    with pytest.raises(PoseError, match=r"heatmaps differ from torch's by up to .* it was not kept"):
        export(tiny, tmp_path / "tiny.xml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_files_of_others_and_damaged_ones_are_refused_in_a_sentence(tiny, tmp_path, suffix) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(PoseError, match="is not a file that `posecli export` wrote"):
        load_exported(path, "cpu")
    with pytest.raises(PoseError, match="runs on the CPU only, not on cuda"):
        load_exported(path, "cuda")


def test_a_file_without_our_header_is_refused(tiny, tmp_path) -> None:
    program = torch.export.export(tiny.network, (torch.zeros(2, 3, 64, 64),))
    torch.export.save(program, tmp_path / "a.pt2")
    with pytest.raises(PoseError, match="is not a file that `posecli export` wrote"):
        load_exported(tmp_path / "a.pt2", "cpu")


def test_only_torch_networks_are_exported(tiny, tmp_path) -> None:
    export(tiny, tmp_path / "tiny.xml")
    with pytest.raises(PoseError, match="Only a network that torch runs"):
        export(load_estimator(str(tmp_path / "tiny.xml"), "cpu"), tmp_path / "again.onnx")


def test_the_command_writes_a_file_that_run_takes(tiny, tmp_path, bus_clip, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "mine.safetensors", tiny.network.state_dict(), SPEC)

    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        return int(end.value.code or 0), " ".join(capfd.readouterr().err.split())

    for kind in ("onnx", "openvino", "torch"):
        code, told = call("export", "mine.safetensors", "--format", kind)
        assert (code, "agree with torch's" in told) == (0, True), told
        code, told = call("export", "mine.safetensors", "--format", kind)
        assert (code, "exists already" in told) == (1, True)
    for suffix in (".onnx", ".xml", ".pt2"):
        model = Path(f"mine{suffix}")
        code, told = call("run", bus_clip, "--model", model, "--end", "0.3", "--out", f"{suffix[1:]}.mp4")
        assert code == 0, told
        document = json.loads(Path(f"{suffix[1:]}.json").read_text())
        assert document["model"]["name"] == "mine"
        assert document["frames"]


def test_usage_errors(capfd, tmp_path) -> None:
    for arguments in (["--format", "tflite2"], ["--format", "onnx", "--out", "a.xml"]):
        with pytest.raises(SystemExit) as end:
            main(["export", "small", *arguments])
        assert end.value.code == 2


class Evil:
    def __reduce__(self):
        return (print, ("pickle ran code",))


def test_a_pickle_in_a_torch_file_runs_nothing(tiny, tmp_path, capsys) -> None:
    export(tiny, tmp_path / "tiny.pt2")
    evil = io.BytesIO()
    torch.save(Evil(), evil)
    replaced = 0
    with zipfile.ZipFile(tmp_path / "tiny.pt2") as old, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as new:
        for name in old.namelist():
            pickled = name.endswith(".pt")
            replaced += pickled
            new.writestr(name, evil.getvalue() if pickled else old.read(name))
    assert replaced
    with pytest.raises(PoseError, match="is not a file that `posecli export` wrote"):
        load_exported(tmp_path / "evil.pt2", "cpu")
    assert "pickle ran code" not in capsys.readouterr().out


def test_a_litert_file_answers_as_torch_did(tmp_path, bus_clip) -> None:
    """The file and torch's answer were stored together by tests/data/make_tiny_litert.py."""
    pytest.importorskip("ai_edge_litert")
    estimator = load_estimator(str(DATA / "tiny.tflite"), "cpu")
    assert estimator.spec.skeleton == "body19"
    assert estimator.spec.input_size == (64, 64)
    with np.load(DATA / "tiny_litert.npz") as stored:
        np.testing.assert_allclose(estimator.maps(stored["crops"]), stored["maps"], atol=1e-4)
    assert len(list(posecli.run(bus_clip, model=str(DATA / "tiny.tflite"), device="cpu"))) == 8
    bare = tmp_path / "bare.tflite"
    bare.write_bytes((DATA / "tiny.tflite").read_bytes()[:1000])
    with pytest.raises(PoseError, match="is not a file that `posecli export` wrote"):
        load_exported(bare, "cpu")


def test_formats_of_other_environments_are_one_sentence(tiny, tmp_path, monkeypatch) -> None:
    for module, suffix, extra in (
        ("litert_torch", ".tflite", "litert"),
        ("coremltools", ".mlpackage", "coreml"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(PoseError, match=rf"pip install 'posecli\[{extra}\]'"):
            export(tiny, tmp_path / f"tiny{suffix}")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(PoseError, match="pip install ai-edge-litert"):
        load_estimator(str(DATA / "tiny.tflite"), "cpu")
    assert list(tmp_path.iterdir()) == []
