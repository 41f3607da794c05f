"""Measures and plots how the time and memory of a run grow with people, resolution and length."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from posecli.bench.stages import Run, peak_memory_mib, run_once
from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.errors import PoseError

GRIDS = (1, 2, 3, 4)  # copies of the picture side by side, and one above the other
WIDTHS = (640, 1280, 1920, 3840)
LENGTHS = (250, 500, 1000, 2000)  # frames
FRAMES = 120  # of the clips by people and by resolution


@dataclass(frozen=True)
class Point:
    """One run. `at` is people a frame, width in pixels, or frames."""

    at: float
    milliseconds: float  # a frame
    memory_mib: float  # the most that the process ever held until then


def measure_growth(
    clip: Path, detector: Detector, estimator: Estimator, progress: Callable[[str], None] = lambda _: None
) -> dict[str, list[Point]]:
    """{"people": …, "width": …, "frames": …}: whole runs, files written."""
    found: dict[str, list[Point]] = {"frames": [], "width": [], "people": []}

    def add(kind: str, made: Path, at: Callable[[Run], float]) -> None:
        done = run_once(made, detector, estimator)
        found[kind].append(Point(at(done), 1000 * done.seconds / done.frames, peak_memory_mib()))

    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        made = Path(folder) / "clip.mp4"
        for length in LENGTHS:
            progress(f"{length} frames")
            _make(clip, made, "scale=1280:-2", length)
            add("frames", made, lambda done: done.frames)
        for width in WIDTHS:
            progress(f"{width} pixels")
            _make(clip, made, f"scale={width}:-2", FRAMES)
            add("width", made, lambda _, width=width: width)  # type: ignore[misc]
        for grid in GRIDS:
            progress(f"{grid * grid} pictures in one")
            side = f"scale=iw/{grid}:-2,split={grid * grid}"
            tiles = "".join(f"[t{n}]" for n in range(grid * grid))
            places = "|".join(
                "+".join(["0", *["w0"] * (n % grid)]) + "_" + "+".join(["0", *["h0"] * (n // grid)])
                for n in range(grid * grid)
            )
            stack = f"{side}{tiles};{tiles}xstack=inputs={grid * grid}:layout={places}"
            chain = "scale=1920:-2" if grid == 1 else f"scale=1920:-2,{stack},scale=1920:-2"
            _make(clip, made, chain, FRAMES)
            add("people", made, lambda done: done.people / done.frames)
    return found


def draw_growth(found: dict[str, list[Point]], path: Path, about: str) -> None:
    """Three plots in one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = {"people": "people in a frame", "width": "width of the picture, pixels", "frames": "frames"}
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axis, (kind, name) in zip(axes, names.items(), strict=True):
        points = sorted(found[kind], key=lambda p: p.at)
        axis.plot([p.at for p in points], [p.milliseconds for p in points], "o-", color="#0072b2")
        axis.set(xlabel=name, ylabel="ms a frame", ylim=(0, 1.15 * max(p.milliseconds for p in points)))
        axis.grid(alpha=0.3)
    memory = axes[2].twinx()
    points = found["frames"]
    memory.plot([p.at for p in points], [p.memory_mib for p in points], "s--", color="#d55e00")
    memory.set(ylim=(0, 1.15 * max(p.memory_mib for p in points)))
    memory.set_ylabel("peak memory, MiB (dashed)", color="#d55e00")
    figure.suptitle(about, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _make(clip: Path, out: Path, filters: str, frames: int) -> None:
    """So many frames of the clip, over and over, filtered."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    command += ["-stream_loop", "-1", "-i", str(clip), "-filter_complex", f"[0:v]{filters}"]
    command += ["-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise PoseError(f"{clip} can't be made into test clips: {words[-1] if words else 'ffmpeg failed'}.")
