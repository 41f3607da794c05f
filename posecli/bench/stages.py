"""Times the stages of a run inside a real run, where stages work at the same time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from posecli.engines.backends import BACKENDS, PADDED, OpenVinoNetwork
from posecli.engines.detector import Detector
from posecli.engines.devices import kind_of, synchronise
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.output.record import Outputs, Style, record
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.sources.open import open_source
from posecli.stages import Stage, Timer, untimed

STAGES: tuple[Stage, ...] = get_args(Stage)
SURE, NEAR = 0.5, 0.02  # confidence, and share of somebody's height: joints that are the same in two runs
WARM_UP = 5  # batches not counted


@dataclass(frozen=True)
class StageTimes:
    """One stage of a run. Times are in milliseconds."""

    calls: int
    median: float  # of a call
    p95: float  # of a call
    a_frame: float  # all calls, shared out among all frames
    share: float  # of the sum of all stages


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
    clip: Path, detector: Detector, estimator: Estimator, batch_sizes: list[int], frames: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BenchResult:  # fmt: skip
    """Bench one clip, or its first `frames` frames: a whole run with its stages timed, and the network by batch size."""
    progress("run")
    times = Times(estimator.device)
    whole = run_once(clip, detector, estimator, frames, times)
    if whole.frames < 2:
        raise PoseError(
            f"{clip} is too short to bench: it needs two frames, because the first one is a warm-up."
        )
    throughput = {}
    for size in batch_sizes:
        progress(f"batch {size}")
        throughput[size] = crops_per_second(estimator, size)
    device = estimator.device
    return BenchResult(
        times.stages(whole.frames), throughput, whole.frames / whole.seconds, whole.frames, whole.people / whole.frames,
        peak_memory_mib(),
        torch.cuda.max_memory_allocated(device) / 2**20 if kind_of(device) == "cuda" else None,
    )  # fmt: skip


class Times:
    """The stages of a run, timed where they happen. Several threads call it."""

    def __init__(self, device: str | torch.device) -> None:
        self._device = device
        self._milliseconds: dict[Stage, list[float]] = {stage: [] for stage in STAGES}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if stage in ("detect", "network"):
            synchronise(self._device)
        self._milliseconds[stage].append((time.perf_counter() - start) * 1000)

    def stages(self, frames: int) -> dict[str, StageTimes]:
        """What each stage took in a run of so many frames. The first call of each warms up and is left out."""
        calls = {stage: times[1:] or times for stage, times in self._milliseconds.items() if times}
        each = {
            stage: float(np.mean(times)) * len(self._milliseconds[stage]) / frames
            for stage, times in calls.items()
        }
        total = sum(each.values())
        return {
            stage: StageTimes(
                len(self._milliseconds[stage]), float(np.median(times)), float(np.percentile(times, 95)),
                each[stage], each[stage] / total,
            )
            for stage, times in calls.items()
        }  # fmt: skip


def crops_per_second(estimator: Estimator, batch_size: int, seconds: float = 1.5) -> float:
    """How many crops the network takes a second in batches of one size, warm, synchronised."""
    side = estimator.spec.input_size
    crops = np.random.default_rng(0).integers(0, 255, (batch_size, *side, 3), np.uint8)
    # OpenVINO compiles the network for single crops after PADDED smaller batches.
    for _ in range(PADDED + 1 if isinstance(estimator.network, OpenVinoNetwork) else WARM_UP):
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
    device: str,
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


def run_once(
    clip: Path, detector: Detector, estimator: Estimator, frames: int | None = None, timer: Timer = untimed
) -> Run:
    """Run a clip, or its first `frames` frames, as `posecli run` does, and throw the files away."""
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        base = Path(folder) / "bench"
        outputs = Outputs(base.with_suffix(".mp4"), base.with_suffix(".csv"), base.with_suffix(".json"))
        source = open_source(str(clip))
        choices = Choices(box_confidence=detector.confidence)
        summary = record(
            source, lambda _: islice(poses(source, detector, estimator, choices, timer=timer), frames),
            estimator.spec.bones, outputs, Style(), {}, timer=timer,
        )  # fmt: skip
        source.close()
    return Run(summary.frames, summary.people, summary.seconds)
