"""Steps by the ankles alone beside steps by heels and big toes, for each clip, and beside contacts seen by eye.

    python scripts/compare_contacts.py videos/gait_side.mp4 videos/phone_portrait.mp4
    python scripts/compare_contacts.py results/ --sure 0.6

Sources are clips, which `run` works on first, or results, or folders of results. The columns: steps by either way; how many
agree within 0.1 s; how many of those moved, and by how much; in how many frames heel and toe of a foot are sure, of people who
step. tests/data/contacts.json holds contacts of three clips that were seen by eye: how many, and of either way how many
it finds within 0.1 s, how many others it has, and how late it is (median).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import posecli
from posecli.results import feet
from posecli.results.events import events
from posecli.results.recording import Recording

SEEN = Path(__file__).parents[1] / "tests" / "data" / "contacts.json"
SAME = 0.1  # seconds
Contact = tuple[int, str, float]  # person, side, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--model", default="small")
    parser.add_argument("--sure", type=float, default=feet.SURE_SOLE, help="confidence of heels and toes")
    options = parser.parse_args()
    feet.SURE_SOLE = options.sure
    seen = json.loads(SEEN.read_text(encoding="utf-8"))["contacts"]
    head = (
        "clip", "ankles", "heels and toes", "agree", "moved", "median, s", "feet sure, %", "by eye", "ankles",
        "heels and toes",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for recording in recordings(options.sources, options.model):
        name = recording.header["source"]["name"]
        ankles, soles = steps(without_feet(recording)), steps(recording)
        pairs = matched(ankles, soles)
        moves = [b - a for a, b in pairs if b != a]
        cells = [
            name, len(ankles), len(soles), len(pairs), len(moves),
            f"{np.median(moves):+.3f}" if moves else "", f"{100 * sure_share(recording, soles):.0f}",
        ]  # fmt: skip
        cells += beside_eye(seen.get(name, []), ankles, soles)
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def recordings(sources: list[Path], model: str) -> list[Recording]:
    found = []
    for source in sources:
        if source.is_dir():
            found += [posecli.read(path) for path in sorted(source.glob("*.json"))]
        elif source.suffix == ".json":
            found.append(posecli.read(source))
        else:
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "result.mp4"
                posecli.annotate(source, out, video=False, csv=False, model=model)
                found.append(posecli.read(out.with_suffix(".json")))
    return found


def without_feet(recording: Recording) -> Recording:
    """The same joints without heels and big toes."""
    kept = [k for k, joint in enumerate(recording.joints) if not joint.endswith(feet.SOLE)]
    skeleton = {"name": "ankles", "joints": [recording.joints[k] for k in kept]}
    tracks = tuple(
        replace(t, keypoints=t.keypoints[:, kept], marks={f: m[:, kept] for f, m in t.marks.items()})
        for t in recording.tracks
    )
    return replace(recording, header={**recording.header, "skeleton": skeleton}, tracks=tracks)


def steps(recording: Recording) -> list[Contact]:
    return [(e.track, e.side, e.start) for e in events(recording, "steps")]


def matched(one: list[Contact], other: list[Contact]) -> list[tuple[float, float]]:
    """Seconds of contacts of the same foot that are less than SAME apart, each used once, nearest first."""
    near = sorted(
        (abs(b[2] - a[2]), n, m)
        for n, a in enumerate(one)
        for m, b in enumerate(other)
        if a[:2] == b[:2] and abs(b[2] - a[2]) <= SAME
    )
    pairs: dict[int, int] = {}
    for _, n, m in near:
        if n not in pairs and m not in pairs.values():
            pairs[n] = m
    return [(one[n][2], other[m][2]) for n, m in sorted(pairs.items())]


def sure_share(recording: Recording, found: list[Contact]) -> float:
    """Of the feet of people who step: the share of frames in which heel and toe are both sure."""
    stepping = {track for track, _, _ in found}
    rows = [
        feet.sure_sole(recording, t, side)
        for t in recording.tracks
        for side in ("left", "right")
        if t.number in stepping
    ]
    return float(np.concatenate(rows).mean()) if rows else float("nan")


def beside_eye(seen: list[tuple[str, float]], *ways: list[Contact]) -> list[str]:
    """How many contacts were seen, and of each way how many it finds, how many others it has, and its median error. The
    person is the one who has most steps."""
    if not seen:
        return ["", *("" for _ in ways)]
    told = [str(len(seen))]
    for found in ways:
        numbers = [track for track, _, _ in found]
        person = max(set(numbers), key=numbers.count, default=0)
        own = [contact for contact in found if contact[0] == person]
        pairs = matched([(person, side, time) for side, time in seen], own)
        late = np.median([b - a for a, b in pairs]) if pairs else np.nan
        told.append(f"{len(pairs)}, {len(own) - len(pairs)} wrong, {late:+.3f} s")
    return told


if __name__ == "__main__":
    main()
