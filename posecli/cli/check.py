"""posecli check"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.results.check import Finding

SPANS = 3  # that a line tells


def check(
    result: o.Result,
    track: o.Tracks = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Also write the result with these joints flagged `implausible`, as JSON and CSV.",
        ),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Find joints that can't be right: limbs that are too long, jumps, two legs on one place, exchanged sides.

    One line for each person and joint. No network runs, and RESULT does not change. `posecli doctor` checks the machine,
    `posecli compare` compares networks, `posecli compare-motion` compares movements.

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
        console.tell("Nothing implausible was found.", quiet)
    if files is not None:
        write_changed(recording, files, None, quiet)
        tell_written(files, quiet)


def _times(finding: Finding) -> str:
    longest = sorted(sorted(finding.spans, key=lambda s: s[0] - s[1])[:SPANS])
    more = len(finding.spans) - len(longest)
    spans = ", ".join(f"{a:.2f} s" if a == b else f"{a:.2f}–{b:.2f} s" for a, b in longest)
    return (
        f"{_percent(finding.share)} of frames not believable ({spans}{f' and {more} more' if more else ''})"
    )


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"
