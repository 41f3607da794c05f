"""Options that several commands share, with their panels on the help pages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

import typer

from posecli.defaults import KEYPOINT_CONFIDENCE
from posecli.lists import listed

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_USED, INPUT, OUTPUT, PEOPLE, NETWORK = "Most used", "Input", "Output", "People", "Network"
DATA, TIMING = "Data", "What to time"
DRAWING, PARTS, VIDEO = "Drawing", "Parts of the drawing", "Video file"
LIVE, ADVANCED, MANY = "Live", "Advanced", "Many clips"

Device = Annotated[
    str, typer.Option(help="Where the networks run: auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=NETWORK)
]
Backend = Annotated[
    str,
    typer.Option(
        help="Engine: auto, torch, torch-half (16-bit), openvino, openvino-int8 or onnx (the last three on a CPU). "
        "auto takes the fastest one that gives the same joints.",
        rich_help_panel=NETWORK,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Keypoint network: small, base, a name from `posecli weights list`, or a file.",
        rich_help_panel=NETWORK,
    ),
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
        help="Look at each person a second time, mirrored, and average. Slower, a little more accurate.",
        rich_help_panel=NETWORK,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        min=1, help="Number of people that the network processes at once.", rich_help_panel=ADVANCED
    ),
]
BoxConfidence = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Ignore people with a lower detection confidence.", rich_help_panel=PEOPLE
    ),
]
MaxPeople = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Keep only the N people with the highest detection confidence in each frame.",
        rich_help_panel=PEOPLE,
    ),
]
SkeletonName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--skeleton",
        help="Set of joints to write: body23, body19, coco17, mpii16 or lsp14. Default: every joint of the network.",
        rich_help_panel=OUTPUT,
    ),
]
ShowHeatmaps = Annotated[
    bool,
    typer.Option(
        "--show-heatmaps", help="Draw the heatmaps of all joints over the picture.", rich_help_panel=DRAWING
    ),
]
HeatmapJoints = Annotated[
    str | None,
    typer.Option(
        help="Draw the heatmaps of these joints only, such as left_wrist,nose.", rich_help_panel=DRAWING
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Overwrite existing files.", rich_help_panel=OUTPUT)
]
Result = Annotated[Path, typer.Argument(metavar="RESULT", help="The .json or .jsonl file of a run.")]
SourceVideo = Annotated[
    Optional[Path],  # noqa: UP045 - Typer reads it
    typer.Option(help="The source video. With it, a new annotated video is written."),
]
JsonOnStdout = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Tracks = Annotated[
    Optional[list[int]],  # noqa: UP045 - Typer reads it
    typer.Option(help="Use only the person with this track ID. Can be repeated.", rich_help_panel=PEOPLE),
]
Send = Annotated[
    Optional[list[str]],  # noqa: UP045 - Typer reads it
    typer.Option(
        "--send",
        metavar="ADDRESS",
        help="Send the joints of every frame immediately to osc://HOST:PORT or udp://HOST:PORT (JSON lines), or serve them "
        "at ws://HOST:PORT. Can be repeated.",
        rich_help_panel=LIVE,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress bar and no summary.", rich_help_panel=OUTPUT)
]


def metres_tall(height: float) -> float:
    """Check a body height in metres. Raises BadParameter if it looks like centimetres."""
    if height > 3:
        raise typer.BadParameter(f"--scale-from-height is in metres, such as 1.80; {height:g} m is too tall.")
    return height


def drawing(    colours: Annotated[
        str,
        typer.Option(
            help="sides: left and right in two colours. people: one colour for each person.", rich_help_panel=DRAWING
        ),
    ] = "sides",
    line_width: Annotated[
        float,
        typer.Option(min=0.1, max=10.0, help="Line width: 2 doubles it, 0.5 halves it.", rich_help_panel=DRAWING),
    ] = 1.0,
    boxes: Annotated[
        bool, typer.Option("--boxes/--no-boxes", help="Draw the bounding boxes.", rich_help_panel=PARTS)
    ] = True,
    labels: Annotated[
        bool,
        typer.Option("--labels/--no-labels", help="Draw track IDs or names.", rich_help_panel=PARTS),
    ] = True,
    skeletons: Annotated[
        bool, typer.Option("--skeletons/--no-skeletons", help="Draw the skeletons.", rich_help_panel=PARTS)
    ] = True,
    keypoint_confidence: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Draw joints with a lower confidence as hollow circles. The data files always hold all joints.",
            rich_help_panel=DRAWING,
        ),
    ] = KEYPOINT_CONFIDENCE,
    trails: Annotated[
        str | None,
        typer.Option(help="Draw the paths of these joints, such as left_wrist,nose.", rich_help_panel=DRAWING),
    ] = None,
    trail_seconds: Annotated[
        float, typer.Option(min=0.01, help="Length of these paths in seconds.", rich_help_panel=DRAWING)
    ] = 1.0,
    draw_angles: Annotated[
        str | None,
        typer.Option(
            help="Draw these angles in degrees: knee, hip, elbow, shoulder, ankle, or one side, such as left_knee.",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    horizontal: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Draw a horizontal line at this y in pixels, counted from the top.",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    blur_faces: Annotated[
        bool,
        typer.Option(
            "--blur-faces",
            help="Blur the faces of all detected people. Faces of people that were not detected are not blurred: check "
            "the result.",
            rich_help_panel=DRAWING,
        ),
    ] = False,
    black: Annotated[
        bool, typer.Option("--black", help="Draw on a black background instead of the picture.", rich_help_panel=DRAWING)
    ] = False,
) -> Drawing:  # fmt: skip
    """The drawing options of every command that draws."""
    from posecli.draw.skeleton import Drawing

    if colours not in ("sides", "people"):
        raise typer.BadParameter("--colours must be sides or people.")
    joints, angles = tuple(listed(trails)), tuple(listed(draw_angles))
    return Drawing(
        colours, line_width, boxes, labels, skeletons, keypoint_confidence,  # type: ignore[arg-type]
        trails=joints, trail_seconds=trail_seconds, angles=angles, horizontal=horizontal, blur_faces=blur_faces,
        black=black,
    )  # fmt: skip


def page(command: Callable[..., Any]) -> dict[str, Any]:
    """The help page of a command for Typer, from its docstring. The examples become the epilog."""
    text, heading, examples = inspect.cleandoc(command.__doc__ or "").partition("[bold]Example")
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
    lines = (line.strip() for line in (heading + examples).splitlines())
    return {"help": "\n\n".join(paragraphs), "epilog": "\n".join(lines)}


def takes(group: Callable[..., Any], without: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Decorator that adds a group of options to a command.

    group: a function whose parameters are the options. The command receives its return value, in the parameter with
    the name of the group. without: options of the group to leave out.
    """

    def decorate(command: Command) -> Command:
        name = group.__name__
        own = inspect.signature(command)
        parameters = [_evaluated(p, command) for p in own.parameters.values() if p.name != name]
        offered = [_evaluated(p, group) for p in inspect.signature(group).parameters.values()]
        offered = [p for p in offered if p.name not in without]

        @functools.wraps(command)
        def with_group(*args: Any, **given: Any) -> Any:
            made = group(**{p.name: given.pop(p.name) for p in offered if p.name in given})
            return command(*args, **given, **{name: made})

        merged = [*parameters, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in offered)]
        with_group.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
        with_group.__annotations__ = {p.name: p.annotation for p in merged}
        return with_group  # type: ignore[return-value]

    return decorate


def _evaluated(parameter: inspect.Parameter, function: Callable[..., Any]) -> inspect.Parameter:
    """The parameter with its annotation evaluated, because Typer reads the annotation object."""
    annotation = parameter.annotation
    if isinstance(annotation, str):
        annotation = eval(annotation, function.__globals__)
    return parameter.replace(annotation=annotation)
