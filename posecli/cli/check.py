"""posecli check"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.results.check import Finding

SPANS = 3  # maximum number of time spans in a line


def check(
    result: o.Result,
    track: o.Tracks = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Also write a new JSON and CSV, with these joints flagged `implausible`.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Find implausible joints: limbs of the wrong length, jumps, both legs in one place, left/right swaps.

    Prints one line per person and joint. RESULT does not change. To check this machine, use `posecli doctor`.

    [bold]Examples[/bold]

      posecli check squat.pose.json
      posecli check squat.pose.json --out checked.json
      posecli smooth squat.pose.json --replace-implausible
    """
    from posecli.cli import console
    from posecli.cli.changed import new_result, tell_written, write_changed
    from posecli.results.check import check as checked
    from posecli.results.recording import only, read_result

    files = new_result(out, None, overwrite, result) if out is not None else None
    recording, findings = checked(only(read_result(result), track))
    for finding in findings:
        name = recording.names.get(finding.track, f"Person {finding.track}")
        print(f"{name}, {finding.joint.replace('_', ' ')}: {_times(finding)}, {', '.join(finding.reasons)}")
    if not findings:
        console.tell("No implausible joints were found.", quiet)
    if files is not None:
        write_changed(recording, files, None, quiet)
        tell_written(files, quiet)


def _times(finding: Finding) -> str:
    longest = sorted(sorted(finding.spans, key=lambda s: s[0] - s[1])[:SPANS])
    more = len(finding.spans) - len(longest)
    spans = ", ".join(f"{a:.2f} s" if a == b else f"{a:.2f}–{b:.2f} s" for a, b in longest)
    return f"{_percent(finding.share)} of frames implausible ({spans}{f' and {more} more' if more else ''})"


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"
