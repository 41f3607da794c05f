"""posecli smooth"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from posecli.cli import options as o

FILTER, GAPS = "Filter", "Gaps and wrong joints"


def smooth(
    result: o.Result,
    method: Annotated[
        str,
        typer.Option(
            help="butterworth (the usual choice, no delay), savgol (Savitzky-Golay, keeps peaks), one-euro (uses earlier frames "
            "only) or none.",
            rich_help_panel=FILTER,
        ),
    ] = "butterworth",
    cutoff: Annotated[
        float,
        typer.Option(
            min=0.01,
            help="butterworth: cut-off frequency in Hz. A lower value smooths more.",
            rich_help_panel=FILTER,
        ),
    ] = 6.0,
    window: Annotated[
        float, typer.Option(min=0.01, help="savgol: window length in seconds.", rich_help_panel=FILTER)
    ] = 0.3,
    min_cutoff: Annotated[
        float,
        typer.Option(min=0.001, help="one-euro: cut-off frequency in Hz at rest.", rich_help_panel=FILTER),
    ] = 1.0,
    beta: Annotated[
        float,
        typer.Option(
            min=0.0, help="one-euro: how much the cut-off frequency rises with speed.", rich_help_panel=FILTER
        ),
    ] = 0.02,
    fill: Annotated[
        int,
        typer.Option(
            min=0, help="Fill gaps of up to N frames by linear interpolation.", rich_help_panel=GAPS
        ),
    ] = 0,
    unsure: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Also replace joints with a lower confidence (needs --fill).",
            rich_help_panel=GAPS,
        ),
    ] = 0.0,
    reject: Annotated[
        bool,
        typer.Option(
            "--reject-outliers",
            help="Also replace outliers (Hampel filter; needs --fill).",
            rich_help_panel=GAPS,
        ),
    ] = False,
    replace_implausible: Annotated[
        bool,
        typer.Option(
            "--replace-implausible",
            help="First replace the joints that `posecli check` reports, for up to 1 s in a row.",
            rich_help_panel=GAPS,
        ),
    ] = False,
    resample: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Write rows at a constant rate, such as 100Hz.", rich_help_panel=o.OUTPUT),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The new JSON file. Default: RESULT.smooth.json.", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    source: o.SourceVideo = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Smooth joint paths, fill gaps, remove outliers, or resample.

    Uses the true time of each frame. Writes a new JSON and CSV; RESULT does not change. Their `flags` name the smoothed
    and interpolated rows.

    [bold]Examples[/bold]

      posecli smooth squat.pose.json
      posecli smooth squat.pose.json --cutoff 8 --fill 5 --reject-outliers
      posecli smooth squat.pose.json --replace-implausible
      posecli smooth squat.pose.json --method none --resample 100Hz --out even.json
    """
    from dataclasses import asdict

    from posecli.cli import console
    from posecli.cli.changed import new_result, tell_written, write_changed
    from posecli.results import smooth as filters
    from posecli.results.check import replace_implausible as replaced_implausible
    from posecli.results.recording import read_result

    if method not in filters.METHODS:
        raise typer.BadParameter(f"--method is one of {', '.join(filters.METHODS)}.")
    if (unsure or reject) and not fill:
        raise typer.BadParameter("--unsure and --reject-outliers need --fill, the longest gap to fill.")
    rate = _rate(resample)
    if source is not None and rate is not None:
        raise typer.BadParameter(
            "--resample writes rows between frames, so no video can be drawn: leave out --source."
        )
    files = new_result(out or result.with_name(f"{result.stem}.smooth.json"), source, overwrite, result)
    recording = read_result(result)
    how = filters.Smoothing(
        method=method,
        cutoff=cutoff,
        window=window,
        min_cutoff=min_cutoff,
        beta=beta,
        fill=fill,
        unsure=unsure,
        reject=reject,
    )
    if replace_implausible:
        recording, left = replaced_implausible(recording)
        if left:
            console.tell(
                f"{left} implausible joints were flagged but not replaced: no plausible frame is within 1 s.",
                quiet,
            )
        recording = recording.with_options(replace_implausible=True)
    recording = filters.smooth(recording, how).with_options(smoothing=asdict(how))
    if rate is not None:
        recording = filters.resample(recording, rate).with_options(resample=rate)
    write_changed(recording, files, source, quiet)
    tell_written(files, quiet)


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text.lower().removesuffix("hz"))
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 10_000:
        raise typer.BadParameter(f"--resample {text} is not a rate, such as 100Hz.")
    return rate
