"""Heels and toes of labelled people by a teacher, kept only where the teacher agrees with the human labels.

No data set that posecli trains on has feet. BlazePose heavy (Apache-2.0) has: among its 33 points are the heels and the
front ends of the feet (`foot_index`). It runs on each labelled person twice, on the crop and on the mirrored crop. A foot
is kept where the rules below hold.

    python -m venv teacher && teacher/bin/pip install ai-edge-litert numpy pillow
    npm pack @mediapipe/pose && tar xzf mediapipe-pose-*.tgz package/pose_landmark_heavy.tflite
    teacher/bin/python scripts/label_feet.py people/train.json package/pose_landmark_heavy.tflite feet.json

The answers, before any rule, go to feet.jsonl, a line for each person. Started again, it goes on after the last line;
another rule needs no new answers. It wants nothing of posecli, so that the teacher has an environment of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# The rules. A torso is the longest labelled way from a shoulder to a hip.
MIN_TORSO = 28.0  # pixels of the photo: the foot is then about 12 long
# Torsos from the teacher's ankle to the labelled one; the knee too where it is labelled. The whole foot is then moved
# so that its ankle lies on the label.
MAX_FROM_LABEL = 0.3
# Torsos from the teacher's heel and toe to those of the mirrored crop, after both ankles were laid on the label.
MAX_FROM_MIRRORED = 0.1
# Its point at the front of the foot lies short of the big toe, by this part of its foot. It was chosen on the placed feet
# in clips; score_feet.py prints how much is still missing.
TOE_BEYOND = 0.12
MIN_INSIDE = 1.0  # pixels from the heel and the toe to the photo's border

# The crop, as the teacher's own program makes it: its middle is the middle of the hips, the torso is upright.
INPUT = 256  # pixels
MARGIN = 1.25  # wider ones, for the toes beyond the labelled ankles, bring fewer answers that agree

SIDES = ("left", "right")
# The teacher's points are 39 rows of x, y, z, visibility, presence. Left comes first, then right.
POINTS, COLUMNS = 39, 5
TEACHER = {"knee": 25, "ankle": 27, "heel": 29, "big_toe": 31}
LEG = [f"{side}_{part}" for part in TEACHER for side in SIDES]  # the order in the file of answers
LEG_ROWS = [first + n for first in TEACHER.values() for n in range(2)]
MIRRORED_ROWS = [first + 1 - n for first in TEACHER.values() for n in range(2)]

COCO_JOINTS = {
    f"{side}_{joint}": 5 + 2 * k + n
    for k, joint in enumerate(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
    for n, side in enumerate(SIDES)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="COCO keypoint file, with the photos in images/ beside it")
    parser.add_argument("model", type=Path, help="pose_landmark_heavy.tflite")
    parser.add_argument("out", type=Path, help="JSON with the feet; the answers go to .jsonl beside it")
    parser.add_argument("--most", type=int, help="no more than so many people, in the file's order")
    options = parser.parse_args()
    data = json.loads(options.people.read_text(encoding="utf-8"))
    photos = {image["id"]: image for image in data["images"]}
    wanted = [a for a in data["annotations"] if why_not_looked_at(a) is None][: options.most]
    answers = options.out.with_suffix(".jsonl")
    known = read_answers(answers)
    missing = [a for a in wanted if a["id"] not in known]
    print(f"{len(wanted)} people to look at, {len(wanted) - len(missing)} of them known.", flush=True)
    teacher = Teacher(options.model)
    with answers.open("a", encoding="utf-8") as file:
        for n, (person, answer) in enumerate(ask(teacher, missing, photos, options.people.parent), 1):
            file.write(json.dumps({"id": person["id"], **answer}) + "\n")
            file.flush()
            if n % 500 == 0:
                print(f"{n} of {len(missing)}", flush=True)
    known = read_answers(answers)
    feet, counts = choose(data["annotations"], photos, known)
    header = {"teacher": options.model.name, "sha256": teacher.sha256, "rules": rules(), "counts": counts}
    options.out.write_text(json.dumps({**header, "feet": feet}) + "\n", encoding="utf-8")
    for name, count in counts.items():
        print(f"{name}: {count}")


class Teacher:
    """BlazePose's landmark network on one CPU thread."""

    def __init__(self, model: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
        self._network = Interpreter(str(model), num_threads=1)
        self._network.allocate_tensors()
        self._input = self._network.get_input_details()[0]["index"]
        self._output = next(
            d["index"] for d in self._network.get_output_details() if d["shape"][-1] == POINTS * COLUMNS
        )

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """(256, 256, 3) RGB uint8 -> (39, 5): x and y in pixels of the crop from its corner."""
        self._network.set_tensor(self._input, crop[None].astype(np.float32) / 255)
        self._network.invoke()
        return self._network.get_tensor(self._output).reshape(POINTS, COLUMNS)

    def legs(self, photo: Image.Image, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
        """(8, 2) and (8, 2): the points LEG in photo pixels, of the crop and of the mirrored crop."""
        pixels = crop.cut(photo)
        straight = self(pixels)[LEG_ROWS, :2]
        mirrored = self(pixels[:, ::-1])[MIRRORED_ROWS, :2]
        mirrored = np.stack([INPUT - mirrored[:, 0], mirrored[:, 1]], axis=1)
        return crop.to_photo(straight), crop.to_photo(mirrored)


class Crop:
    """A turned square of a photo. Photo pixels are 0-based, whole numbers are pixel centres."""

    def __init__(self, hips: np.ndarray, shoulders: np.ndarray, reach: float) -> None:
        """reach: pixels from the middle of the hips to the farthest point of the body."""
        down = (hips - shoulders) / np.linalg.norm(hips - shoulders)
        right = np.array([down[1], -down[0]])
        self._middle = hips
        self._axes = np.stack([right, down]) * (2 * MARGIN * reach / INPUT)  # photo pixels per crop pixel

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) crop pixels from the corner -> photo pixels."""
        return self._middle + (points - INPUT / 2) @ self._axes

    def cut(self, photo: Image.Image) -> np.ndarray:
        """(256, 256, 3) RGB uint8, black outside of the photo."""
        (ax, ay), (bx, by) = self._axes
        corner = self.to_photo(np.zeros((1, 2)))[0] + 0.5  # Pillow counts from the corner of the first pixel
        turned = photo.transform(
            (INPUT, INPUT),
            Image.Transform.AFFINE,
            (ax, bx, corner[0], ay, by, corner[1]),
            Image.Resampling.BILINEAR,
        )
        return np.asarray(turned)


def ask(
    teacher: Teacher, people: Iterable[dict[str, Any]], photos: dict[int, dict[str, Any]], folder: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each person with the teacher's points in photo pixels."""
    for person in people:
        with Image.open(folder / "images" / photos[person["image_id"]]["file_name"]) as image:
            straight, mirrored = teacher.legs(image.convert("RGB"), crop_of(person))
        yield person, {"straight": straight.round(2).tolist(), "mirrored": mirrored.round(2).tolist()}


def crop_of(person: dict[str, Any]) -> Crop:
    """The teacher's crop around a labelled person."""
    points, labelled = joints_of(person)
    hips, shoulders = (middle(points, labelled, joint) for joint in ("hip", "shoulder"))
    assert hips is not None and shoulders is not None
    reach = np.linalg.norm(points[labelled] - hips, axis=1).max()
    return Crop(hips, shoulders, float(reach))


def joints_of(person: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) photo pixels and (K,) which were labelled by a human."""
    keypoints = np.array(person["keypoints"], float).reshape(-1, 3)
    labelled = keypoints[:, 2] > 0
    labelled[person.get("pseudo", [])] = False
    return keypoints[:, :2], labelled


def middle(points: np.ndarray, labelled: np.ndarray, joint: str) -> np.ndarray | None:
    """The middle of the labelled ones of a pair; None without any."""
    rows = [k for side in SIDES if labelled[k := COCO_JOINTS[f"{side}_{joint}"]]]
    return points[rows].mean(axis=0) if rows else None


def torso_of(person: dict[str, Any]) -> float:
    """The longest labelled way from a shoulder to a hip in pixels; 0 without any."""
    points, labelled = joints_of(person)
    shoulders, hips = (
        [k for side in SIDES if labelled[k := COCO_JOINTS[f"{side}_{joint}"]]]
        for joint in ("shoulder", "hip")
    )
    return max((float(np.linalg.norm(points[s] - points[h])) for s in shoulders for h in hips), default=0.0)


def why_not_looked_at(person: dict[str, Any]) -> str | None:
    """Why the teacher is not asked about a person; None where it is."""
    if person.get("iscrowd") or not person.get("num_keypoints"):
        return "without joints"
    if person.get("suspect_swap"):
        return "left and right may be exchanged"
    _, labelled = joints_of(person)
    if not any(labelled[COCO_JOINTS[f"{side}_ankle"]] for side in SIDES):
        return "no labelled ankle"
    torso = torso_of(person)
    if torso < MIN_TORSO:
        return f"torso under {MIN_TORSO:.0f} pixels" if torso else "no labelled torso"
    return None


def read_answers(path: Path) -> dict[int, dict[str, Any]]:
    """The answers so far by annotation id. A line that a break cut short is dropped from the file."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return {line["id"]: line for line in map(json.loads, whole.splitlines())}


def choose(
    people: list[dict[str, Any]], photos: dict[int, dict[str, Any]], answers: dict[int, dict[str, Any]]
) -> tuple[dict[int, dict[str, list[float]]], dict[str, int]]:
    """The accepted feet by annotation id, and how many of what."""
    feet: dict[int, dict[str, list[float]]] = {}
    counts = Counter[str](
        {"people looked at": 0, "people with a foot": 0, "feet asked for": 0, "feet accepted": 0}
    )
    for person in people:
        why = why_not_looked_at(person)
        if person["id"] not in answers or why is not None:
            counts[f"people not looked at, {why or 'not asked yet'}"] += 1
            continue
        counts["people looked at"] += 1
        photo, answer = photos[person["image_id"]], answers[person["id"]]
        size = photo["width"], photo["height"]
        accepted: dict[str, list[float]] = {}
        for side in SIDES:
            leg = labelled_leg(person, side)
            refused = why_refused(leg, torso_of(person), size, answer, side)
            counts["feet asked for"] += 1
            counts[f"feet refused, {refused}" if refused else "feet accepted"] += 1
            if refused is None:
                accepted |= foot_of(answer, side, leg["ankle"])
        if accepted:
            counts["people with a foot"] += 1
            feet[person["id"]] = accepted
    return feet, dict(counts)


def why_refused(
    leg: dict[str, np.ndarray], torso: float, size: tuple[int, int], answer: dict[str, Any], side: str
) -> str | None:
    """The first rule that a foot breaks; None where it is accepted.

    leg: the labelled ankle and knee, those that there are. torso: pixels. size: the photo's width and height.
    """
    straight, mirrored = np.array(answer["straight"]), np.array(answer["mirrored"])
    if "ankle" not in leg:
        return "no labelled ankle"
    for part, label in leg.items():
        row = LEG.index(f"{side}_{part}")
        if np.linalg.norm((straight[row] + mirrored[row]) / 2 - label) > MAX_FROM_LABEL * torso:
            return f"{part} not where it is labelled"
    rows = [LEG.index(f"{side}_{part}") for part in ("heel", "big_toe")]
    apart = straight - mirrored
    if (
        np.linalg.norm(apart[rows] - apart[LEG.index(f"{side}_ankle")], axis=1) > MAX_FROM_MIRRORED * torso
    ).any():
        return "another answer on the mirrored photo"
    foot = np.array(list(foot_of(answer, side, leg["ankle"]).values()))
    if (foot < MIN_INSIDE).any() or (foot > np.array(size) - 1 - MIN_INSIDE).any():
        return "not inside the photo"
    return None


def labelled_leg(person: dict[str, Any], side: str) -> dict[str, np.ndarray]:
    """The labelled ankle and knee of a side in photo pixels."""
    points, labelled = joints_of(person)
    rows = {part: COCO_JOINTS[f"{side}_{part}"] for part in ("ankle", "knee")}
    return {part: points[k] for part, k in rows.items() if labelled[k]}


def foot_of(answer: dict[str, Any], side: str, ankle: np.ndarray | None = None) -> dict[str, list[float]]:
    """Heel and toe of a side in photo pixels: the middle of both answers.

    ankle: the labelled one. The foot moves with its ankle to it, and the front end of the foot goes on to the big toe.
    """
    both = (np.array(answer["straight"]) + np.array(answer["mirrored"])) / 2
    heel, toe = both[LEG.index(f"{side}_heel")], both[LEG.index(f"{side}_big_toe")]
    if ankle is not None:
        moved = ankle - both[LEG.index(f"{side}_ankle")]
        heel, toe = heel + moved, toe + moved + TOE_BEYOND * (toe - heel)
    return {f"{side}_heel": heel.round(1).tolist(), f"{side}_big_toe": toe.round(1).tolist()}


def rules() -> dict[str, float]:
    """The rules' numbers, for the file's header."""
    return {
        "min_torso_pixels": MIN_TORSO,
        "max_from_label_torsos": MAX_FROM_LABEL,
        "max_from_mirrored_torsos": MAX_FROM_MIRRORED,
        "min_inside_pixels": MIN_INSIDE,
        "toe_beyond_feet": TOE_BEYOND,
    }


if __name__ == "__main__":
    main()
