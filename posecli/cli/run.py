"""posecli run"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from posecli.cli import options as o
from posecli.cli.several import forwarded, several_sources, work_at_once, work_through
from posecli.defaults import BOX_CONFIDENCE
from posecli.lists import listed

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing


@o.takes(o.drawing)
def run(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Videos, folders of videos or photos, a glob of photos, a camera number, an rtsp://, http:// or udp:// address, "
            "a named pipe, or - for stdin.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The annotated video; for several sources a folder. Default: SOURCE.pose.mp4.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a run that was interrupted.", rich_help_panel=o.OUTPUT),
    ] = False,
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="Write the annotated video.", rich_help_panel=o.OUTPUT)
    ] = True,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="CSV file. Default: beside the video.", rich_help_panel=o.OUTPUT),
    ] = None,
    no_csv: Annotated[bool, typer.Option("--no-csv", help="Write no CSV.", rich_help_panel=o.OUTPUT)] = False,
    csv_layout: Annotated[
        str,
        typer.Option(help="wide: a row per person. long: a row per joint.", rich_help_panel=o.OUTPUT),
    ] = "wide",
    json: Annotated[
        Path | None,
        typer.Option(
            help="JSON file. Ends in .jsonl: JSON lines. -: stdout. Default: beside the video.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    no_json: Annotated[
        bool, typer.Option("--no-json", help="Write no JSON.", rich_help_panel=o.OUTPUT)
    ] = False,
    skeleton: o.SkeletonName = None,
    angles: Annotated[
        str | None,
        typer.Option(
            help="Also write these angles as CSV, such as knee,hip,trunk (see measure).",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            help="At the end, write and draw steps, jumps, repetitions or repetitions:elbow (see events).",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Also write an HTML page with video and curves.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    also: Annotated[
        str | None,
        typer.Option(
            help="Also write these formats, such as parquet,coco (see convert).", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy",
            help="With --also: write formats that cannot hold everything.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    quiet: o.Quiet = False,
    start: Annotated[
        float | None,
        typer.Option(min=0.0, help="Start at this time of the source, in seconds.", rich_help_panel=o.INPUT),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Stop before this time of the source, in seconds.", rich_help_panel=o.INPUT
        ),
    ] = None,
    stride: Annotated[
        int, typer.Option(min=1, help="Take only every N-th frame.", rich_help_panel=o.INPUT)
    ] = 1,
    rate: Annotated[
        str | None,
        typer.Option(
            help="Frame rate of a folder of photos, such as 10 or 30000/1001. Default: 25.",
            rich_help_panel=o.INPUT,
        ),
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Take this video stream of the file, counted from 0. Default: the best one.",
            rich_help_panel=o.INPUT,
        ),
    ] = None,
    max_people: o.MaxPeople = None,
    people: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="There are exactly N people: at the end, decide who is who (see retrack).",
            rich_help_panel=o.PEOPLE,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Only these people get joints: largest, longest, centre, track IDs such as 1,4, or a place such as "
            "320,240@1.5. The detector looks through the whole source first.",
            rich_help_panel=o.PEOPLE,
        ),
    ] = None,
    of: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="With --select: take the track IDs of this earlier result.", rich_help_panel=o.PEOPLE
        ),
    ] = None,
    repair_sides: Annotated[
        bool,
        typer.Option(
            "--repair-sides",
            help="At the end, undo left/right swaps that make paths jump.",
            rich_help_panel=o.PEOPLE,
        ),
    ] = False,
    no_tracking: Annotated[
        bool, typer.Option("--no-tracking", help="Give no track IDs.", rich_help_panel=o.PEOPLE)
    ] = False,
    box_confidence: o.BoxConfidence = BOX_CONFIDENCE,
    model: o.Model = None,
    detector: o.DetectorName = None,
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    flip_test: o.FlipTest = False,
    show_heatmaps: o.ShowHeatmaps = False,
    heatmap_joints: o.HeatmapJoints = None,
    codec: Annotated[
        str,
        typer.Option(
            help="h264, h265, av1, hardware (H.264 by the graphics chip), or an ffmpeg encoder such as h264_nvenc.",
            rich_help_panel=o.DRAWING,
        ),
    ] = "h264",
    crf: Annotated[
        int,
        typer.Option(
            min=0,
            max=51,
            help="Video quality: a lower number is better and larger.",
            rich_help_panel=o.DRAWING,
        ),
    ] = 20,
    preset: Annotated[
        str, typer.Option(help="Speed of x264, from ultrafast to veryslow.", rich_help_panel=o.DRAWING)
    ] = "veryfast",
    view: Annotated[
        bool, typer.Option("--view", help="Show the frames in a window. q stops.", rich_help_panel=o.LIVE)
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop so many seconds after the first frame.", rich_help_panel=o.LIVE),
    ] = None,
    smooth: Annotated[
        bool,
        typer.Option(
            "--smooth",
            help="Smooth the joints of a camera or stream as they come (One-Euro filter).",
            rich_help_panel=o.LIVE,
        ),
    ] = False,
    send: o.Send = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Work on N clips at the same time.", rich_help_panel=o.MANY)
    ] = 1,
    engine: Annotated[
        str,
        typer.Option(help="local, or ray[:ADDRESS] for a Ray cluster.", rich_help_panel=o.MANY),
    ] = "local",
    detect_every: Annotated[
        str,
        typer.Option(
            help="Detect people in every N-th frame, and wherever two detections disagree. auto: four times a second.",
            rich_help_panel=o.ADVANCED,
        ),
    ] = "auto",
    batch_size: o.BatchSize = 16,
    *,
    drawing: Drawing,
) -> None:
    """Find people in a video, photos, a camera or a stream, and write the annotated video and every joint.

    [bold]Examples[/bold]

      posecli run clip.mp4
      posecli run clip.mp4 --out marked.mp4 --skeleton coco17
      posecli run clip.mp4 --no-video --json - | jq '.frames[0]'
      posecli run photos/ --out photos.mp4
      posecli run clips/ --out results/ --workers 4
      posecli run long.mp4 --resume
      posecli run 0 --duration 60 --out camera.mp4
      posecli run 0 --send osc://127.0.0.1:9000
      posecli run class.mp4 --select largest
      posecli run class.mp4 --select 3 --of class.pose.json --flip-test --out third.mp4
      posecli run class.mp4 --people 2 --repair-sides --report --angles knee,hip
    """  # fmt: skip
    from posecli.api import write_poses
    from posecli.cli.following import on_terminal, show_summary
    from posecli.engines.load import Networks
    from posecli.followup import FollowUp
    from posecli.output import record as recording
    from posecli.output.names import output_of
    from posecli.pipeline.choices import Choices

    if duration is not None and end is not None:
        raise typer.BadParameter("--end and --duration both say when to stop; give one of them.")
    if start is not None and end is not None and end <= start:
        raise typer.BadParameter(f"--end {end} does not come after --start {start}.")
    if csv_layout not in ("wide", "long"):
        raise typer.BadParameter("--csv-layout is wide or long.")
    nominal = parse_rate(rate)
    choices = Choices(
        box_confidence=box_confidence, max_people=max_people, detect_every=parse_every(detect_every),
        tracking=not no_tracking, select=select, select_of=None if of is None else str(of), skeleton=skeleton, start=start, end=end, stride=stride,
        duration=duration,
        keep_heatmaps=show_heatmaps or heatmap_joints is not None,
    )  # fmt: skip
    further = FollowUp(
        people, repair_sides, angles, events, report, tuple(listed(also)), lossy,
    )  # fmt: skip
    several = several_sources(sources)
    if of is not None and (select is None or several is not None):
        raise typer.BadParameter("--of says whose numbers --select means, of a single source.")
    if engine != "local" and engine.partition(":")[0] != "ray":
        raise typer.BadParameter(f"--engine {engine} is neither local nor ray or ray:ADDRESS.")
    many = workers > 1 or engine != "local"
    if many and (several is None or view):
        raise typer.BadParameter("--workers and --engine are for several sources, and without --view.")
    if several is not None and (csv is not None or json is not None):
        raise typer.BadParameter("--csv and --json name one file; several sources take --out FOLDER.")
    if several is not None and send:
        raise typer.BadParameter("--send is for a single source.")

    def outputs_at(target: Path) -> recording.Outputs:
        return recording.Outputs(
            video=target if video else None,
            csv=None if no_csv else csv or target.with_suffix(".csv"),
            json=None if no_json else json or target.with_suffix(".json"),
            csv_layout=csv_layout,  # type: ignore[arg-type]
        )

    style = recording.Style(drawing, codec, crf, preset)

    def work(source: str, outputs: recording.Outputs) -> None:
        summary = write_poses(
            source, outputs, choices, networks, style, further, rate=nominal, stream=stream, smooth=smooth, send=send or (), overwrite=overwrite,
            # Of several sources only some were begun.
            resume=resume and (several is None or outputs.partial.is_dir()),
            heatmap_joints=heatmap_joints or "all", watch=on_terminal(quiet, window),
        )  # fmt: skip
        show_summary(summary, quiet)

    if many and several is not None:
        arguments = forwarded(context)
        work_at_once(several, out, outputs_at, arguments, workers, engine, overwrite, resume, quiet)
        return
    window = None
    if view:
        from posecli.cli.window import Window

        window = Window()
    networks = Networks(device, model, detector, flip_test, batch_size, box_confidence, backend)
    if several is None:
        work(sources[0], outputs_at(output_of(sources[0], out)))
    else:
        work_through(several, out, outputs_at, work, overwrite, quiet)


def parse_every(text: str) -> int | None:
    """ "auto" or a number of frames from 1 on."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--detect-every {text} is neither auto nor a number of frames from 1 on.")
    return int(text)


def parse_rate(text: str | None) -> Fraction | None:
    """ "25", "29.97" or "30000/1001" -> pictures a second."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise typer.BadParameter(
            f"--rate {text} is no rate; give pictures a second, such as 25 or 30000/1001."
        )
    return rate
