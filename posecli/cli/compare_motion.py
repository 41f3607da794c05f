"""posecli compare-motion"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from posecli.cli import options as o
from posecli.lists import listed

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing
    from posecli.results.motion import Comparison, Curves, Pace
    from posecli.results.recording import Recording, Track

ALIGNMENTS = ("dtw", "events", "start")
ALIGNMENT = "What to compare"


@dataclass(frozen=True)
class Side:
    """One of the two recordings to compare."""

    letter: str  # A or B
    path: Path
    recording: Recording
    track: Track
    curves: Curves
    by_default: bool  # no track ID was given

    def told(self) -> str:
        number = self.track.number or 0
        name = self.recording.names.get(number, f"person {number}")
        among = len(self.recording.tracks)
        if among > 1:
            name += f" (of {among} people{', the one seen longest' if self.by_default else ''})"
        start, end = self.curves.times[[0, -1]]
        return f"{self.letter}: {self.path.name}, {name}, {start:.2f} to {end:.2f} s"


@o.takes(o.drawing, without=("trails", "trail_seconds"))
def compare_motion(
    a: Annotated[Path, typer.Argument(metavar="A", help="The .json or .jsonl file of a run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another such file, or the same one.")],
    angles: Annotated[
        str, typer.Option(help="Angles to compare, as in `posecli measure`.", rich_help_panel=ALIGNMENT)
    ] = "knee,hip",
    track_a: Annotated[
        int | None,
        typer.Option(
            help="Track ID in A. Default: the person who is longest on screen.", rich_help_panel=o.PEOPLE
        ),
    ] = None,
    track_b: Annotated[
        int | None,
        typer.Option(
            help="Track ID in B. Default: the person who is longest on screen.", rich_help_panel=o.PEOPLE
        ),
    ] = None,
    mirror: Annotated[
        bool,
        typer.Option(
            "--mirror", help="Compare the left side of A with the right side of B.", rich_help_panel=o.PEOPLE
        ),
    ] = False,
    align: Annotated[
        str,
        typer.Option(
            help="How to match the times. dtw: dynamic time warping of these angles. events: the first event of A at the "
            "first event of B. start: both from their start, without warping.",
            rich_help_panel=ALIGNMENT,
        ),
    ] = "dtw",
    kind: Annotated[
        str,
        typer.Option(
            help="With events: steps, jumps, or repetitions of the first angle.", rich_help_panel=ALIGNMENT
        ),
    ] = "repetitions",
    window: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            min=0.0,
            help="With dtw: largest time shift from an even pace, in seconds of A.",
            rich_help_panel=ALIGNMENT,
        ),
    ] = None,
    start_a: Annotated[
        Optional[float], typer.Option(help="Start of the part of A, in seconds.", rich_help_panel=ALIGNMENT)  # noqa: UP045
    ] = None,
    end_a: Annotated[
        Optional[float], typer.Option(help="End of the part of A, in seconds.", rich_help_panel=ALIGNMENT)  # noqa: UP045
    ] = None,
    start_b: Annotated[
        Optional[float], typer.Option(help="Start of the part of B, in seconds.", rich_help_panel=ALIGNMENT)  # noqa: UP045
    ] = None,
    end_b: Annotated[
        Optional[float], typer.Option(help="End of the part of B, in seconds.", rich_help_panel=ALIGNMENT)  # noqa: UP045
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML page. A CSV is written next to it. Default: A.against.B.html.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="Also write a video of both side by side, matched in time.", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    source_a: Annotated[
        Path | None, typer.Option(help="Video of A. Default: the one next to A.", rich_help_panel=o.OUTPUT)
    ] = None,
    source_b: Annotated[
        Path | None, typer.Option(help="Video of B. Default: the one next to B.", rich_help_panel=o.OUTPUT)
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    *,
    drawing: Drawing,
) -> None:
    """Compare the angles of one movement in two results, such as before and after.

    Prints a table. Writes an HTML page with the curves, and a CSV with one row for each frame of A. Implausible joints
    are left out (see `posecli check`). To compare networks, use `posecli compare`.

    [bold]Examples[/bold]

      posecli compare-motion before.pose.json after.pose.json --angles knee,hip
      posecli compare-motion me.pose.json her.pose.json --video both.mp4 --mirror
      posecli compare-motion run.pose.json run.pose.json --end-a 2.5 --start-b 4
    """  # fmt: skip
    from posecli.cli import console
    from posecli.files import check_free
    from posecli.results.events import KINDS
    from posecli.results.measure_table import write_table
    from posecli.results.motion import compare
    from posecli.results.motion_page import csv_of, write_page

    if align not in ALIGNMENTS:
        raise typer.BadParameter(f"--align is one of {', '.join(ALIGNMENTS)}.")
    if kind not in KINDS:
        raise typer.BadParameter(f"--kind is one of {', '.join(KINDS)}.")
    wanted = listed(angles)
    if not wanted:
        raise typer.BadParameter("--angles needs at least one angle, such as knee,hip.")
    for letter, start, end in (("a", start_a, end_a), ("b", start_b, end_b)):
        if start is not None and end is not None and end <= start:
            raise typer.BadParameter(
                f"--end-{letter} {end:g} does not come after --start-{letter} {start:g}."
            )
    page = _page(out, a, b)
    table = page.with_suffix(".csv")
    check_free([page, table, video], overwrite)
    one = _side("A", a, track_a, wanted, start_a, end_a, False)
    other = _side("B", b, track_b, wanted, start_b, end_b, mirror)
    sources = _sources(video, (one, source_a), (other, source_b))
    pace, how = _pace(one, other, align, kind, window, wanted[0], mirror)
    comparison = compare(one.curves, other.curves, pace)
    if video is not None:
        _draw(one, other, sources, comparison, video, _with_angles(drawing, wanted), quiet)
    who = (one.told(), other.told() + (", in a mirror" if mirror else ""))
    write_table(csv_of(comparison), table)
    write_page(comparison, page, f"{a.name} and {b.name}", who, how, video)
    if not quiet:
        _show(comparison, [*who, how])
    for path in (page, table, video):
        if path is not None:
            console.tell(str(path), quiet)


def _page(out: Path | None, a: Path, b: Path) -> Path:
    from posecli.errors import PoseError

    name = f"{a.stem}.against.{b.stem}.html"
    page = a.with_name(name) if out is None else out / name if out.is_dir() else out
    if page.suffix not in (".html", ".csv"):
        raise PoseError(f"{page} is no HTML file; give a name that ends in .html.")
    if page.with_suffix("") in (a.with_suffix(""), b.with_suffix("")):
        raise PoseError(f"{page.with_suffix('.csv')} is the CSV of a result; choose another --out.")
    return page.with_suffix(".html")


def _side(
    letter: str,
    path: Path,
    number: int | None,
    angles: list[str],
    start: float | None,
    end: float | None,
    mirror: bool,
) -> Side:
    from posecli.errors import PoseError
    from posecli.results.measure import check_angles
    from posecli.results.motion import curves_of, longest_seen
    from posecli.results.recording import read_result

    recording = read_result(path)
    try:
        check_angles(recording.joints, angles)
    except PoseError as error:
        raise PoseError(f"{letter}, {path.name}: {error}") from error
    longest = longest_seen(recording)  # raises PoseError for untracked results
    track = longest if number is None else recording.track(number)
    curves = curves_of(recording, track, angles, start=start, end=end, mirror=mirror)
    return Side(letter, path, recording, track, curves, number is None)


def _pace(
    a: Side, b: Side, align: str, kind: str, window: float | None, angle: str, mirror: bool
) -> tuple[Pace, str]:
    """The pace, and a sentence about how A and B were aligned."""
    from posecli.results.motion import by_events, by_warping, from_start

    if align == "start":
        return from_start(a.curves, b.curves), "Aligned by their starts, each in its own time."
    if align == "dtw":
        return by_warping(a.curves, b.curves, window), "Aligned by dynamic time warping over these angles."
    both = ((side.recording, side.track, side.curves) for side in (a, b))
    pace, pairs, (in_a, in_b) = by_events(*both, kind, angle=angle, mirror=mirror)  # type: ignore[misc, arg-type]
    return pace, f"Aligned by {kind}, {pairs} in each: A has {in_a}, B has {in_b}."


def _sources(video: Path | None, *sides: tuple[Side, Path | None]) -> list[Path]:
    """The source videos to draw. Raises PoseError before any work if one is missing."""
    from posecli.errors import PoseError
    from posecli.files import check_not_source
    from posecli.output.video import check_output

    if video is None:
        return []
    check_output(video)
    found = []
    for side, given in sides:
        source = given or side.path.with_name(side.recording.header["source"]["name"])
        if given is not None and not given.exists():
            raise PoseError(f"There is no video {given}.")
        if not source.exists():
            raise PoseError(
                f"There is no {source} to draw; name {side.letter}'s video with --source-{side.letter.lower()}."
            )
        check_not_source([video], str(source))
        found.append(source)
    return found


def _with_angles(drawing: Drawing, angles: list[str]) -> Drawing:
    """Draw the compared angles, as far as they can be drawn, unless others are set."""
    from posecli.metrics.angles import JOINT_ANGLES

    drawn = tuple(a for a in angles if a.split("_")[-1] in JOINT_ANGLES)
    return replace(drawing, angles=drawing.angles or drawn)


def _draw(
    a: Side, b: Side, sources: list[Path], comparison: Comparison, out: Path, drawing: Drawing, quiet: bool
) -> None:
    from contextlib import closing

    from posecli.cli import console
    from posecli.results.render import reopened
    from posecli.results.side_by_side import Clip, write_side_by_side

    with (
        closing(reopened(a.recording, str(sources[0]))) as source_a,
        closing(reopened(b.recording, str(sources[1]))) as source_b,
        console.progress(out.name, len(comparison.times), "frames", quiet) as bar,
    ):
        one, other = (
            Clip(s.recording, source, s.track.number or 0) for s, source in ((a, source_a), (b, source_b))
        )
        write_side_by_side(
            one, other, comparison.pace, out, drawing, lambda: bar.advance(bar.task_ids[0]) if bar else None
        )


def _show(comparison: Comparison, head: list[str]) -> None:
    from rich.table import Table

    from posecli.cli import console
    from posecli.results.motion_page import MEANING, notes_of, table_of

    for line in head:
        console.results.print(console.printable(line), soft_wrap=True)
    titles, *rows = table_of(comparison)
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for n, title in enumerate(titles):
        table.add_column(title, justify="right" if n else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.results.print(table)
    for line in (MEANING, *notes_of(comparison)):
        console.results.print(line, soft_wrap=True)
