"""posecli export"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o


def export(
    model: Annotated[str, typer.Argument(help="A shipped name or a file.")] = "small",
    format: Annotated[str, typer.Option("--format", "-f", help="onnx, openvino or torch.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: MODEL.onnx, MODEL.xml or MODEL.pt2 here.")
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a keypoint network for another engine; its heatmaps are compared with torch's before it is kept.

    `posecli run --model FILE` runs what is written; skeleton and preprocessing are inside.

    [bold]Examples[/bold]

      posecli export small --format onnx
      posecli export mine.safetensors --format openvino --out mine.xml
    """  # fmt: skip
    from posecli import api, exported
    from posecli.cli import console
    from posecli.errors import PoseError

    if format not in exported.FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(exported.FORMATS)}.")
    suffix = exported.FORMATS[format]
    path = out or Path(Path(model).stem + suffix)
    if path.suffix != suffix:
        raise typer.BadParameter(
            f"A file of the format {format} ends in {suffix}: --out {path.stem}{suffix}."
        )
    if path.exists() and not overwrite:
        raise PoseError(f"{path} exists already; choose another name or add --overwrite.")
    if not path.parent.is_dir():
        raise PoseError(f"There is no folder {path.parent}; make it first.")
    estimator = api.load_estimator(model, "cpu", backend="torch")
    gap = exported.export(estimator, path)
    console.tell(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, heatmaps agree with torch's to {gap:.1g}.", quiet
    )
