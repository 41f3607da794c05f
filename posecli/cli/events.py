"""posecli events"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from posecli.cli import options as o


def events(
    result: o.Result,
    kind: Annotated[str, typer.Option(help="What to count: steps, jumps or repetitions.")],
    angle: Annotated[
        str,
        typer.Option(
            help="With repetitions: the angle that bends. knee, elbow and hip use the mean of both sides; left_knee uses one."
        ),
    ] = "knee",
    below: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            help="With repetitions: count one when the angle falls below this many degrees. Default: the middle of its range."
        ),
    ] = None,
    track: o.Tracks = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="CSV file. Default: RESULT.KIND.csv.", rich_help_panel=o.OUTPUT),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Count steps, jumps and repetitions, with cadence, jump height and depth.

    Prints a table and writes a CSV with one row per event. Jump height is computed from the flight time: g·t²/8. The
    times come from the heels and big toes if the result has them with enough confidence, else from the ankles. Check
    the events in the video.

    [bold]Examples[/bold]

      posecli events run.pose.json --kind steps
      posecli events jump.pose.json --kind jumps
      posecli events squat.pose.json --kind repetitions --angle knee --below 100
    """
    from posecli.cli import console
    from posecli.files import check_free, check_target
    from posecli.results.events import KINDS, rows_of, summary
    from posecli.results.events import events as found_events
    from posecli.results.measure_table import write_table
    from posecli.results.recording import only, read_result

    if kind not in KINDS:
        raise typer.BadParameter(f"--kind is one of {', '.join(KINDS)}.")
    if kind != "repetitions" and below is not None:
        raise typer.BadParameter("--below is for --kind repetitions.")
    target = out or result.with_name(f"{result.stem}.{kind}.csv")
    check_target(target, [".csv"], result.with_suffix(".csv"))
    check_free([target], overwrite)
    recording = only(read_result(result), track)
    found = found_events(recording, kind, angle=angle, below=below)
    rows = rows_of(found)
    write_table(rows, target)
    if found and not quiet:
        _show(rows)
    for line in summary(recording, found):
        console.tell(line, quiet)
    console.tell(f"{target}: {kind}: {len(found)}.", quiet)


def _show(rows: list[list[str]]) -> None:
    from rich.table import Table

    from posecli.cli import console

    table, columns = Table(box=None), []
    for n, cells in enumerate(zip(*rows, strict=True)):
        if n != 1 and any(cells[1:]):  # all are of one kind; a jump has no side
            table.add_column(cells[0].replace("_", " "), justify="right")
            columns.append(cells[1:])
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    console.results.print(table)
