"""posecli retrack"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.results.recording import Recording
    from posecli.results.retrack import Join


def retrack(
    result: o.Result,
    people: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of people in the clip. Parts of tracks that fit none of them are left out."
        ),
    ] = None,
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="The source video. Its colours help to tell people apart, and a new annotated video is written."
        ),
    ] = None,
    apart: Annotated[
        str | None,
        typer.Option("--apart", help="Undo these joins, by their numbers in the list: 2,5."),
    ] = None,
    repair_sides: Annotated[
        bool,
        typer.Option("--repair-sides", help="Also undo left/right swaps."),
    ] = False,
    only_sides: Annotated[
        bool, typer.Option("--only-sides", help="Undo left/right swaps and keep the track IDs.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The new JSON file. Default: RESULT.retracked.json.", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Assign track IDs again over the whole clip, so that a person who leaves and returns keeps the same ID.

    Cuts tracks where they may have changed from one person to another. Joins the parts by time, place, size, body
    proportions and, with --source, colours. Lists every join with its cost. RESULT does not change.

    [bold]Examples[/bold]

      posecli retrack class.pose.json --people 2 --source class.mp4
      posecli retrack class.pose.json --people 2 --apart 3
      posecli retrack squat.pose.json --only-sides
    """
    from dataclasses import asdict

    from posecli.cli import console
    from posecli.cli.changed import new_result, tell_written, write_changed
    from posecli.results import retrack as tracks
    from posecli.results import sides
    from posecli.results.recording import read_result
    from posecli.results.render import reopened

    unwanted = _numbers(apart)
    if only_sides and (people is not None or unwanted):
        raise typer.BadParameter("--only-sides keeps the track IDs: leave out --people and --apart.")
    files = new_result(out or result.with_name(f"{result.stem}.retracked.json"), source, overwrite, result)
    recording = read_result(result)
    before = recording
    if not only_sides:
        opened = None if source is None else reopened(recording, str(source))
        try:
            with console.progress("looking", len(recording.frames), "frames", quiet or opened is None) as bar:
                recording, joins, left = tracks.retrack(
                    recording, people, opened, unwanted,
                    lambda: bar.advance(bar.task_ids[0]) if bar else None,
                )  # fmt: skip
        finally:
            if opened is not None:
                opened.close()
        recording = recording.with_options(retrack={"people": people, "joins": [asdict(j) for j in joins]})
        _show(joins, left, quiet)
        for sentence in tracks.described(recording) if people is not None else ():
            console.tell(sentence, quiet)
    if repair_sides or only_sides:
        recording, changed = sides.repair_sides(recording)
        recording = recording.with_options(repair_sides=True)
        console.tell(f"Left and right were swapped back in {changed} places.", quiet)
    if people is not None and len(recording.tracks) < people:
        console.tell(f"{len(recording.tracks)} of {people} people found.", quiet)
    _compare(before, recording, quiet)
    write_changed(recording, files, source, quiet)
    tell_written(files, quiet)


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text else []
    except ValueError:
        raise typer.BadParameter(f"--apart {text} is not a list of numbers, such as 2,5.") from None


def _show(joins: list[Join], left: list[tuple[int, float, float]], quiet: bool) -> None:
    from rich.table import Table

    from posecli.cli import console

    if quiet:
        return
    news = [j for j in joins if j.earlier != j.later]
    if len(joins) > len(news):
        console.tell(f"{len(joins) - len(news)} possible swaps of track IDs were checked: no swap there.")
    if news:
        table = Table("join", "track", "until", "track", "from", "are person", "cost")
        for j in news:
            table.add_row(
                str(j.number), str(j.earlier), f"{j.ended:.2f} s", str(j.later), f"{j.began:.2f} s", str(j.person),
                f"{j.cost:.2f}",
            )  # fmt: skip
        console.messages.print(table)
    for number, begins, ends in left:
        console.tell(f"Left out: track {number} from {begins:.2f} to {ends:.2f} s.")


def _compare(before: Recording, after: Recording, quiet: bool) -> None:
    """Print the number of tracks, left/right swaps and jitter, before and after."""
    import numpy as np

    from posecli.cli import console
    from posecli.metrics.video import jitter, side_swaps

    told = []
    for recording in (before, after):
        people = [(t.keypoints, np.maximum(t.boxes[:, 2:].max(axis=1), 1e-6)) for t in recording.tracks]
        swaps = sum(side_swaps(points, sizes, recording.skeleton) for points, sizes in people)
        told.append((len(people), swaps, jitter(people)))
    (a, b, c), (d, e, f) = told
    steady = "" if np.isnan([c, f]).any() else f", jitter {c:.2f} -> {f:.2f} % of the bounding box"
    console.tell(f"{a} -> {d} tracks, {b} -> {e} left/right swaps{steady}.", quiet)
