"""Memory use does not grow with the length of a video.

`python -m tests.whole.test_memory` measures 20,000 frames and draws docs/memory.png.
"""

import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from posecli.output.record import Outputs, Style, record
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from tests.support.media import ffmpeg
from tests.support.places import DOCS
from tests.support.stand_ins import Middle, MovingPeople

pytestmark = pytest.mark.media

GROWTH = 30.0  # MiB that a run may gain after its first tenth


def memory_curve(folder: Path, frames: int, size: str = "320x180") -> list[tuple[int, float]]:
    """(frames done, resident memory of this process in MiB) during a run that writes all outputs."""
    clip = folder / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30", "-frames:v", frames, "-c:v", "libx264",
           "-preset", "ultrafast", clip)  # fmt: skip
    source, process = open_source(str(clip)), psutil.Process()
    curve: list[tuple[int, float]] = []

    def look(_) -> None:
        look.frames += 1
        if look.frames % (frames // 40) == 0:
            curve.append((look.frames, process.memory_info().rss / 2**20))

    look.frames = 0
    outputs = Outputs(folder / "o.mp4", folder / "o.csv", folder / "o.json")
    record(
        source, lambda before: poses(source, MovingPeople(), Middle(), Choices(), before), BODY19, outputs,
        Style(preset="ultrafast"), {"version": 1}, progress=look,
    )  # fmt: skip
    return curve


def test_memory_is_flat(tmp_path) -> None:
    curve = memory_curve(tmp_path, 2000)
    assert len(curve) == 40
    assert curve[-1][1] - curve[4][1] < GROWTH


def draw(curve: list[tuple[int, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    done, resident = np.array(curve).T
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.plot(done, resident)
    axes.set(xlabel="frames", ylabel="resident memory, MiB", ylim=(0, 1.2 * resident.max()))
    axes.set_title(
        f"{resident[4]:.0f} MiB after {done[4]:.0f} frames, {resident[-1]:.0f} after {done[-1]:.0f}"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        measured = memory_curve(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, "1280x720")
    for done, resident in measured:
        print(f"{done:6} frames {resident:7.1f} MiB")
    draw(measured, DOCS / "memory.png")
    if measured[-1][1] - measured[4][1] >= GROWTH:
        pytest.fail("memory grew")
