"""posecli bench"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.bench.stages import BenchResult


def bench(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="Video to time. Default: the clip of `posecli demo`."),
    ] = None,
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    model: o.Model = None,
    detector: o.DetectorName = None,
    batch_size: Annotated[
        str, typer.Option(help="Batch sizes to time the network at.", rich_help_panel=o.TIMING)
    ] = "1,4,16",
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Use only the first N frames. Default: all.", rich_help_panel=o.TIMING),
    ] = None,
    flip_test: o.FlipTest = False,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Time the network on every engine of this machine.",
            rich_help_panel=o.TIMING,
        ),
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="Also time another tool on the same clip: ultralytics, or mediapipe=/path/to/its/python. Can be repeated.",
            rich_help_panel=o.TIMING,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="With --peer: number of runs of each tool.", rich_help_panel=o.TIMING)
    ] = 3,
    agree: Annotated[
        bool,
        typer.Option(
            "--agree",
            help="Compare the joints with a run that detects people in every frame.",
            rich_help_panel=o.TIMING,
        ),
    ] = False,
    start: Annotated[
        bool, typer.Option("--start-up", help="Also time the start of the program.", rich_help_panel=o.TIMING)
    ] = False,
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Show how close the network comes to the measured peak of the device, and which layers wait for memory.",
            rich_help_panel=o.TIMING,
        ),
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="With --roofline: also time the network after torch.compile. Slow.",
            rich_help_panel=o.TIMING,
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Measure how the time grows with people, resolution and length. Plot it to this PNG.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write the timings to this file (- for stdout).", rich_help_panel=o.OUTPUT),
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Time posecli on this machine: each stage of a run, and the network at several batch sizes.

    [bold]Examples[/bold]

      posecli bench
      posecli bench clip.mp4 --device cuda --batch-size 1,4,16 --json bench.json
      posecli bench clip.mp4 --peer ultralytics
      posecli bench clip.mp4 --sweep --plot growth.png
      posecli bench clip.mp4 --device cuda --batch-size 1,8,64,256 --roofline
    """  # fmt: skip
    import tempfile

    from posecli.bench.growth import draw_growth, measure_growth
    from posecli.bench.peers import parse_peer, race
    from posecli.bench.roofline import measure_roofline
    from posecli.bench.stages import agreement, measure, start_up, sweep_engines
    from posecli.cli import console
    from posecli.cli.demo import make_clip
    from posecli.engines.backends import leave_cores_to_openvino
    from posecli.engines.devices import pick_device
    from posecli.engines.load import load_detector, load_estimator
    from posecli.silence import threads

    try:
        sizes = [int(s) for s in batch_size.split(",")]
    except ValueError:
        sizes = []
    if compiled and not roofline:
        raise typer.BadParameter("--compile needs --roofline.")
    if not sizes or min(sizes) < 1:
        raise typer.BadParameter("--batch-size is a list of whole numbers above 0, such as 1,4,16.")
    peers = dict(parse_peer(p) for p in peer or [])
    if plot is not None and plot.suffix != ".png":
        raise typer.BadParameter(f"--plot {plot} is no PNG file; give a name that ends in .png.")
    chosen = pick_device(device)

    def tell(what: str) -> None:
        console.tell(f"{what} …", quiet)

    cores = threads()
    document: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        clip = source or make_clip(Path(folder) / "demo.mp4")
        if sweep:
            document["sweep"] = sweep_engines(model, chosen, sizes, tell)
        estimator = load_estimator(model, chosen, flip_test=flip_test, backend=backend)
        finder = load_detector(detector, chosen, backend=backend)
        leave_cores_to_openvino(estimator.network, finder.network)
        about = _about(chosen, cores, estimator, finder, clip.name)
        result = measure(clip, finder, estimator, sizes, frames, tell)
        if start:
            tell("start-up")
            document["start_up"] = start_up(clip)
        if roofline:
            tell("roofline")
            document["roofline"] = asdict(measure_roofline(estimator, sizes, compiled))
        if agree:
            tell("agreement")
            document["agreement"] = agreement(clip, finder, estimator)
        if peers:
            document["race"] = [asdict(row) for row in race(clip, peers, cores, rounds, tell)]
        if plot is not None:
            found = measure_growth(clip, finder, estimator, tell)
            draw_growth(found, plot, f"{about['device']}, {about['backend']}")
            document["growth"] = {kind: [asdict(p) for p in points] for kind, points in found.items()}
    document = {**about, **asdict(result), **document}
    if json is not None:
        import json as text

        if str(json) == "-":
            print(text.dumps(document, indent=1))
            return
        json.write_text(text.dumps(document, indent=1) + "\n", encoding="utf-8")
    _show(result, about)
    _show_more(document)


def _about(device: str, threads: int, estimator: Any, detector: Any, clip: str) -> dict[str, Any]:
    import platform

    import torch

    from posecli.engines.backends import engine
    from posecli.engines.devices import device_name, kind_of
    from posecli.version import __version__

    name = device_name(device) if kind_of(device) == "cuda" else platform.machine()
    return {
        "clip": clip,
        "device": f"{device} ({name}, {threads} threads)",
        "backend": f"{engine(estimator.network, estimator.precision)} (joints), {engine(detector.network)} (boxes)",
        "model": f"{estimator.spec.architecture} {estimator.spec.arguments}, {estimator.spec.input_size[0]} px",
        "detector": f"{detector.name}, {detector.size} px",
        "versions": f"posecli {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }


def _show(result: BenchResult, about: dict[str, Any]) -> None:
    from rich.table import Table

    from posecli.cli import console

    for name, value in about.items():
        console.results.print(f"{name}: {value}", markup=False)
    table = Table("stage", "calls", "median ms a call", "95 %", "ms a frame", "share")
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, t in result.stages.items():
        table.add_row(
            stage, str(t.calls), f"{t.median:.2f}", f"{t.p95:.2f}", f"{t.a_frame:.2f}", f"{t.share:.0%}"
        )
    console.results.print(table)
    console.results.print(
        "The stages work at the same time and wait for each other, so a frame takes less than their sum."
    )
    for size, speed in result.crops_per_second.items():
        console.results.print(f"network, batch {size}: {speed:.1f} crops/s")
    console.results.print(
        f"end to end: {result.frames_per_second:.1f} frames/s with {result.people_per_frame:.1f} people a frame"
    )
    memory = f"peak memory: {result.peak_memory_mib:.0f} MiB"
    if result.peak_device_memory_mib is not None:
        memory += f", on the device {result.peak_device_memory_mib:.0f} MiB"
    console.results.print(memory)


def _show_more(document: dict[str, Any]) -> None:
    from rich.table import Table

    from posecli.bench.stages import NEAR
    from posecli.cli import console

    if "sweep" in document:
        sizes = list(document["crops_per_second"])
        table = Table("network on", *[f"batch {n}" for n in sizes], title="crops/s")
        for name, speeds in document["sweep"].items():
            table.add_row(name, *[f"{speeds[n]:.1f}" for n in sizes] if speeds else ["-"] * len(sizes))
        console.results.print(table)
    for what, seconds in document.get("start_up", {}).items():
        console.results.print(f"{what}: {seconds:.2f} s after the command")
    if "roofline" in document:
        _show_roofline(document["roofline"])
    if "agreement" in document:
        console.results.print(
            f"{document['agreement']:.1%} of the sure joints lie within {NEAR:.0%} of the person's height of where they lie "
            f"when every frame is searched for people"
        )
    if "race" in document:
        table = Table(
            "tool", "frames/s", "rounds", "ours is", "what ran", title=f"race on {document['clip']}"
        )
        ours = document["race"][0]["frames_per_second"]
        for row in document["race"]:
            rounds = " ".join(f"{speed:.1f}" for speed in row["rounds"])
            ratio = f"{ours / row['frames_per_second']:.2f} x"
            table.add_row(row["name"], f"{row['frames_per_second']:.1f}", rounds, ratio, row["about"])
        console.results.print(table)
    if "growth" in document:
        for kind, points in document["growth"].items():
            costs = ", ".join(f"{p['at']:.4g}: {p['milliseconds']:.1f}" for p in points)
            console.results.print(f"ms a frame by {kind}: {costs}")


def _show_roofline(found: dict[str, Any]) -> None:
    from rich.table import Table

    from posecli.cli import console

    ridge = 1000 * found["peak"] / found["bandwidth"]
    console.results.print(
        f"measured peak {found['peak']:.3g} TFLOP/s ({found['precision']}), copies {found['bandwidth']:.3g} GB/s: layers "
        f"below {ridge:.0f} FLOP a byte wait for memory"
    )
    for how, size, speed in (
        *(("", size, speed) for size, speed in found["reached"].items()),
        *((" compiled", size, speed) for size, speed in found["compiled"].items()),
    ):
        console.results.print(
            f"network{how}, batch {size}: {speed:.3g} TFLOP/s, {speed / found['peak']:.0%} of the peak"
        )
    table = Table("layers", "count", "GFLOP", "MB", "FLOP/byte", title=f"batch {found['batch']}")
    for layer in found["layers"][:12]:
        intensity = 1000 * layer["gflop"] / max(layer["megabytes"], 1e-9)
        row = (str(layer["count"]), f"{layer['gflop']:.2f}", f"{layer['megabytes']:.1f}", f"{intensity:.0f}")
        table.add_row(layer["kind"], *row)
    console.results.print(table)
