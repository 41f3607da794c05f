"""Start-up time: no command imports more than it needs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.support.stand_ins import SPEC

SHOWN = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """The modules that a new interpreter has imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOWN}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_posecli_imports_no_library() -> None:
    found = modules_after("import posecli")
    assert "posecli" in found
    assert not found & {"torch", "ultralytics", "cv2", "numpy", "openvino", "scipy", "av", "typer"}


def test_help_imports_no_network() -> None:
    code = "from posecli.cli.app import main\ntry:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass"
    assert not modules_after(code) & {"torch", "ultralytics", "cv2", "numpy", "openvino", "scipy", "av"}


@pytest.mark.models
def test_run_with_converted_networks_imports_neither_torch_nor_ultralytics(
    bus_clip, tiny, tmp_path, monkeypatch
) -> None:
    from posecli.api import annotate
    from posecli.models.checkpoints import save_checkpoint

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_checkpoint(tmp_path / "tiny.safetensors", tiny.network.state_dict(), SPEC)
    options = {"model": str(tmp_path / "tiny.safetensors"), "device": "cpu"}
    annotate(bus_clip, tmp_path / "first.mp4", video=False, **options)  # converts, and examines
    # While other tests run, OpenVINO may have measured slower than torch.
    verdicts = tmp_path / "cache" / "posecli" / "doctor.json"
    known = json.loads(verdicts.read_text())
    verdicts.write_text(
        json.dumps({k: {**v, "milliseconds": 1.0, "reference": 9.0} for k, v in known.items()})
    )
    assert len(known) == 2

    arguments = ["run", str(bus_clip), "--out", str(tmp_path / "again.mp4"), "--quiet", "--device", "cpu"]
    arguments += ["--model", options["model"]]
    code = f"from posecli.cli.app import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    found = modules_after(code)
    assert not {name.partition(".")[0] for name in found} & {"torch", "torchvision", "ultralytics", "scipy"}
    assert "openvino" in found
    written = json.loads((tmp_path / "again.json").read_text())
    assert "openvino" in json.dumps(written["model"]) + json.dumps(written["options"])


def test_arrays_take_the_way_of_tensors(tiny) -> None:
    """Pre- and postprocessing in numpy, for other engines, gives the same as in torch."""
    from dataclasses import replace

    import torch

    from posecli.engines.backends import ArrayNetwork

    class Same(ArrayNetwork):
        def __call__(self, batch):
            with torch.inference_mode():
                return tiny.network(torch.from_numpy(np.ascontiguousarray(batch))).numpy()

    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    for changes in ({}, {"activation": "none"}, {"activation": "byte"}, {"flip_shift": 1.2}):
        for flip_test in (False, True):
            by_torch = replace(tiny, spec=replace(SPEC, **changes), flip_test=flip_test)
            by_numpy = replace(by_torch, network=Same())
            maps = by_torch.maps(crops)
            np.testing.assert_allclose(by_numpy.maps(crops), maps, rtol=1e-3, atol=1e-6)
            np.testing.assert_array_equal(
                by_numpy.maps(crops, all_stacks=False), by_numpy.maps(crops)[:, -1:]
            )


WITHOUT = ("torch", "torchvision", "ultralytics", "scipy", "matplotlib")


def posecli_without(packages, arguments, tmp_path):
    """A command in an interpreter that lacks packages."""
    code = (
        f"import sys\nfor name in {packages!r}: sys.modules[name] = None\n"
        f"from posecli.cli.app import main\nmain({[str(a) for a in arguments]!r})"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.models
def test_shipped_networks_run_where_pytorch_is_not_installed(bus_clip, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    done = posecli_without(WITHOUT, ["run", bus_clip, "--out", out], tmp_path)
    assert done.returncode == 0, done.stderr
    written = json.loads(out.with_suffix(".json").read_text())
    assert sum(len(frame["people"]) for frame in written["frames"]) > 3
    assert not list((tmp_path / "cache").rglob("openvino/*"))  # nothing was converted


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "CLIP", "--model", "base"], "base.safetensors needs PyTorch, which is not installed"),
        (["train", "--data", "coco:x.json", "--out", "y"], "This needs PyTorch and ultralytics"),
        (["doctor"], "pip install torch torchvision ultralytics"),
    ],
)
def test_what_needs_pytorch_says_so(arguments, told, bus_clip, tmp_path) -> None:
    arguments = [bus_clip if a == "CLIP" else a for a in arguments]
    done = posecli_without(WITHOUT, arguments, tmp_path)
    assert done.returncode == 1
    assert told in " ".join(done.stderr.split())


@pytest.mark.models
@pytest.mark.parametrize("name", ["small", "person"])
def test_shipped_networks_are_those_of_the_weights(name) -> None:
    """After new weights: python scripts/ship_openvino.py weights/small.safetensors weights/person.pt."""
    from posecli.engines.check import compare_detectors, compare_estimators
    from posecli.engines.load import load_detector, load_estimator
    from posecli.engines.shipped import shipped
    from posecli.files import sha256
    from posecli.models.weights import find_any

    path = find_any(name)
    kept = shipped(path, sha256(path))
    assert kept is not None, "made from other weights"
    load, compare = (
        (load_detector, compare_detectors) if path.suffix == ".pt" else (load_estimator, compare_estimators)
    )
    found = compare(load(name, "cpu", backend="torch"), load(name, "cpu"))
    assert found.right
    assert np.array(kept.answers).shape[0] >= 4
