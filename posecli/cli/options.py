"""Options that several commands share, each declared once, in the panels of their help pages."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

INPUT, OUTPUT, PEOPLE, NETWORK = "Input", "Output", "People", "Network"
DRAWING, LIVE, ADVANCED, MANY = "Drawing", "Live", "Advanced", "Many clips"

Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=NETWORK)]
Backend = Annotated[
    str,
    typer.Option(
        help="Engine: torch, torch-half (16-bit), or on a CPU openvino, openvino-int8 or onnx. "
        "auto takes the fastest that gives the same joints.",
        rich_help_panel=NETWORK,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Keypoint network: small, base, or a checkpoint file.", rich_help_panel=NETWORK),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector", help="Person detector: person, or an ultralytics .pt file.", rich_help_panel=NETWORK
    ),
]
FlipTest = Annotated[
    bool,
    typer.Option(
        "--flip-test",
        help="Average with the mirrored crop: slower, a little more accurate.",
        rich_help_panel=NETWORK,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="How many crops the network takes at once.", rich_help_panel=ADVANCED)
]
BoxConfidence = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Detection confidence from which a box is a person.", rich_help_panel=PEOPLE
    ),
]
MaxPeople = Annotated[
    int | None,
    typer.Option(min=1, help="Keep only the N most confident people of a frame.", rich_help_panel=PEOPLE),
]
SkeletonName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--skeleton", help="Joints to write: body19, coco17, mpii16 or lsp14.", rich_help_panel=OUTPUT
    ),
]
KeypointConfidence = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Joints with less confidence are drawn hollow. The data has all joints.",
        rich_help_panel=DRAWING,
    ),
]  # fmt: skip
ShowHeatmaps = Annotated[
    bool, typer.Option("--show-heatmaps", help="Draw the heatmaps of all joints.", rich_help_panel=DRAWING)
]
HeatmapJoints = Annotated[
    str | None,
    typer.Option(
        help="Draw the heatmaps of these joints only, such as left_wrist,nose.", rich_help_panel=DRAWING
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.", rich_help_panel=OUTPUT)
]
