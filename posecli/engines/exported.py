"""Writes and reads networks as files for other engines, with skeleton and preprocessing inside.

OpenVINO runs .onnx and .xml files, LiteRT runs .tflite, and torch runs the .pt2 files of torch.export. Core ML's
.mlpackage runs on Apple machines only. torch is imported to write a file, and to run a .pt2 file.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posecli.engines.backends import LiteRtNetwork, OpenVinoNetwork
from posecli.engines.check import PEOPLE, picture
from posecli.engines.devices import kind_of
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError
from posecli.models.checkpoints import ModelSpec, header_of, spec_of
from posecli.silence import import_openvino

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMATS = {
    "onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "litert": ".tflite", "coreml": ".mlpackage",
}  # fmt: skip
EXPORTED = (".onnx", ".xml", ".pt2", ".tflite")  # what can be run
HEADER = "posecli"  # the name that our header has in each kind of file
HEADER_FILE = "posecli.json"  # in the zip archive at the end of .tflite, where its associated files go
LARGEST_BATCH = 64  # that a Core ML file takes
TOLERANCE = 1e-3  # of the heatmaps' heights, where 1 is sure; float32 on both sides
COORDINATES = 3e-3  # of coordinates, which are shares of the crop: half a pixel of 192


def export(estimator: Estimator, path: Path) -> float | None:
    """Write a torch network as `path`, whose suffix says the format; returns the largest difference between
    its heatmaps and torch's, on real crops. None for Core ML's, which can't be run: there only what the file
    says of its input, output and precision is checked.

    The file takes normalised RGB crops (B, 3, H, W) float32, any B (.tflite: 1), and gives what the network
    gives: maps (B, stacks, K, h, w). Raises PoseError, and leaves nothing, where they differ by more than
    TOLERANCE, coordinates by more than COORDINATES.
    """
    with made_apart(path) as made:
        write(estimator, made)
        if path.suffix == ".mlpackage":
            _check_coreml(made, estimator.spec)
            return None
        gap = difference(estimator, made)
        what, allowed = ("heatmaps", TOLERANCE) if estimator.spec.has_maps else ("coordinates", COORDINATES)
        if not gap <= allowed:
            raise PoseError(
                f"The {path.suffix} file's {what} differ from torch's by up to {gap:.2g}, which is more than "
                f"{allowed:g}; it was not kept."
            )
    return gap


@contextmanager
def made_apart(path: Path) -> Iterator[Path]:
    """Where to make a file, and what lies beside it (.xml and .bin): all of it moves to `path` at the end, or,
    after an error, goes."""
    folder = path.with_name(path.name + ".part")  # in a folder of their own the files have their own names
    folder.mkdir(exist_ok=True)
    try:
        yield folder / path.name
        for made in sorted(folder.iterdir()):
            target = path.with_name(made.name)
            if target.is_dir():
                shutil.rmtree(target)
            made.replace(target)
    finally:
        shutil.rmtree(folder)


def write(estimator: Estimator, path: Path) -> None:
    """Write a torch network unchecked."""
    import torch

    from posecli.models.unshuffled import unshuffled

    if not isinstance(estimator.network, torch.nn.Module):
        raise PoseError("Only a network that torch runs can be exported, such as a .safetensors file.")
    writers = {
        ".onnx": _write_onnx, ".xml": _write_openvino, ".pt2": _write_torch, ".tflite": _write_litert,
        ".mlpackage": _write_coreml,
    }  # fmt: skip
    if path.suffix not in writers:
        raise PoseError(f"{path.name} ends in none of {', '.join(FORMATS.values())}.")
    example = torch.randn(2, 3, *estimator.spec.input_size)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writers[path.suffix](unshuffled(estimator.network), example, path, header_of(estimator.spec))


def difference(estimator: Estimator, path: Path) -> float:
    """The largest difference of heights between an exported file's heatmaps and the network's, on the people of
    the photo that ultralytics ships, one by one and together."""
    network, spec = load_exported(path, "cpu", precision="float32")
    plain = replace(estimator, flip_test=False)
    other = replace(plain, network=network, spec=spec)
    crops, _ = plain.crops([picture()], [PEOPLE])
    worst = 0.0
    for batch in (crops, crops[:1]):
        worst = max(worst, float(np.abs(plain.maps(batch) - other.maps(batch)).max()))
    return worst


def load_exported(
    path: Path, device: str, precision: str | None = None
) -> tuple[Callable[[Any], Any], ModelSpec]:
    """The network of an exported file, and its spec; raises PoseError for one without our header."""
    if kind_of(device) != "cpu":
        raise PoseError(f"{path.name} runs on the CPU only, not on {device}; use --device cpu.")
    if not path.is_file():
        raise PoseError(f"There is no model file {path}.")
    try:
        if path.suffix == ".pt2":
            import torch

            extra = {HEADER: ""}
            with _tensors_only():
                program = torch.export.load(path, extra_files=extra)
            network: Callable[[Any], Any] = program.module()
            header = extra[HEADER]
        elif path.suffix == ".tflite":
            with zipfile.ZipFile(path) as archive:
                header = archive.read(HEADER_FILE).decode()
            network = LiteRtNetwork(path)
        else:
            model = import_openvino().Core().read_model(path)
            keys = ["framework", HEADER] if path.suffix == ".onnx" else [HEADER]
            header = str(model.get_rt_info(keys).astype(str))
            try:
                network = OpenVinoNetwork(model, precision)
            except RuntimeError:  # OpenVINO lacks some 8-bit layers in bfloat16
                network = OpenVinoNetwork(model, "float32")
        fields = json.loads(header)
    except PoseError:
        raise
    except Exception as error:  # four readers, and a damaged file can fail in any way
        raise PoseError(f"{path} is not a file that `posecli export` wrote, or a damaged one.") from error
    return network, spec_of(fields, path)


@contextmanager
def _tensors_only() -> Iterator[None]:
    """torch.export's files hold pickles; let them make tensors and nothing else."""
    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        if before is not None:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


def _write_onnx(network: nn.Module, example: Tensor, path: Path, header: str) -> None:
    import torch

    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx asks for it later, in more words
    except ImportError:
        raise PoseError("Writing ONNX needs two packages: pip install 'posecli[export]'.") from None
    program: Any = torch.onnx.export(
        network, (example,), input_names=["crops"], output_names=["maps"],
        dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, verbose=False,
    )  # fmt: skip
    model = program.model_proto
    onnx.helper.set_model_props(model, {HEADER: header})
    onnx.save(model, path)


def _write_openvino(network: nn.Module, example: Tensor, path: Path, header: str) -> None:
    from posecli.engines.conversion import converted

    model = converted(network, example)
    model.set_rt_info(header, [HEADER])
    import_openvino().save_model(model, path, compress_to_fp16=False)


def _write_torch(network: nn.Module, example: Tensor, path: Path, header: str) -> None:
    import torch

    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path, extra_files={HEADER: header})


def _write_litert(network: nn.Module, example: Tensor, path: Path, header: str) -> None:
    import torch

    try:
        import litert_torch
    except ImportError:
        raise PoseError(
            "Writing LiteRT needs a package that wants a torch of its own: in a new environment, "
            "pip install 'posecli[litert]'."
        ) from None
    with torch.inference_mode(False), torch.no_grad():
        # Weights that lie channels last in memory come out wrong, without a word (litert-torch 0.10).
        plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        litert_torch.convert(plain, (example[:1].clone(),)).export(str(path))
    with zipfile.ZipFile(path, "a") as archive:  # behind the network, where its readers do not look
        archive.writestr(HEADER_FILE, header)


def _write_coreml(network: nn.Module, example: Tensor, path: Path, header: str) -> None:
    try:
        import coremltools
    except ImportError:
        raise PoseError("Writing Core ML needs a package: pip install 'posecli[coreml]'.") from None
    import torch

    with torch.inference_mode(False), torch.no_grad():
        traced: Any = torch.jit.trace(network, example.clone())  # type: ignore[no-untyped-call]
    batch = coremltools.RangeDim(1, LARGEST_BATCH, default=1)
    model = coremltools.convert(
        traced, inputs=[coremltools.TensorType(name="crops", shape=(batch, *example.shape[1:]), dtype=np.float32)],
        outputs=[coremltools.TensorType(name="maps", dtype=np.float32)], convert_to="mlprogram",
        compute_precision=coremltools.precision.FLOAT16, minimum_deployment_target=coremltools.target.iOS16,
    )  # fmt: skip
    model.user_defined_metadata[HEADER] = header
    model.save(str(path))


def _check_coreml(path: Path, spec: ModelSpec) -> None:
    """Raise PoseError unless the file takes and gives what it should, in float32, and carries the spec."""
    import coremltools

    described = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec().description
    [given], [made] = described.input, described.output
    shape = [(d.lowerBound, d.upperBound) for d in given.type.multiArrayType.shapeRange.sizeRanges]
    wanted = [(1, LARGEST_BATCH), *((n, n) for n in (3, *spec.input_size))]
    float32 = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    types = [f.type.multiArrayType.dataType for f in (given, made)]
    right = (given.name, made.name, shape, types) == ("crops", "maps", wanted, [float32, float32])
    if not right or spec_of(json.loads(described.metadata.userDefined[HEADER]), path) != spec:
        raise PoseError(f"{path.name} does not say of itself what it should; it was not kept.")
