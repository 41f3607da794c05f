"""posecli run"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from posecli.cli import options as o
from posecli.cli.several import (
    default_output,
    forwarded,
    several_sources,
    work_at_once,
    work_through,
)
from posecli.defaults import BOX_CONFIDENCE, KEYPOINT_CONFIDENCE

if TYPE_CHECKING:
    from posecli.cli.window import Window
    from posecli.detect import Detector
    from posecli.estimate import Estimator
    from posecli.record import Summary
    from posecli.types import FramePoses, Seen


def run(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Video file, folder of videos, folder or glob of photos, camera number, or rtsp:// or http:// "
            "address. Several are worked on one after the other.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The annotated video; a folder for several. Default: SOURCE.pose.mp4 beside the source.",
        ),
    ] = None,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write the annotated video.")] = True,
    csv: Annotated[Optional[Path], typer.Option(help="CSV file. Default: like --out, .csv.")] = None,  # noqa: UP045
    no_csv: Annotated[bool, typer.Option("--no-csv", help="Write no CSV.")] = False,
    json: Annotated[
        Path | None,
        typer.Option(help="JSON file (.jsonl for JSON lines, - for stdout). Default: like --out, .json."),
    ] = None,
    no_json: Annotated[bool, typer.Option("--no-json", help="Write no JSON.")] = False,
    csv_layout: Annotated[
        str, typer.Option(help="wide (a row per person) or long (a row per joint).")
    ] = "wide",
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    model: o.Model = None,
    detector: o.DetectorName = None,
    detect_every: Annotated[
        str,
        typer.Option(
            help="Look for people every so many frames, and in between where two looks do not agree. auto: five "
            "times a second."
        ),
    ] = "auto",
    box_confidence: o.BoxConfidence = BOX_CONFIDENCE,
    keypoint_confidence: o.KeypointConfidence = KEYPOINT_CONFIDENCE,
    max_people: o.MaxPeople = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Only these people go through the network: largest, longest, centre, or numbers such as 1,4. The "
            "detector looks through the whole source first."
        ),
    ] = None,
    of: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="With --select: an earlier result of this source, whose people are meant."),
    ] = None,
    skeleton: o.SkeletonName = None,
    flip_test: o.FlipTest = False,
    show_heatmaps: o.ShowHeatmaps = False,
    heatmap_joints: o.HeatmapJoints = None,
    start: Annotated[
        float | None, typer.Option(min=0.0, help="Begin at this time of the source, in seconds.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(min=0.0, help="Stop before this time of the source, in seconds.")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop so many seconds after the first frame, for cameras and streams."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="Pictures a second of a folder of photos, such as 10 or 30000/1001. Default: 25."),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Take every so many frames.")] = 1,
    batch_size: o.BatchSize = 16,
    smooth: Annotated[
        bool,
        typer.Option(
            "--smooth",
            help="For cameras and streams: calm the joints as they come (One-Euro). For files: posecli smooth.",
        ),
    ] = False,
    no_tracking: Annotated[bool, typer.Option("--no-tracking", help="Do not follow people.")] = False,
    codec: Annotated[
        str,
        typer.Option(
            help="h264 (plays everywhere), h265, av1, hardware (H.264 on a card or chip, where there is one), or "
            "the name of one of ffmpeg's hardware encoders, such as h264_nvenc."
        ),
    ] = "h264",
    crf: Annotated[
        int, typer.Option(min=0, max=51, help="Quality of the video: lower is better and larger.")
    ] = 20,
    preset: Annotated[str, typer.Option(help="x264's preset: ultrafast to veryslow.")] = "veryfast",
    view: Annotated[
        bool,
        typer.Option("--view", help="Show the pictures in a window; q stops, and what was done is kept."),
    ] = False,
    people: Annotated[
        int | None,
        typer.Option(
            min=1, help="There are exactly so many: at the end it is decided who is who (see `retrack`)."
        ),
    ] = None,
    repair_sides: Annotated[
        bool,
        typer.Option(
            "--repair-sides", help="At the end exchange left and right where that makes paths smooth."
        ),
    ] = False,
    angles: Annotated[
        str | None, typer.Option(help="Also write these angles (see `measure`), such as knee,hip,trunk.")
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Also write the HTML page (see `report`).")
    ] = False,
    also: Annotated[
        str | None, typer.Option(help="Also write these formats (see `convert`), such as parquet,coco.")
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="With --also: go on where a format has no place for something.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Of several sources, work on so many at once.")] = 1,
    engine: Annotated[
        str, typer.Option(help="For several sources: local, or ray[:ADDRESS] for a Ray cluster.")
    ] = "local",
    overwrite: o.Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted or killed.")
    ] = False,
    quiet: o.Quiet = False,
) -> None:
    """Annotate a video (or photos, a camera, a stream) and write every joint of every frame.

    [bold]Examples[/bold]

      posecli run clip.mp4
      posecli run clip.mp4 --out marked.mp4 --skeleton coco17
      posecli run clip.mp4 --no-video --json - | jq '.frames[0]'
      posecli run photos/ --out photos.mp4
      posecli run clips/ --out results/ --workers 4
      posecli run long.mp4 --resume
      posecli run 0 --duration 60 --out camera.mp4
      posecli run class.mp4 --select largest
      posecli run class.mp4 --select 3 --of class.pose.json --flip-test --out third.mp4
      posecli run class.mp4 --people 2 --repair-sides --report --angles knee,hip
    """  # fmt: skip
    from posecli import record as recording
    from posecli.cli.afterwards import Afterwards
    from posecli.pipeline import Choices

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
    if show_heatmaps and (people is not None or repair_sides):
        raise typer.BadParameter(
            "--people and --repair-sides draw the video again, and heatmaps are not kept."
        )
    then = Afterwards(
        tuple(n.strip() for n in also.split(",") if n.strip()) if also else (),
        lossy, angles, report, people, repair_sides, keypoint_confidence,
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

    def outputs_at(target: Path) -> recording.Outputs:
        return recording.Outputs(
            video=target if video else None,
            csv=None if no_csv else csv or target.with_suffix(".csv"),
            json=None if no_json else json or target.with_suffix(".json"),
            csv_layout=csv_layout,  # type: ignore[arg-type]
        )

    def work(source: str, outputs: recording.Outputs) -> None:
        then.check(outputs, overwrite)
        summary = process(
            source, outputs, choices, networks, rate=nominal, overwrite=overwrite, quiet=quiet,
            # Of several sources only some were begun.
            resume=resume and (several is None or outputs.partial.is_dir()),
            heatmap_joints=heatmap_joints, keypoint_confidence=keypoint_confidence, codec=codec, crf=crf,
            preset=preset, window=window, smooth=smooth,
        )  # fmt: skip
        show_summary(summary, outputs, quiet)
        then.work(outputs, source, quiet)

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
        work(sources[0], outputs_at(out or default_output(sources[0])))
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


@dataclass(frozen=True)
class Networks:
    """Which networks to work with; loaded when the first source is open, and kept for the others."""

    device: str = "auto"
    model: str | None = None
    detector: str | None = None
    flip_test: bool = False
    batch_size: int = 16
    box_confidence: float = BOX_CONFIDENCE
    backend: str = "auto"

    @cached_property
    def loaded(self) -> tuple[Estimator, Detector]:
        from posecli import api
        from posecli.backends import leave_cores_to_openvino
        from posecli.devices import pick_device

        device = pick_device(self.device)
        estimator = api.load_estimator(
            self.model, device, flip_test=self.flip_test, batch_size=self.batch_size, backend=self.backend
        )
        finder = api.load_detector(
            self.detector, device, confidence=self.box_confidence, backend=self.backend
        )
        leave_cores_to_openvino(estimator.network, finder.network)
        return estimator, finder


def process(
    source: str,
    outputs: Any,
    choices: Any,
    networks: Networks,
    *,
    rate: Fraction | None = None,
    overwrite: bool,
    quiet: bool,
    resume: bool = False,
    heatmap_joints: str | None = None,
    keypoint_confidence: float = KEYPOINT_CONFIDENCE,
    codec: str = "h264",
    crf: int = 20,
    preset: str = "veryfast",
    window: Window | None = None,
    smooth: bool = False,
) -> Summary:
    """What `run` and `demo` both do: open, load, follow, write, with a progress bar."""
    from posecli.cli import console
    from posecli.devices import pick_device
    from posecli.document import run_header
    from posecli.draw.heatmap import find_joints
    from posecli.draw.skeleton import draw_people
    from posecli.errors import PoseError
    from posecli.pipeline import poses
    from posecli.record import Style, check_outputs, record
    from posecli.sinks.encoder import encoder_options
    from posecli.skeletons import derived_joints, find_skeleton
    from posecli.sources.open import open_source

    if choices.skeleton is not None:
        find_skeleton(choices.skeleton)
    pick_device(networks.device)
    check_outputs(outputs, overwrite, resume)
    if outputs.video is not None:
        encoder_options(codec, crf, preset)
    opened = open_source(source, rate)
    if resume and opened.live:
        raise PoseError(
            f"{opened.name} is live: what has passed can't be had again, so --resume means nothing."
        )
    try:
        if smooth and not opened.live:
            raise PoseError(
                f"{opened.name} is no camera: leave out --smooth, and then smooth what was written, which looks ahead, "
                "too: posecli smooth RESULT."
            )
        estimator, finder = networks.loaded
        if choices.keep_heatmaps and not estimator.spec.has_maps:
            raise PoseError(
                f"{estimator.spec.architecture} gives coordinates, not heatmaps: there are none to show."
            )
        bones = find_skeleton(choices.skeleton or estimator.spec.skeleton)
        derived_joints(estimator.spec.bones, bones)
        joints = find_joints((heatmap_joints or "all").split(","), estimator.spec.bones)
        style = Style(
            keypoint_confidence, tuple(joints) if choices.keep_heatmaps else None, codec, crf, preset
        )
        header = run_header(opened, networks.model, networks.detector, estimator, bones, choices)
        calm = None
        if smooth:
            from posecli.smooth import Calm, Smoothing  # scipy's filters: nobody else waits for them

            calm = Calm(Smoothing("one-euro"))
            header["options"]["smoothing"] = asdict(calm.how)
        total = expected_frames(opened, choices)
        chosen = None
        if choices.select is not None:
            from posecli.select import select_people

            with console.progress("looking for people", total, "frames", quiet) as bar:
                chosen, told = select_people(
                    lambda: open_source(source, rate), finder, choices,
                    lambda: bar.advance(bar.task_ids[0]) if bar else None,
                )  # fmt: skip
            console.tell(told, quiet)
        with console.progress(opened.name, total, "frames", quiet) as bar:

            def found(before: Iterable[Seen]) -> Iterable[FramePoses]:
                frames = poses(opened, finder, estimator, choices, before, chosen)
                if calm is not None:
                    frames = calm.through(frames)
                return frames if window is None else window.until_stopped(frames)

            def show(frame: FramePoses) -> None:
                if bar:
                    bar.advance(bar.task_ids[0])
                if window is not None:
                    if outputs.video is None:  # else it is drawn already
                        draw_people(frame.frame.image, frame.people, bones, keypoint_confidence)
                    window.show(frame.frame.image)

            return record(
                opened, found, bones, outputs, style, header,
                span=(choices.start, choices.end), progress=show, resume=resume,
            )  # fmt: skip
    finally:
        opened.close()


def expected_frames(source: Any, choices: Any) -> int | None:
    """How many frames will be worked on, for the progress bar; None where nobody knows."""
    if source.frame_count is None:
        return None
    whole = source.duration or float(source.frame_count / source.rate)
    begin, end = choices.start or 0.0, min(choices.end or whole, whole)
    share = max(0.0, end - begin) / whole if whole else 1.0
    return max(1, round(float(source.frame_count) * share / int(choices.stride)))


def show_summary(summary: Summary, outputs: Any, quiet: bool) -> None:
    from posecli.cli import console

    for message in summary.messages:
        console.tell(message)
    speed = summary.frames / max(summary.seconds, 1e-9)
    console.tell(
        f"{summary.frames} frames, {summary.people} people in them, {len(summary.tracks)} tracks, "
        f"{speed:.1f} frames/s.",
        quiet,
    )
    for path in outputs.files():
        console.tell(f"  {path}", quiet)
