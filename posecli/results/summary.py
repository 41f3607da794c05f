"""One page to print: the angles of each person, left and right, and the events."""

from __future__ import annotations

from html import escape

from posecli.errors import PoseError
from posecli.metrics.angles import JOINT_ANGLES
from posecli.results.check import check
from posecli.results.events import asked_events, summary
from posecli.results.measure import MIDDLE_SEGMENTS, measurable
from posecli.results.measure_table import SUMMARY_HEAD, summary_of
from posecli.results.recording import Recording, Track
from posecli.types import IMPLAUSIBLE
from posecli.version import __version__

FEWEST = 5  # minimum number of frames for a table of a person
ANGLES = (*JOINT_ANGLES, "trunk")
STYLE = """
@page { size: A4; margin: 15mm; }
body { font: 14px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 50rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; }
p { margin: .2rem 0; } .note { color: #555; font-size: 12px; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; } section { break-inside: avoid; overflow-x: auto; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .5rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } .middle { text-align: center; } thead tr:first-child th { text-align: center; border-bottom: 0; }
"""
HEAD = (
    "<thead><tr><th rowspan='2'>Angle, degrees<th colspan='3'>Left<th colspan='3'>Right<th rowspan='2'>Range, left − right"
    "<tr><th>least<th>most<th>range<th>least<th>most<th>range</thead>"
)


def summary_page(recording: Recording, events: str = "") -> str:
    """The page as HTML. It works offline.

    events: kinds to count, such as "steps,jumps".
    Raises PoseError for untracked results, and for events that the skeleton has no joints for.
    """
    if any(t.number is None for t in recording.tracks):
        raise PoseError("This result was made with --no-tracking: nobody can be followed over time.")
    source = recording.header["source"]
    happened = [
        line for found in asked_events(recording, events).values() for line in summary(recording, found)
    ]
    rows = summary_of([("", recording)], measurable(recording.joints, ANGLES))[1:]
    checked = check(recording)[0]
    times = recording.times
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><title>{escape(source['name'])}</title>",
        f"<style>{STYLE}</style><h1>{escape(source['name'])}</h1>",
        f"<p>{times[0]:.2f} to {times[-1]:.2f} s, {len(times)} frames, {_people(len(recording.tracks))}.",
        *(_person(recording, track, rows) for track in checked.tracks),
    ]
    if happened:
        parts.append(
            f"<section><h2>Events</h2>{''.join(f'<p>{escape(line)}' for line in happened)}</section>"
        )
    parts.append(
        "<p class='note'>Angles are measured in the picture. They are true only for movements parallel to it. Joints that "
        f"cannot be right are left out. Look at the video before you trust a number. Made by posecli {__version__}, network "
        f"{escape(recording.header['model']['name'])}."
    )
    return "\n".join(parts)


def _person(recording: Recording, track: Track, rows: list[list[str]]) -> str:
    name = recording.names.get(track.number or 0, f"Person {track.number}")
    times = recording.times[track.rows]
    wrong = track.marks.get(IMPLAUSIBLE)
    share = 0.0 if wrong is None or not len(wrong) else float(wrong.any(axis=1).mean())
    doubt = f" In {_percent(share)} of the frames a joint cannot be right." if share else ""
    if len(track) < FEWEST:
        return f"<section><h2>{escape(name)}</h2><p>Seen in {len(track)} frames only.</section>"
    lines = []
    for row in rows:
        told = dict(zip(SUMMARY_HEAD, row, strict=True))
        if told["track"] == str(track.number):
            lines.append(f"<tr><td>{escape(told['angle'])}{_cells(told)}")
    return f"<section><h2>{escape(name)}</h2><p>Seen from {times[0]:.2f} to {times[-1]:.2f} s. {doubt}<table>{HEAD}<tbody>{''.join(lines)}</tbody></table></section>"


def _cells(told: dict[str, str]) -> str:
    """The table cells of an angle, rounded. The difference is that of the rounded values.

    An angle without a side spans the columns of both sides.
    """
    if told["angle"] in MIDDLE_SEGMENTS:
        low, high, span = (_degrees(told[f"left_{what}_deg"]) for what in ("min", "max", "range"))
        return f"<td colspan='6' class='middle'>{low} to {high}, range {span}<td>"
    cells = [
        _degrees(told[f"{side}_{what}_deg"]) for side in ("left", "right") for what in ("min", "max", "range")
    ]
    known = "–" not in (cells[2], cells[5])
    return "".join(
        f"<td>{cell}" for cell in [*cells, f"{int(cells[2]) - int(cells[5]):+d}" if known else "–"]
    )


def _degrees(cell: str) -> str:
    return str(round(float(cell))) if cell else "–"


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
