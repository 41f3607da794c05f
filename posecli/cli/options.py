"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Backend = Annotated[
    str,
    typer.Option(
        help="What runs the networks: torch, torch-half (16-bit floats), on a CPU also openvino, openvino-int8 or "
        "onnx; auto takes the fastest that gives the same joints."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Keypoint network: a shipped name (see `posecli info`) or a file.")
]
DetectorName = Annotated[
    str | None,
    typer.Option("--detector", help="Person detector: a shipped name or an ultralytics .pt file."),
]
BoxConfidence = Annotated[float, typer.Option(min=0.0, max=1.0, help="Boxes scored lower are no people.")]
KeypointConfidence = Annotated[
    float, typer.Option(min=0.0, max=1.0, help="Joints below it are drawn hollow; the data keeps all.")
]
MaxPeople = Annotated[int | None, typer.Option(min=1, help="Keep only so many people a frame, the surest.")]
SkeletonName = Annotated[Optional[str], typer.Option("--skeleton", help="body19, coco17, mpii16 or lsp14.")]  # noqa: UP045
FlipTest = Annotated[
    bool, typer.Option("--flip-test", help="Average with the mirrored crop: slower, a little more accurate.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Crops that the network takes at once.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
ShowHeatmaps = Annotated[
    bool, typer.Option("--show-heatmaps", help="Lay the heatmaps of all joints over the people.")
]
HeatmapJoints = Annotated[
    str | None, typer.Option(help="Show the heatmaps of these joints only, such as left_wrist,nose.")
]
