"""posecli bench"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.bench import BenchResult


def bench(
    source: Annotated[
        Path | None, typer.Argument(metavar="SOURCE", help="A clip. Default: the demo's, made anew.")
    ] = None,
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    model: o.Model = None,
    detector: o.DetectorName = None,
    batch_size: Annotated[str, typer.Option(help="Batch sizes to time the network with.")] = "1,4,16",
    frames: Annotated[int, typer.Option(min=1, help="Frames to time the stages on.")] = 60,
    flip_test: o.FlipTest = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file (- for stdout).")] = None,
    quiet: o.Quiet = False,
) -> None:
    """Time every stage of a frame's way, the network by batch size, and a whole run.

    [bold]Examples[/bold]

      posecli bench
      posecli bench clip.mp4 --device cuda --batch-size 1,4,16 --json bench.json
    """  # fmt: skip
    import tempfile

    from posecli import api
    from posecli.backends import leave_cores_to_openvino
    from posecli.bench import measure
    from posecli.cli import console
    from posecli.cli.demo import make_clip
    from posecli.devices import pick_device

    try:
        sizes = [int(s) for s in batch_size.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter("--batch-size is a list of whole numbers above 0, such as 1,4,16.")
    chosen = pick_device(device)
    estimator = api.load_estimator(model, chosen, flip_test=flip_test, backend=backend)
    finder = api.load_detector(detector, chosen, backend=backend)
    leave_cores_to_openvino(estimator.network, finder.network)
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        clip = source or make_clip(Path(folder) / "demo.mp4")
        result = measure(
            clip, finder, estimator, sizes, frames, lambda what: console.tell(f"{what} …", quiet)
        )
    about = _about(chosen, estimator, finder, clip.name)
    if json is not None:
        import json as text

        document = text.dumps({**about, **asdict(result)}, indent=1)
        if str(json) == "-":
            print(document)
            return
        json.write_text(document + "\n", encoding="utf-8")
    _show(result, about)


def _about(device: Any, estimator: Any, detector: Any, clip: str) -> dict[str, Any]:
    import platform

    import torch

    from posecli import __version__
    from posecli.backends import engine

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "clip": clip,
        "device": f"{device} ({name}, {torch.get_num_threads()} threads)",
        "backend": f"{engine(estimator.network)} (joints), {engine(detector.network)} (boxes)",
        "model": f"{estimator.spec.architecture} {estimator.spec.arguments}, {estimator.spec.input_size[0]} px",
        "detector": f"{detector.name}, {' and '.join(map(str, detector.sizes))} px",
        "versions": f"posecli {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }


def _show(result: BenchResult, about: dict[str, Any]) -> None:
    from rich.table import Table

    from posecli.cli import console

    for name, value in about.items():
        console.results.print(f"{name}: {value}", markup=False)
    table = Table("stage", "median ms", "95 % ms", "share")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, times in result.stages.items():
        table.add_row(stage, f"{times.median:.2f}", f"{times.p95:.2f}", f"{times.share:.0%}")
    console.results.print(table)
    for size, speed in result.crops_per_second.items():
        console.results.print(f"network, batch {size}: {speed:.1f} crops/s")
    console.results.print(
        f"end to end: {result.frames_per_second:.1f} frames/s with {result.people_per_frame:.1f} people a frame"
    )
    memory = f"peak memory: {result.peak_memory_mib:.0f} MiB"
    if result.peak_device_memory_mib is not None:
        memory += f", on the device {result.peak_device_memory_mib:.0f} MiB"
    console.results.print(memory)
