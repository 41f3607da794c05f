"""Writes files about a training: how to repeat it, TensorBoard logs, and plots."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from posecli.data.cache import PatchStore
from posecli.errors import PoseError
from posecli.training.config import TrainConfig
from posecli.training.loop import Progress
from posecli.version import __version__

PACKAGES = ("torch", "numpy")


def check_new_run(out: Path, resume: bool) -> None:
    """Raise PoseError if a new training would start in a folder that is not empty."""
    if not resume and out.exists() and any(out.iterdir()):
        raise PoseError(
            f"{out} is not empty; add --resume to go on with its training, or choose another --out."
        )


def start_run(
    out: Path, config: TrainConfig, store: PatchStore, init: Path | None, teachers: Sequence[Path] = ()
) -> None:
    """Write out/run.json: config, versions, commit, checksum of the data, and seed."""
    facts: dict[str, Any] = {
        "posecli": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "data": {
            "name": store.people.name,
            "people": len(store),
            "dev": int(store.people.dev.sum()),
            "checksum": store.checksum(),
            "warnings": list(store.people.warnings),
        },
        "init": init.name if init else None,
        "teachers": [file.name for file in teachers],
        "config": config.as_dict(),
    }
    (out / "run.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


class TensorBoard:
    """Context manager that writes each Progress to out/tensorboard, for `tensorboard --logdir`."""

    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard"))
        self.steps = 0

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def __call__(self, progress: Progress) -> None:
        self.steps += 1
        values = {f"dev PCK@0.2/{name}": v for name, v in (progress.scores or {}).items()}
        if self.steps % 20 == 0:
            values |= {
                "training/loss": progress.loss,
                "training/rate": progress.rate,
                "training/crops per second": progress.crops_per_second,
                "training/flat maps": progress.flat,
            }
        for name, value in values.items():
            self.writer.add_scalar(name, value, progress.crops)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def plot_run(out: Path) -> Path:
    """Write out/curves.png: the loss of each stack, and PCK@0.2 on dev by source and by stack. Returns its path."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = read_log(out / "log.jsonl")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), constrained_layout=True)
    crops = [line["crops"] for line in lines]
    for s in range(len(lines[0]["loss"])):
        left.plot(crops, _smooth([line["loss"][s] for line in lines]), label=f"stack {s + 1}")
    left.set(xlabel="crops", ylabel="loss per joint", title="Training loss")
    left.legend()
    scored = [line for line in lines if "pck" in line]
    for name in scored[0]["pck"] if scored else []:
        style = "--" if name.startswith("stack") else "-"
        right.plot(
            [x["crops"] for x in scored], [x["pck"].get(name) for x in scored], style, marker=".", label=name
        )
    right.set(xlabel="crops", ylabel="PCK@0.2 (diagonal)", title="dev, given boxes, no flip test")
    if scored:
        right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    path = out / "curves.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _smooth(values: list[float], keep: float = 0.9) -> list[float]:
    out: list[float] = []
    for value in values:
        out.append(value if not out else keep * out[-1] + (1 - keep) * value)
    return out


def _commit() -> str | None:
    """The commit of this checkout, with "-dirty" if there are changes. None outside of a checkout."""
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"],
            check=False, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
