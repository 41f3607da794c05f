"""Where the time goes: every stage of a frame's way timed by itself, one after the other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posecli.defaults import KEYPOINT_CONFIDENCE
from posecli.draw.skeleton import draw_people
from posecli.engines.backends import BACKENDS
from posecli.engines.detector import Detector
from posecli.engines.devices import synchronise
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.output.record import Outputs, Style, record
from posecli.output.video import VideoWriter
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import chosen_frames, poses
from posecli.pipeline.people import People
from posecli.sources.open import open_source
from posecli.types import Person

STAGES = ("decode", "detect", "track", "crop", "network", "heatmaps", "draw", "encode")
SURE, NEAR = 0.5, 0.02  # confidence, and share of somebody's height: joints that are the same in two runs
WARM_UP = 5  # frames and batches not counted


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds a frame of one stage."""

    median: float
    p95: float
    share: float  # of the sum of medians


@dataclass(frozen=True)
class BenchResult:
    stages: dict[str, StageTimes]
    crops_per_second: dict[int, float]  # by batch size: the network alone
    frames_per_second: float  # everything, overlapped as in `run`
    frames: int
    people_per_frame: float
    peak_memory_mib: float
    peak_device_memory_mib: float | None


def measure(
    clip: Path, detector: Detector, estimator: Estimator, batch_sizes: list[int], frames: int,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchResult:  # fmt: skip
    """Bench one clip: stages in turn on `frames` frames, the network by batch size, and a whole run."""
    progress("stages")
    times, people = _stages(clip, detector, estimator, frames)
    medians = {stage: float(np.median(values)) for stage, values in times.items()}
    total = sum(medians.values())
    stages = {
        stage: StageTimes(medians[stage], float(np.percentile(times[stage], 95)), medians[stage] / total)
        for stage in STAGES
    }
    throughput = {}
    for size in batch_sizes:
        progress(f"batch {size}")
        throughput[size] = crops_per_second(estimator, size)
    progress("end to end")
    whole = run_once(clip, detector, estimator)
    device = estimator.device
    return BenchResult(
        stages, throughput, whole.frames / whole.seconds, len(times["decode"]), people / max(1, len(times["decode"])),
        peak_memory_mib(),
        torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
    )  # fmt: skip


def crops_per_second(estimator: Estimator, batch_size: int, seconds: float = 1.5) -> float:
    """How many crops the network takes a second in batches of one size, warm, synchronised."""
    side = estimator.spec.input_size
    crops = np.random.default_rng(0).integers(0, 255, (batch_size, *side, 3), np.uint8)
    for _ in range(WARM_UP):
        estimator.maps(crops)
    synchronise(estimator.device)
    start, batches = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        estimator.maps(crops)
        batches += 1
    synchronise(estimator.device)
    return batches * batch_size / (time.perf_counter() - start)


def sweep_engines(
    model: str | None,
    device: torch.device,
    sizes: list[int],
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, dict[int, float] | None]:
    """{engine: {batch size: crops a second}}; None for an engine that can't be had here."""
    found: dict[str, dict[int, float] | None] = {}
    for name in BACKENDS[1:]:
        progress(name)
        try:
            estimator = load_estimator(model, device, backend=name)
        except PoseError:
            found[name] = None
            continue
        found[name] = {size: crops_per_second(estimator, size) for size in sizes}
    return found


def peak_memory_mib() -> float:
    """The most memory that this process ever held."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _stages(
    clip: Path, detector: Detector, estimator: Estimator, frames: int
) -> tuple[dict[str, list[float]], int]:
    """({stage: milliseconds of each frame}, people in all), warm-up left out."""
    times: dict[str, list[float]] = defaultdict(list)
    choices = Choices(box_confidence=detector.confidence)
    source = open_source(str(clip))
    everybody = People(source.rate, choices)
    people = 0

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        synchronise(estimator.device)
        times[stage].append((time.perf_counter() - start) * 1000)

    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        writer = VideoWriter(
            Path(folder) / "bench.mp4", (source.width, source.height), source.rate, source.time_base
        )
        stream = iter(chosen_frames(source, choices))
        for _ in range(frames + WARM_UP):
            with timed("decode"):
                frame: Any = next(stream, None)
            if frame is None:
                times["decode"].pop()
                break
            with timed("detect"):
                boxes = detector.find(frame.image)
            with timed("track"):
                followed = everybody.follow(frame, boxes)
                boxes, ids = followed.boxes, followed.ids
            with timed("crop"):
                crops, affines = estimator.crops([frame.image], [boxes.xyxy])
            with timed("network"):
                maps = estimator.maps(crops) if len(crops) else None
            with timed("heatmaps"):
                points = estimator.decode(maps[:, -1], affines) if maps is not None else np.zeros((0, 0, 3))
            found = [
                Person(n, float(s), b, p)
                for n, s, b, p in zip(ids, boxes.scores, boxes.xyxy, points, strict=True)
            ]
            with timed("draw"):
                draw_people(frame.image, found, estimator.spec.bones, KEYPOINT_CONFIDENCE)
            with timed("encode"):
                writer.write(frame.image, frame.time)
            people += len(found)
        writer.abandon()
    source.close()
    if len(times["decode"]) <= WARM_UP:
        raise PoseError(f"{clip} is too short to bench: it needs more than {WARM_UP} frames.")
    return {stage: values[WARM_UP:] for stage, values in times.items()}, people


def agreement(clip: Path, detector: Detector, estimator: Estimator) -> float:
    """Share of the joints said with SURE or more, in a run whose detector looks at every frame, that lie within
    NEAR of the person's height in the usual run."""
    runs = []
    for every in (1, None):
        source = open_source(str(clip))
        choices = Choices(box_confidence=detector.confidence, detect_every=every)
        runs.append([f.people for f in poses(source, detector, estimator, choices)])
        source.close()
    near = total = 0
    for everybody, usual in zip(*runs, strict=True):
        for person in everybody:
            sure = person.keypoints[:, 2] >= SURE
            total += int(sure.sum())
            if not usual or not sure.any():
                continue
            height = float((person.box[2:] - person.box[:2]).max())
            gaps = [np.linalg.norm((q.keypoints - person.keypoints)[sure, :2], axis=1) for q in usual]
            near += int((min(gaps, key=np.median) <= NEAR * height).sum())
    return near / max(1, total)


def start_up(clip: Path, rounds: int = 3) -> dict[str, float]:
    """Seconds, the median of some rounds, from a command to its end (`--help`) and from `posecli run` to the first
    frame that reaches the encoder."""
    command = [sys.executable, "-m", "posecli"]
    helped, ran = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([*command, "--help"], stdout=subprocess.DEVNULL, check=True)
        helped.append(time.perf_counter() - start)
        # The encoder of the run that is killed may still be ending when the folder goes.
        with tempfile.TemporaryDirectory(prefix="posecli-", ignore_cleanup_errors=True) as folder:
            out = Path(folder) / "out.mp4"
            first = out.with_name("out.mp4.partial") / "segments" / "000000.nut"
            start = time.perf_counter()
            run = subprocess.Popen([*command, "run", str(clip), "--out", str(out), "--quiet"])
            while not first.exists() and run.poll() is None:
                time.sleep(0.002)
            ran.append(time.perf_counter() - start)
            run.kill()
            run.wait()
    return {"help": float(np.median(helped)), "first frame of run": float(np.median(ran))}


@dataclass(frozen=True)
class Run:
    """A whole run, files written."""

    frames: int
    people: int  # summed over frames
    seconds: float


def run_once(clip: Path, detector: Detector, estimator: Estimator) -> Run:
    """Run a clip as `posecli run` does, and throw the files away."""
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        base = Path(folder) / "bench"
        outputs = Outputs(base.with_suffix(".mp4"), base.with_suffix(".csv"), base.with_suffix(".json"))
        source = open_source(str(clip))
        choices = Choices(box_confidence=detector.confidence)
        summary = record(
            source, lambda _: poses(source, detector, estimator, choices), estimator.spec.bones, outputs,
            Style(), {},
        )  # fmt: skip
        source.close()
    return Run(summary.frames, summary.people, summary.seconds)
