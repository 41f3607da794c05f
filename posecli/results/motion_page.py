"""The output of a comparison of two movements: a table with notes, a CSV and an HTML page.

The page works offline and loads only the video next to it.
"""

from __future__ import annotations

import json
import math
import os
import re
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from posecli.files import replacing
from posecli.results.motion import Comparison, Difference
from posecli.types import Array

TABLE = (
    "angle", "mean\nabs. °", "mean\n°", "largest\n°", "at A\ns", "at B\ns", "range\nA °", "range\nB °", "corr.", "share\n%",
)  # fmt: skip


def table_of(comparison: Comparison) -> list[list[str]]:
    """The table to display, with the header first and one row for each compared angle."""
    return [list(TABLE), *(_row(d) for d in comparison.differences)]


def notes_of(comparison: Comparison) -> list[str]:
    """Sentences that explain the numbers and name what is missing in them."""
    seconds_a, seconds_b = comparison.pace.seconds
    late, when = comparison.pace.furthest
    times = f"{seconds_a:.2f} s of A match {seconds_b:.2f} s of B"
    notes = [
        f"All angles together differ by {comparison.absolute:.1f}°: the mean absolute difference after the alignment, over "
        f"the frames of A.",
        f"{times}: B takes {seconds_b / seconds_a:.2f} times as long.",
    ]
    if abs(late) >= 0.005:
        notes.append(
            f"B is off an even pace by up to {abs(late):.2f} s: it is {'later' if late > 0 else 'earlier'} at "
            f"{when:.2f} s of A."
        )
    told = {d.name for d in comparison.differences}
    if missing := [words(name) for name in comparison.names if name not in told]:
        notes.append(f"Not compared, because it is missing in A or in B: {', '.join(missing)}.")
    if comparison.gaps:
        spans = ", ".join(f"{start:.2f}–{end:.2f} s" for start, end in comparison.gaps)
        notes.append(f"Nothing is compared at {spans} of A: no angle is there in both.")
    return notes


MEANING = (
    "Differences are B minus A, after the alignment. mean abs.: mean absolute difference; largest: the largest difference "
    "and its times; range: smallest and largest angle; corr.: Pearson's correlation, 1 if both rise and fall alike; share: "
    "percentage of the frames of A that could be compared."
)


def words(name: str) -> str:
    return name.replace("_", " ")


def csv_of(comparison: Comparison) -> list[list[str]]:
    """The rows of the CSV, with the header first and one row for each frame of A. Missing values are empty."""
    head = ["frame_a", "time_a", "time_b"]
    for name in comparison.names:
        head += [f"{name}_a_deg", f"{name}_b_deg", f"{name}_difference_deg"]
    rows = [head]
    off = comparison.b - comparison.a
    for n, frame in enumerate(comparison.frames):
        row = [str(frame), f"{comparison.times[n]:.6f}", f"{comparison.times_b[n]:.6f}"]
        for k in range(len(comparison.names)):
            row += [_number(values[n, k]) for values in (comparison.a, comparison.b, off)]
        rows.append(row)
    return rows


def write_page(
    comparison: Comparison, out: Path, title: str, who: tuple[str, str], how: str, video: Path | None
) -> None:
    """Write the page.

    who: a description of A and of B. how: a sentence about the alignment. video: a video to link to.
    Raises PoseError if the file can't be written.
    """
    template = resources.files("posecli.results").joinpath("motion.html").read_text(encoding="utf-8")
    head, *rows = table_of(comparison)
    cells = "".join(
        f"<tr><th scope='row'>{escape(row[0])}" + "".join(f"<td>{escape(c)}" for c in row[1:]) for row in rows
    )
    pieces = {
        "TITLE": escape(title),
        "WHO": "".join(
            f"<p class='who' style='--own: var(--{side})'>{escape(text)}</p>"
            for side, text in zip("ab", who, strict=True)
        )
        + f"<p>{escape(how)}</p>",
        "TABLE": f"<thead><tr>{''.join(f'<th scope=col>{escape(h)}' for h in head)}</thead><tbody>{cells}</tbody>",
        "NOTES": "".join(f"<p>{escape(note)}</p>" for note in notes_of(comparison))
        + f"<p class='soft'>{escape(MEANING)}</p>",
        # Escape "<", so that a file name with "</script>" can't end the element.
        "DATA": json.dumps(_data(comparison, out, video), allow_nan=False).replace("<", "\\u003c"),
    }
    text = re.sub(r"\{\{([A-Z]+)\}\}", lambda found: pieces[found[1]], template)
    with replacing(out) as part:
        part.write_text(text, encoding="utf-8")


def _data(comparison: Comparison, out: Path, video: Path | None) -> dict[str, Any]:
    off, told = comparison.b - comparison.a, {d.name for d in comparison.differences}
    return {
        "times": np.round(comparison.times, 4).tolist(),
        "times_b": np.round(comparison.times_b, 4).tolist(),
        "gaps": comparison.gaps,
        "apart": (np.flatnonzero(np.diff(comparison.rows) > 1) + 1).tolist(),
        "angles": [
            {
                "name": words(name),
                "a": _known(comparison.a[:, k]),
                "b": _known(comparison.b[:, k]),
                "difference": _known(off[:, k]),
            }
            for k, name in enumerate(comparison.names)
            if name in told
        ],
        "video": None
        if video is None
        else quote(os.path.relpath(video.resolve(), out.resolve().parent).replace(os.sep, "/")),
    }


def _row(d: Difference) -> list[str]:
    return [
        words(d.name),
        f"{d.absolute:.1f}",
        f"{d.mean:+.1f}",
        f"{d.largest:+.1f}",
        *(f"{time:.2f}" for time in d.at),
        *(f"{low:.0f}–{high:.0f}" if low >= 0 else f"{low:.0f} to {high:.0f}" for low, high in (d.a, d.b)),
        "–" if math.isnan(d.correlation) else f"{d.correlation:.2f}",
        f"{100 * d.share:.0f}",
    ]


def _known(values: Array) -> list[float | None]:
    return [None if math.isnan(v) else round(float(v), 2) for v in values]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
