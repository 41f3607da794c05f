"""posecli compare"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from posecli.cli import options as o
from posecli.defaults import KEYPOINT_CONFIDENCE

if TYPE_CHECKING:
    from posecli.bench.compare import Compared


def compare(
    models: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="MODEL",
            help="Two or more models: small, base, names from `posecli weights list`, or files.",
        ),
    ] = None,
    field: Annotated[
        bool,
        typer.Option(
            "--field",
            help="Compare all network architectures: size, speed on this machine, published scores.",
        ),
    ] = False,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", help="Labelled people to score on, as in `posecli eval`."),
    ] = None,
    clip: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Video or photo to annotate with every model, side by side."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out",
            "-o",
            help="The side-by-side video (.mp4) or picture (.jpg, .png).",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    json: Annotated[Optional[Path], typer.Option(help="Write the table to this file (- for stdout).")] = None,  # noqa: UP045
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos of --data. Default: next to the label file.")
    ] = None,
    flip_test: o.FlipTest = False,
    device: o.Device = "auto",
    detector: o.DetectorName = None,
    keypoint_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Draw joints with a lower confidence as hollow circles.")
    ] = KEYPOINT_CONFIDENCE,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare several models: scores and times on labelled people, or a video side by side.

    To compare two movements, use `posecli compare-motion`.

    [bold]Examples[/bold]

      posecli compare small hg2 --data coco:people/val.json
      posecli compare small mine.safetensors --clip clip.mp4 --out both.mp4
      posecli compare --field
    """
    from posecli.bench.compare import compare as measure
    from posecli.cli import console
    from posecli.data.read import read_people
    from posecli.engines.devices import pick_device
    from posecli.engines.load import load_detector, load_estimator
    from posecli.files import check_free

    chosen = pick_device(device)
    if field:
        if models or data or clip:
            raise typer.BadParameter(
                "--field takes no models, --data or --clip: its networks have no weights."
            )
        _show_field(chosen, json, quiet)
        return
    if models is None or len(models) < 2:
        raise typer.BadParameter("name at least two models to compare.")
    if (clip is None) != (out is None):
        raise typer.BadParameter("--clip needs --out, and --out needs --clip.")
    check_free([out], overwrite)
    people = None if data is None else read_people(data, images)
    loaded = [(Path(m).stem, load_estimator(m, chosen, flip_test=flip_test, backend="torch")) for m in models]
    with console.progress("scoring", None, "photos", quiet) as bar:

        def show(name: str, done: int, total: int) -> None:
            if bar:
                bar.update(bar.task_ids[0], description=name, completed=done, total=total)

        rows = measure(loaded, people, show)
    _show(rows)
    _write(rows, json)
    if clip is not None and out is not None:
        finder = load_detector(detector, chosen)
        _draw(clip, out, finder, loaded, keypoint_confidence, quiet)
        console.tell(f"{out}", quiet)


def _write(rows: Sequence[Any], path: Path | None) -> None:
    import json
    from dataclasses import asdict

    if path is None:
        return
    document = json.dumps([asdict(row) for row in rows], indent=1)
    print(document) if str(path) == "-" else path.write_text(document + "\n", encoding="utf-8")


def _show_field(device: Any, json: Path | None, quiet: bool) -> None:
    from rich.table import Table

    from posecli.bench.compare import measure_field
    from posecli.cli import console

    with console.progress("timing", None, "networks", quiet) as bar:

        def show(name: str, done: int, total: int) -> None:
            if bar:
                bar.update(bar.task_ids[0], description=name, completed=done, total=total)

        rows = measure_field(device, show)
    if str(json) != "-":
        table = Table("network", "crop", "M par.", "GMAC", "ms a crop", "published")
        for column in table.columns[1:5]:
            column.justify, column.no_wrap = "right", True
        for row in rows:
            table.add_row(
                row.name, f"{row.size[0]}x{row.size[1]}", f"{row.parameters / 1e6:.1f}", f"{row.gmacs:.2f}",
                f"{row.milliseconds:.0f}", f"{row.score} ({row.source})",
            )  # fmt: skip
        console.results.print(table)
    _write(rows, json)


def _draw(clip: Path, out: Path, detector: Any, models: Any, confidence: float, quiet: bool) -> None:
    import cv2

    from posecli.bench.compare import LABEL, side_by_side
    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.output.video import VideoWriter, check_output
    from posecli.sources.open import open_source
    from posecli.sources.photos import PHOTO_SUFFIXES, read_photo

    if clip.suffix.lower() in PHOTO_SUFFIXES:
        if not cv2.imwrite(str(out), side_by_side(read_photo(clip), detector, models, confidence)):
            raise PoseError(f"{out} can't be written; end it in .jpg or .png, in a folder that exists.")
        return
    check_output(out)
    source = open_source(str(clip))
    size = (source.width * len(models), source.height + LABEL)
    writer = VideoWriter(out, size, source.rate, source.time_base)
    try:
        with console.progress(clip.name, source.frame_count, "frames", quiet) as bar:
            for frame in source:
                writer.write(side_by_side(frame.image, detector, models, confidence), frame.time)
                if bar:
                    bar.advance(bar.task_ids[0])
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    finally:
        source.close()


def _show(rows: list[Compared]) -> None:
    from rich.table import Table

    from posecli.cli import console

    scores = list(rows[0].scores)
    titles = [s if s == "AP" else f"PCK@0.2 {s}" for s in scores]
    table = Table("model", "network", "parameters", "GMAC", "ms a crop", *titles)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        cells = ["–" if row.scores[s] is None else f"{row.scores[s]:.4f}" for s in scores]
        table.add_row(
            row.name, row.architecture, f"{row.parameters:,}", f"{row.gmacs:.2f}", f"{row.milliseconds:.1f}", *cells
        )  # fmt: skip
    console.results.print(table)
