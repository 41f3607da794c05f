"""posecli train-detector"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_detector(
    annotations: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATIONS", help="COCO file with bounding boxes. The photos are in images/ next to it."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints and logs.", rich_help_panel="Output")
    ],
    init: Annotated[
        Path | None,
        typer.Option(
            help="Start from this detector: person, a .pt file, or a state dict of the same network."
        ),
    ] = None,
    arch: Annotated[str, typer.Option(help="Ultralytics network, such as yolov8n or yolo11n.")] = "yolov8n",
    size: Annotated[
        int, typer.Option(min=32, help="Size of the training pictures: the longer side in pixels.")
    ] = 416,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs.")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Batch size.")] = 16,
    rate: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1e-3,
    lspet: Annotated[
        int,
        typer.Option(min=0, help="Add N photos of LSP-extended, half of them rotated. Only with --init."),
    ] = 2500,
    mosaic: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of training pictures made of four photos (mosaic). 0 in the last fifth of the training.",
        ),
    ] = 1.0,
    init_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Average the learned weights with this share of --init."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last epoch in --out.")] = False,
) -> None:
    """Train the person detector, an ultralytics YOLO with one class: person.

    [bold]Example[/bold]

      posecli train-detector people/train.json --out runs/detector --epochs 16
    """  # fmt: skip
    from posecli.errors import PoseError
    from posecli.models.weights import find_detector
    from posecli.training.detector import DetectorRecipe, train_detector
    from posecli.training.report import check_new_run

    if not annotations.is_file():
        raise PoseError(f"There is no annotation file {annotations}.")
    check_new_run(out, resume)
    out.mkdir(parents=True, exist_ok=True)
    recipe = DetectorRecipe(
        architecture=arch.removesuffix(".yaml"),
        size=size,
        epochs=epochs,
        batch=batch,
        rate=rate,
        lspet=lspet,
        mosaic=mosaic,
        seed=seed,
        init_share=init_share,
    )
    print(train_detector(annotations, out, recipe, init and find_detector(str(init)), resume))
