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
            metavar="SOURCE",
            help="Video, folder of videos or photos, glob of photos, camera number (0 is the first), rtsp://, http:// or udp:// "
            "address, named pipe, or - for stdin. Can be repeated.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The annotated video. For several sources: a folder. Default: SOURCE.pose.mp4.",
            rich_help_panel=o.MOST_USED,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite existing files.", rich_help_panel=o.MOST_USED)
    ] = False,
    start: Annotated[
        float | None,
        typer.Option(min=0.0, help="Start at this time, in seconds.", rich_help_panel=o.MOST_USED),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop before this time, in seconds.", rich_help_panel=o.MOST_USED),
    ] = None,
    people: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of people in the whole clip. At the end, the tracks are joined into this many people (see retrack).",
            rich_help_panel=o.MOST_USED,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Annotate only these people: largest, longest (on screen), centre, track IDs such as 1,4, or whoever is at "
            "x,y@seconds, such as 320,240@1.5.",
            rich_help_panel=o.MOST_USED,
        ),
    ] = None,
    of: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="With --select: the earlier result (JSON) that the track IDs come from.",
            rich_help_panel=o.MOST_USED,
        ),
    ] = None,
    repair_sides: Annotated[
        bool,
        typer.Option(
            "--repair-sides",
            help="Undo left/right swaps at the end of the run.",
            rich_help_panel=o.MOST_USED,
        ),
    ] = False,
    angles: Annotated[
        str | None,
        typer.Option(
            help="Also write these angles as CSV, such as knee,hip,trunk (see measure).",
            rich_help_panel=o.MOST_USED,
        ),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Also write an HTML page with video and curves.", rich_help_panel=o.MOST_USED
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue an interrupted run.", rich_help_panel=o.OUTPUT),
    ] = False,
    video: Annotated[
        bool, typer.Option("--video/--no-video", help="Write the annotated video.", rich_help_panel=o.OUTPUT)
    ] = True,
    csv: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="CSV file. Default: next to the video.", rich_help_panel=o.OUTPUT),
    ] = None,
    no_csv: Annotated[bool, typer.Option("--no-csv", help="Write no CSV.", rich_help_panel=o.OUTPUT)] = False,
    csv_layout: Annotated[
        str,
        typer.Option(
            help="wide: one row per person and frame. long: one row per joint.", rich_help_panel=o.OUTPUT
        ),
    ] = "wide",
    json: Annotated[
        Path | None,
        typer.Option(
            help="JSON file. NAME.jsonl writes JSON lines, - writes to stdout. Default: next to the video.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    no_json: Annotated[
        bool, typer.Option("--no-json", help="Write no JSON.", rich_help_panel=o.OUTPUT)
    ] = False,
    skeleton: o.SkeletonName = None,
    events: Annotated[
        str | None,
        typer.Option(
            help="Count steps, jumps, repetitions or repetitions:elbow (see events), and mark them in the video.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
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
            help="With --also: allow formats that lose part of the data.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    quiet: o.Quiet = False,
    stride: Annotated[
        int, typer.Option(min=1, help="Use only every N-th frame.", rich_help_panel=o.INPUT)
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
            help="Video stream of the file, counted from 0. Default: the best one.",
            rich_help_panel=o.INPUT,
        ),
    ] = None,
    max_people: o.MaxPeople = None,
    no_tracking: Annotated[
        bool, typer.Option("--no-tracking", help="Assign no track IDs.", rich_help_panel=o.PEOPLE)
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
            help="Video codec: h264, h265, av1, hardware (H.264 on the graphics chip), or an ffmpeg encoder such as h264_nvenc.",
            rich_help_panel=o.VIDEO,
        ),
    ] = "h264",
    crf: Annotated[
        int,
        typer.Option(
            min=0,
            max=51,
            help="Video quality. A lower number gives a better picture and a larger file.",
            rich_help_panel=o.VIDEO,
        ),
    ] = 20,
    preset: Annotated[
        str,
        typer.Option(
            help="Speed of the video encoder, from ultrafast to veryslow. Slower gives smaller files.",
            rich_help_panel=o.VIDEO,
        ),
    ] = "veryfast",
    view: Annotated[
        bool,
        typer.Option("--view", help="Show the frames in a window. Press q to stop.", rich_help_panel=o.LIVE),
    ] = False,
    duration: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop this many seconds after the first frame.", rich_help_panel=o.LIVE),
    ] = None,
    smooth: Annotated[
        bool,
        typer.Option(
            "--smooth",
            help="Smooth the joints of a camera or stream live (One-Euro filter).",
            rich_help_panel=o.LIVE,
        ),
    ] = False,
    send: o.Send = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Process N clips at the same time.", rich_help_panel=o.MANY)
    ] = 1,
    engine: Annotated[
        str,
        typer.Option(
            help="Where the clips are processed: local, or ray[:ADDRESS] for a Ray cluster.",
            rich_help_panel=o.MANY,
        ),
    ] = "local",
    detect_every: Annotated[
        str,
        typer.Option(
            help="Run the person detector on every N-th frame. auto: four times a second.",
            rich_help_panel=o.ADVANCED,
        ),
    ] = "auto",
    batch_size: o.BatchSize = 16,
    *,
    drawing: Drawing,
) -> None:
    """Annotate a video, photos, a camera or a stream, and write every joint as CSV and JSON.

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
      posecli run class.mp4 --select 3 --of class.pose.json --out third.mp4
      posecli run duet.mp4 --people 2 --repair-sides --report --angles knee,hip
    """  # fmt: skip
    if duration is not None and end is not None:
        raise typer.BadParameter("Give only one of --end and --duration.")
    if start is not None and end is not None and end <= start:
        raise typer.BadParameter(f"--end {end} does not come after --start {start}.")
    if csv_layout not in ("wide", "long"):
        raise typer.BadParameter("--csv-layout must be wide or long.")
    nominal, every = parse_rate(rate), parse_every(detect_every)
    several = several_sources(sources)
    if of is not None and (select is None or several is not None):
        raise typer.BadParameter("--of needs --select and a single source.")
    if engine != "local" and engine.partition(":")[0] != "ray":
        raise typer.BadParameter(f"--engine {engine} is neither local nor ray or ray:ADDRESS.")
    many = workers > 1 or engine != "local"
    if many and (several is None or view):
        raise typer.BadParameter("--workers and --engine need several sources, and no --view.")
    if several is not None and (csv is not None or json is not None):
        raise typer.BadParameter(
            "--csv and --json are for a single source; for several sources, give --out FOLDER."
        )
    if several is not None and send:
        raise typer.BadParameter("--send is for a single source.")
    from posecli.engines.load import Networks

    networks = Networks(device, model, detector, flip_test, batch_size, box_confidence, backend)
    if not many:
        networks.begin()  # in a thread: the imports below take as long
    from posecli.api import write_poses
    from posecli.cli.following import on_terminal, show_summary
    from posecli.followup import FollowUp
    from posecli.output import record as recording
    from posecli.output.names import output_of
    from posecli.pipeline.choices import Choices

    choices = Choices(
        box_confidence=box_confidence, max_people=max_people, detect_every=every,
        tracking=not no_tracking, select=select, select_of=None if of is None else str(of), skeleton=skeleton, start=start, end=end, stride=stride,
        duration=duration,
        keep_heatmaps=show_heatmaps or heatmap_joints is not None,
    )  # fmt: skip
    further = FollowUp(
        people, repair_sides, angles, events, report, tuple(listed(also)), lossy,
    )  # fmt: skip

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
    if several is None:
        work(sources[0], outputs_at(output_of(sources[0], out)))
    else:
        work_through(several, out, outputs_at, work, overwrite, quiet)


def parse_every(text: str) -> int | None:
    """ "auto" or a number of frames from 1 on."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--detect-every {text} is neither auto nor a whole number above 0.")
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
        raise typer.BadParameter(f"--rate {text} is not a frame rate, such as 25 or 30000/1001.")
    return rate
