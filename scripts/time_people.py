"""What each person costs, and what `--select` and `--of` cost, in whole runs.

    python scripts/time_people.py clip.mp4 --people 8 --end 4

clip.mp4: a clip with several people all the time. One run follows everybody, one the largest person, and the others those who are
longest on screen (`--select IDS --of RESULT`, which needs no detector). Printed are seconds, CPU seconds and milliseconds of CPU a
frame, the least of some rounds. The time before the first frame is in them. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--end", default="4", help="seconds of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        common = ["run", str(options.clip), "--end", options.end, "--quiet", "--overwrite", "--device", "cpu"]
        everybody = Path(folder) / "all.mp4"
        _run([*common, "--out", str(everybody)])
        result = json.loads(everybody.with_suffix(".json").read_text(encoding="utf-8"))
        tracks = _longest(result)
        wanted = [("everybody", []), ("--select largest", ["--select", "largest"])]
        for n in (n for n in (1, 2, 4, 8, 16) if n <= min(options.people, len(tracks))):
            chosen = ",".join(map(str, tracks[:n]))
            wanted.append(
                (f"{n}: --select --of", ["--select", chosen, "--of", str(everybody.with_suffix(".json"))])
            )
        print(f"{'':24}{'seconds':>9}{'CPU s':>8}{'CPU ms a frame':>16}{'people a frame':>16}")
        for name, more in wanted:
            out = Path(folder) / "one.mp4"
            rounds = [_run([*common, "--out", str(out), *more]) for _ in range(options.rounds)]
            seconds, cpu = min(rounds)[0], min(r[1] for r in rounds)
            frames = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["frames"]
            people = sum(len(frame["people"]) for frame in frames) / len(frames)
            print(f"{name:24}{seconds:9.2f}{cpu:8.2f}{1000 * cpu / len(frames):16.1f}{people:16.2f}")


def _run(arguments: list[str]) -> tuple[float, float]:
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "posecli", *arguments], check=True, capture_output=True)
    seconds, after = time.perf_counter() - start, os.times()
    return (
        seconds,
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


def _longest(result: dict[str, list[dict[str, list[dict[str, int]]]]]) -> list[int]:
    """The track IDs, those in most frames first."""
    tracks = Counter(person["track"] for frame in result["frames"] for person in frame["people"])
    return [track for track, _ in tracks.most_common()]


if __name__ == "__main__":
    main()
