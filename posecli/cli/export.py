"""posecli export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.engines.estimator import Estimator
    from posecli.export.quantise import Scores


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="small, base, or a checkpoint file.")
    ] = "small",
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="onnx, openvino, torch, litert or coreml. web: a web page that runs the network in the browser.",
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Output file. For web: a folder. Default: MODEL.onnx, .xml, .pt2, .tflite or .mlpackage; for web: site.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option(
            help="With web: the engine in the browser, onnx (onnxruntime-web) or litert (LiteRT.js)."
        ),
    ] = "onnx",
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Quantise to 8-bit integers. Faster on most CPUs, a little less accurate."
        ),
    ] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(help="With --int8: labelled people to calibrate and score on, as in `posecli eval`."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos of --data. Default: next to the label file.")
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Export a keypoint network to ONNX, OpenVINO, LiteRT, Core ML or the browser.

    The heatmaps are compared with those of PyTorch first. `posecli run --model FILE` uses the exported file: it
    holds the skeleton and the preprocessing.

    [bold]Examples[/bold]

      posecli export small --format onnx
      posecli export mine.safetensors --format openvino --out mine.xml
      posecli export mine.safetensors -f openvino --int8 --data coco:train.json
      posecli export small --format litert --out small.tflite
      posecli export small --format web --out site
    """  # fmt: skip
    from posecli.cli import console
    from posecli.engines import exported
    from posecli.engines.check import FARTHEST
    from posecli.engines.load import load_estimator
    from posecli.errors import PoseError
    from posecli.files import check_free

    if format == "web":
        if runtime not in ("onnx", "litert"):
            raise typer.BadParameter("--runtime is onnx or litert.")
        _to_web(model, out or Path("site"), runtime, overwrite, quiet)
        return
    if format not in exported.FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(exported.FORMATS)}, web.")
    suffix = exported.FORMATS[format]
    path = out or Path(Path(model).stem + suffix)
    if path.suffix != suffix:
        raise typer.BadParameter(
            f"A file of the format {format} ends in {suffix}: --out {path.stem}{suffix}."
        )
    check_free([path], overwrite)
    if not path.parent.is_dir():
        raise PoseError(f"There is no folder {path.parent}; make it first.")
    estimator = load_estimator(model, "cpu", backend="torch")
    if int8:
        scores = _to_int8(estimator, path, model, data or [], images, quiet)
        lost = f"PCK@0.2 of {scores.people} people {scores.before:.4f} before, {scores.after:.4f} after"
        console.tell(
            f"{path}: {_megabytes(path):.1f} MB; {lost}; confident joints move by up to {scores.moved:.2f} px.",
            quiet,
        )
        if scores.moved > FARTHEST:
            console.tell(
                f"Warning: that is more than {FARTHEST:.0f} px, so `run` does not use it automatically.",
                quiet,
            )
        return
    gap = exported.export(estimator, path)
    checked = (
        "not run: that only works on Apple's machines"
        if gap is None
        else f"heatmaps agree with torch's to {gap:.1g}"
    )
    console.tell(f"{path}: {_megabytes(path):.1f} MB, {checked}.", quiet)


def _to_web(model: str, folder: Path, runtime: str, overwrite: bool, quiet: bool) -> None:
    from posecli.cli import console
    from posecli.engines.load import load_estimator
    from posecli.errors import PoseError
    from posecli.export.web import RUNTIMES, export_web

    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise PoseError(f"{folder} is not empty; choose another --out or add --overwrite.")
    files = export_web(load_estimator(model, "cpu", backend="torch"), folder, runtime)
    name, beside = RUNTIMES[runtime]
    megabytes = sum(f.stat().st_size for f in files) / 1e6
    console.tell(
        f"{folder}: {len(files)} files, {megabytes:.1f} MB. Put the files of {name} into {folder / beside}; "
        f"docs/export.md has the command.",
        quiet,
    )


def _to_int8(
    estimator: Estimator, path: Path, model: str, data: list[str], images: Path | None, quiet: bool
) -> Scores:
    from posecli.cli import console
    from posecli.data.people import joined
    from posecli.data.read import read_people
    from posecli.export.quantise import export_int8
    from posecli.files import sha256
    from posecli.models import weights

    if not data:
        raise typer.BadParameter("--int8 needs labelled people to calibrate and score on: add --data.")
    people = joined([read_people(d, images) for d in data])
    origin = sha256(weights.find_model(model))
    with console.steps("scoring", "photos", quiet) as step:
        return export_int8(estimator, path, people, origin, step)


def _megabytes(path: Path) -> float:
    """Size of an exported network with all its files."""
    files = path.rglob("*") if path.is_dir() else {path, path.with_suffix(".bin")}
    return sum(p.stat().st_size for p in files if p.is_file()) / 1e6
