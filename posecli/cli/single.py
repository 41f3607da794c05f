"""A single source: its networks, its run with a progress bar, and what is told at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from posecli.defaults import BOX_CONFIDENCE, KEYPOINT_CONFIDENCE

if TYPE_CHECKING:
    from posecli.cli.window import Window
    from posecli.engines.detector import Detector
    from posecli.engines.estimator import Estimator
    from posecli.output.record import Outputs, Summary
    from posecli.pipeline.loop import Choices
    from posecli.sources.open import Source
    from posecli.types import FramePoses, Seen


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
        from posecli.engines.backends import leave_cores_to_openvino
        from posecli.engines.devices import pick_device

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
    outputs: Outputs,
    choices: Choices,
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
    from posecli.draw.heatmap import find_joints
    from posecli.draw.skeleton import draw_people
    from posecli.engines.devices import pick_device
    from posecli.errors import PoseError
    from posecli.output.encoder import encoder_options
    from posecli.output.record import Style, check_outputs, record
    from posecli.pipeline.header import run_header
    from posecli.pipeline.loop import poses
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
            from posecli.results.smooth import Calm, Smoothing  # scipy's filters: nobody else waits for them

            calm = Calm(Smoothing("one-euro"))
            header["options"]["smoothing"] = asdict(calm.how)
        total = expected_frames(opened, choices)
        chosen = None
        if choices.select is not None:
            from posecli.pipeline.selection import select_people

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


def expected_frames(source: Source, choices: Choices) -> int | None:
    """How many frames will be worked on, for the progress bar; None where nobody knows."""
    if source.frame_count is None:
        return None
    whole = source.duration or float(source.frame_count / source.rate)
    begin, end = choices.start or 0.0, min(choices.end or whole, whole)
    share = max(0.0, end - begin) / whole if whole else 1.0
    return max(1, round(float(source.frame_count) * share / int(choices.stride)))


def show_summary(summary: Summary, outputs: Outputs, quiet: bool) -> None:
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
