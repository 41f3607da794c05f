"""How many wrong joints `posecli check` catches, and how many right ones it flags, on joints judged by eye.

    python scripts/score_check.py videos/
    python scripts/score_check.py videos/ --model small --rules

tests/data/judged_joints.json holds the joints. Another network puts them elsewhere: a joint counts as right where it lies
within 0.1 torso of a right one, as wrong within 0.1 torso of a wrong one or 0.3 torso or more from a right one; others are
left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import posecli
from posecli.results.check import implausible_joints
from posecli.results.recording import Recording, Track

JUDGED = Path(__file__).parents[1] / "tests" / "data" / "judged_joints.json"
SAME, FAR = 0.1, 0.3  # torsos


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="small")
    parser.add_argument("--results", type=Path, help="read CLIP.json from this folder instead of running")
    parser.add_argument("--rules", action="store_true", help="say what each rule flags")
    options = parser.parse_args()
    frames = json.loads(JUDGED.read_text(encoding="utf-8"))["frames"]
    total, rules = Counter[str](), Counter[str]()
    for clip in dict.fromkeys(frame["clip"] for frame in frames):
        recording = result_of(options.folder / clip, options.model, options.results)
        flagged = {t.number: implausible_joints(recording, t) for t in recording.tracks}
        for frame in frames:
            if frame["clip"] != clip:
                continue
            found = person_at(recording, frame)
            if found is None:
                total["nobody there"] += len(frame["joints"])
                continue
            track, row = found
            for joint, (x, y, judged) in frame["joints"].items():
                k = recording.joints.index(joint)
                away = np.linalg.norm(track.keypoints[row, k, :2] - [x, y]) / torso(recording, track, row)
                if away > SAME and (judged == "wrong" or away < FAR):
                    total["moved"] += 1
                    continue
                verdict = "wrong" if away > SAME else judged
                by = [rule for rule, flags in flagged[track.number].items() if flags[row, k]]
                total[f"{verdict}{', flagged' if by else ''}"] += 1
                rules.update(f"{rule}, {verdict}" for rule in by)
    caught, missed = total["wrong, flagged"], total["wrong"]
    false, left = total["right, flagged"], total["right"]
    print(f"wrong joints caught: {caught} of {caught + missed}")
    print(f"right joints flagged: {false} of {false + left}")
    print(f"left out: {total['moved']} that moved, {total['nobody there']} of people not found")
    if options.rules:
        for name, count in sorted(rules.items()):
            print(f"  {name}: {count}")


def result_of(clip: Path, model: str, folder: Path | None) -> Recording:
    if folder is not None:
        return posecli.read(folder / f"{clip.stem}.json")
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "result.mp4"
        posecli.annotate(clip, out, video=False, csv=False, model=model)
        return posecli.read(out.with_suffix(".json"))


def person_at(recording: Recording, frame: dict[str, object]) -> tuple[Track, int] | None:
    """Who is meant: the person in this frame whose joints lie nearest, if they are near at all."""
    joints: dict[str, tuple[float, float, str]] = frame["joints"]  # type: ignore[assignment]
    columns = [recording.joints.index(name) for name in joints]
    wanted = np.array([point[:2] for point in joints.values()])
    best = None
    for track in recording.tracks:
        for row in np.flatnonzero(recording.frames[track.rows] == frame["frame"]):
            points = track.keypoints[row, columns, :2]
            away = float(np.median(np.linalg.norm(points - wanted, axis=1)))
            if away < torso(recording, track, int(row)) and (best is None or away < best[0]):
                best = away, track, int(row)
    return None if best is None else best[1:]


def torso(recording: Recording, track: Track, row: int) -> float:
    place = {name: track.keypoints[row, k, :2] for k, name in enumerate(recording.joints)}
    lengths = [
        np.linalg.norm(place[f"{a}_shoulder"] - place[f"{b}_hip"])
        for a, b in (("left", "right"), ("right", "left"))
    ]
    return float(max(*lengths, 0.15 * track.boxes[row, 2:].max()))


if __name__ == "__main__":
    main()
