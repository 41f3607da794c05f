"""The Python API: `run` yields poses frame by frame, `annotate` writes the same files as `posecli run`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from posecli.draw.heatmap import find_joints
from posecli.draw.renderer import Renderer
from posecli.draw.skeleton import Drawing
from posecli.engines.devices import pick_device
from posecli.engines.load import Networks
from posecli.errors import PoseError
from posecli.files import check_not_source
from posecli.followup import FollowUp
from posecli.output.document import Header
from posecli.output.encoder import encoder_options
from posecli.output.names import output_of
from posecli.output.record import Outputs, Style, Summary, check_outputs, record
from posecli.output.table import Layout
from posecli.pipeline.choices import Choices
from posecli.pipeline.header import run_header
from posecli.pipeline.loop import poses
from posecli.pipeline.selection import select_people
from posecli.skeletons import derived_joints, find_skeleton
from posecli.sources.open import OpenedSource, expected_frames, open_source
from posecli.types import FramePoses, Seen

Step = Callable[[], None]


@dataclass(frozen=True)
class Watch:
    """Callbacks of a run. The defaults do nothing."""

    # (name of the stage, number of frames or None) -> context manager; it gives a function to call after each frame
    stage: Callable[[str, int | None], AbstractContextManager[Step]] = lambda *_: nullcontext(lambda: None)
    tell: Callable[[str], None] = lambda _: None  # gets a message for the user
    # wraps the frames, and may end them early
    frames: Callable[[Iterable[FramePoses]], Iterable[FramePoses]] = lambda frames: frames
    written: Callable[[FramePoses], None] = lambda _: None  # called after each frame
    pictures: bool = False  # draw people in the frames for `written` even if no video is written


def run(
    source: str | Path,
    *,
    model: str | None = None,
    detector: str | None = None,
    device: str = "auto",
    backend: str = "auto",
    flip_test: bool = False,
    choices: Choices | None = None,
    **changes: object,
) -> Iterator[FramePoses]:
    """Yield the people in every frame of a video, folder of photos, camera or stream.

    select: "largest", "longest", "centre" or track IDs such as "1,4". The detector first runs on the whole
    source. Then the keypoint network runs on the selected people only.
    Other keywords are fields of `posecli.Choices`, such as detect_every=5 or tracking=False.
    Raises PoseError with a one-sentence message.
    """
    chosen = replace(choices or Choices(), **changes)  # type: ignore[arg-type]
    networks = Networks(
        device, model, detector, flip_test, box_confidence=chosen.box_confidence, backend=backend
    )
    estimator, finder = networks.loaded
    opened = open_source(str(source))
    try:
        selected = None
        if chosen.select is not None:
            selected, _ = select_people(lambda: open_source(str(source)), finder, chosen)
        yield from poses(opened, finder, estimator, chosen, chosen=selected)
    finally:
        opened.close()


def annotate(
    source: str | Path,
    out: str | Path | None = None,
    *,
    video: bool = True,
    csv: str | Path | bool = True,
    json: str | Path | bool = True,
    csv_layout: Layout = "wide",
    model: str | None = None,
    detector: str | None = None,
    device: str = "auto",
    backend: str = "auto",
    flip_test: bool = False,
    drawing: Drawing = Drawing(),
    people: int | None = None,
    repair_sides: bool = False,
    angles: str | None = None,
    events: str | None = None,
    report: bool = False,
    also: tuple[str, ...] = (),
    lossy: bool = False,
    codec: str = "h264",
    crf: int = 20,
    stream: int | None = None,
    send: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
    **changes: object,
) -> Summary:
    """Write the annotated video, the CSV and the JSON of a source, as `posecli run` does.

    Memory use does not grow with the length of the source.

    out: path of the video, or a folder. The default is SOURCE.pose.mp4 next to the source.
    csv, json: a path, True (next to the video) or False (not written).
    drawing: what to draw, such as Drawing(blur_faces=True).
    people: the number of people. Track IDs are assigned again at the end.
    repair_sides: undo left/right swaps.
    angles: joint angles to write as CSV, such as "knee,hip".
    events: events to find and draw, such as "steps,jumps,repetitions".
    report: write an HTML page.
    also: additional output formats. lossy: allow formats that can't hold everything.
    send: addresses that receive each frame's people at once, such as ("osc://127.0.0.1:9000",).
    Other keywords are fields of `posecli.Choices`, such as select="largest", max_people=1, start=2.0 or
    skeleton="coco17".

    Returns a summary with the written files (`Summary.files`). Read the joints with `posecli.read`.
    Raises PoseError with a one-sentence message before any file is overwritten.
    """
    target = output_of(str(source), None if out is None else Path(out))
    outputs = Outputs(
        target if video else None, _beside(target, csv, ".csv"), _beside(target, json, ".json"), csv_layout
    )
    choices = Choices(**changes)  # type: ignore[arg-type]
    networks = Networks(
        device, model, detector, flip_test, box_confidence=choices.box_confidence, backend=backend
    )
    style = Style(drawing, codec, crf)
    return write_poses(
        str(source),
        outputs,
        choices,
        networks,
        style,
        FollowUp(people, repair_sides, angles, events, report, also, lossy),
        stream=stream,
        send=send,
        overwrite=overwrite,
        resume=resume,
    )


def _beside(target: Path, asked: str | Path | bool, suffix: str) -> Path | None:
    if asked is True:
        return target.with_suffix(suffix)
    return Path(asked) if asked else None


def write_poses(
    source: str,
    outputs: Outputs,
    choices: Choices,
    networks: Networks,
    style: Style,
    further: FollowUp = FollowUp(),
    *,
    heatmap_joints: str = "all",
    rate: Fraction | None = None,
    stream: int | None = None,
    name: str | None = None,
    smooth: bool = False,
    send: Sequence[str] = (),
    overwrite: bool = False,
    resume: bool = False,
    watch: Watch = Watch(),
) -> Summary:
    """Run everything and write the files. `annotate` and the command line share this function.

    heatmap_joints: joints whose heatmaps are drawn: names separated by commas, or "all". Only used if
    `choices` keeps the heatmaps.
    rate: frames per second for a folder of photos.
    stream: index of the video stream in the file, from 0.
    name: name of the source in the result.
    smooth: smooth the joints of a live source.
    send: addresses that receive each frame's people at once, such as osc://127.0.0.1:9000.
    Raises PoseError before any work for options that do not fit.
    """
    if choices.skeleton is not None:
        find_skeleton(choices.skeleton)
    pick_device(networks.device)
    check_outputs(outputs, overwrite, resume)
    check_not_source((outputs.video, outputs.csv, outputs.json), source)
    further.check(outputs, choices.keep_heatmaps, overwrite)
    if outputs.video is not None:
        encoder_options(style.codec, style.crf, style.preset)
    with ExitStack() as stack:
        senders = None
        if send:
            from posecli.output.send import Senders  # imports asyncio

            senders = stack.enter_context(Senders(send))
        opened = open_source(source, rate, stream)
        stack.callback(opened.close)
        opened.name = name or opened.name
        _check_live(opened, smooth, resume)
        estimator, finder = networks.loaded
        if choices.keep_heatmaps:
            if not estimator.spec.has_maps:
                raise PoseError(
                    f"{estimator.spec.architecture} has no heatmaps to show: it predicts coordinates."
                )
            joints = find_joints(heatmap_joints.split(","), estimator.spec.bones)
            style = replace(style, drawing=replace(style.drawing, heatmap_joints=tuple(joints)))
        bones = find_skeleton(choices.skeleton or estimator.spec.skeleton)
        derived_joints(estimator.spec.bones, bones)
        further.check_joints(bones.joints)
        renderer = Renderer(bones, style.drawing)  # for the window; the video has its own
        header = run_header(opened, networks.model, networks.detector, estimator, bones, choices)
        smoothed = _live_smoothing(header) if smooth else lambda frames: frames
        total = expected_frames(opened, choices.start, choices.end, choices.duration, choices.stride)
        chosen = None
        if choices.select is not None:
            with watch.stage("looking for people", total) as step:
                chosen, told = select_people(lambda: open_source(source, rate, stream), finder, choices, step)
            watch.tell(told)
        with watch.stage(opened.name, total) as step:

            def found(before: Iterable[Seen]) -> Iterable[FramePoses]:
                coming = watch.frames(smoothed(poses(opened, finder, estimator, choices, before, chosen)))
                return senders.passing(coming, bones) if senders else coming

            def written(frame: FramePoses) -> None:
                step()
                if watch.pictures and outputs.video is None:  # with a video, the people are already drawn
                    frame = replace(frame, frame=replace(frame.frame, image=renderer.draw(frame)))
                watch.written(frame)

            summary = record(
                opened, found, bones, outputs, style, header,
                span=(choices.start, choices.end), progress=written, resume=resume,
            )  # fmt: skip
        if senders:
            summary.messages += senders.close()
        try:
            further.work(summary, outputs, source, style.drawing, watch.stage, watch.tell)
        except PoseError as error:
            error.add_note(f"The run itself is done: {', '.join(map(str, summary.files))}.")
            raise
        return summary


def _check_live(source: OpenedSource, smooth: bool, resume: bool) -> None:
    if resume and source.live:
        raise PoseError(f"{source.name} is live and can't be resumed; leave out --resume.")
    if smooth and not source.live:
        raise PoseError(
            f"{source.name} is no camera: leave out --smooth, and then smooth what was written, which looks ahead, "
            "too: posecli smooth RESULT."
        )


def _live_smoothing(header: Header) -> Callable[[Iterable[FramePoses]], Iterable[FramePoses]]:
    """A One-Euro filter for live poses. Its settings are added to the header."""
    # Imported late, because only live smoothing needs it.
    from posecli.results.smooth import LiveSmoother, Smoothing

    smoother = LiveSmoother(Smoothing("one-euro"))
    header["options"]["smoothing"] = asdict(smoother.how)
    return smoother.through
