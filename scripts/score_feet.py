"""How near heels and big toes are to those placed by eye: of the teacher, of a guess from the ankle, of a network.

    python scripts/score_feet.py people/ videos/ --teacher package/pose_landmark_heavy.tflite
    python scripts/score_feet.py people/ videos/ --model weights/with_feet.safetensors

tests/data/feet.json holds 200 feet of photos and frames. A point counts where it lies within 0.1, or 0.2, of the shank's
length (knee to ankle) from the placed one. The teacher's crop is made of the labels, as in label_feet.py. "Moved" is its
answer after the ankle was laid on the label, "accepted" those of them that it would teach. The network gets the person's
box. "Ankle right" are the feet whose ankle it places within 0.2 torso of the label. The guess puts the heel at the ankle
and the toe at the mean place of all placed toes, along the shank and across it, on the side to which the knee bends;
"told the side" knows on which side of the shank the toe is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from label_feet import COCO_JOINTS, Crop, Teacher, foot_of, joints_of, middle, torso_of, why_refused
from PIL import Image

PLACED = Path(__file__).parents[1] / "tests" / "data" / "feet.json"
PARTS = ("heel", "big_toe")
NEAR = (0.1, 0.2)  # of the shank's length


@dataclass(frozen=True)
class Foot:
    """A placed foot. Points are (2,) pixels of the photo or frame."""

    picture: tuple[str, int]  # ("", image id) or (clip, frame)
    source: str  # coco, lspet or clips
    side: str
    points: dict[str, np.ndarray]  # of PARTS
    hidden: tuple[str, ...]  # the parts that are not seen
    shank: float  # pixels
    leg: dict[str, np.ndarray]  # hip, where there is one, knee, ankle
    torso: float  # pixels
    crop: Crop  # the teacher's
    box: np.ndarray  # (4,) xyxy


Answer = dict[str, np.ndarray]  # the points of PARTS in photo pixels
Answers = list[Answer | None]  # of each foot; None where there is none
Ask = Callable[[Image.Image, Foot], dict[str, Answer | None]]  # answers by name


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="folder with val.json and images/")
    parser.add_argument("videos", type=Path, help="folder with the clips")
    parser.add_argument("--teacher", type=Path, help="pose_landmark_heavy.tflite")
    parser.add_argument("--model", help="a network with heels and big toes")
    options = parser.parse_args()
    feet = read_feet(options.people / "val.json")
    answers = {"guess": guessed(feet, told=False), "guess, told the side": guessed(feet, told=True)}
    if options.teacher:
        answers |= of_pictures(feet, options.people, options.videos, teacher_of(options.teacher))
    if options.model:
        answers |= of_pictures(feet, options.people, options.videos, network_of(options.model))
    print_scores(feet, answers)
    if options.teacher:
        print_offset(feet, answers["teacher"])
        print_left(feet, answers["teacher, moved"])


def read_feet(labels: Path) -> list[Foot]:
    """The placed feet, those of photos with the labelled leg."""
    people = {a["id"]: a for a in json.loads(labels.read_text(encoding="utf-8"))["annotations"]}
    rows = json.loads(PLACED.read_text(encoding="utf-8"))["feet"]
    return [
        of_photo(row, people[row["annotation"]]) if "annotation" in row else of_frame(row) for row in rows
    ]


def of_photo(row: dict[str, Any], person: dict[str, Any]) -> Foot:
    """A foot whose leg and body are labelled."""
    points, labelled = joints_of(person)
    leg = {j: points[k] for j in ("hip", "knee", "ankle") if labelled[k := COCO_JOINTS[f"{row['side']}_{j}"]]}
    hips, shoulders = (middle(points, labelled, joint) for joint in ("hip", "shoulder"))
    assert hips is not None and shoulders is not None
    reach = float(np.linalg.norm(points[labelled] - hips, axis=1).max())
    x, y, width, height = person["bbox"]
    box = np.array([x, y, x + width, y + height])
    crop = Crop(hips, shoulders, reach)
    return _foot(row, ("", person["image_id"]), person["source"], leg, torso_of(person), crop, box)


def of_frame(row: dict[str, Any]) -> Foot:
    """A foot of a clip, whose knee and ankle were placed too."""
    leg = {joint: np.array(row[joint]) for joint in ("hip", "knee", "ankle")}
    body = {name: np.array(value) for name, value in row["body"].items()}
    crop = Crop(body["hips"], body["shoulders"], float(body["reach"]))
    torso = float(np.linalg.norm(body["hips"] - body["shoulders"]))
    return _foot(row, (row["clip"], row["frame"]), "clips", leg, torso, crop, np.array(row["box"]))


def _foot(
    row: dict[str, Any],
    picture: tuple[str, int],
    source: str,
    leg: dict[str, np.ndarray],
    torso: float,
    crop: Crop,
    box: np.ndarray,
) -> Foot:
    points = {part: np.array(row[part]) for part in PARTS}
    hidden = tuple(row.get("hidden", ()))
    return Foot(picture, source, row["side"], points, hidden, row["shank"], leg, torso, crop, box)


def guessed(feet: list[Foot], *, told: bool) -> Answers:
    """Heel at the ankle, toe at the mean place. told: the guess knows the toe's side of the shank."""
    places = np.array([in_leg(foot, foot.points["big_toe"]) for foot in feet])
    mean = np.array([places[:, 0].mean(), np.abs(places[:, 1]).mean()])
    answers: Answers = []
    for foot, place in zip(feet, places, strict=True):
        side = np.sign(place[1]) if told else bend_of(foot)
        toe = foot.leg["ankle"] + (mean * [1, side]) @ leg_axes(foot) * foot.shank
        answers.append({"heel": foot.leg["ankle"], "big_toe": toe})
    name = "told the side" if told else "by the knee"
    print(f"Guess {name}: the toe lies {mean[0]:.2f} shank beyond the ankle, {mean[1]:.2f} across.")
    return answers


def leg_axes(foot: Foot) -> np.ndarray:
    """(2, 2): down the shank, and a quarter turn from it."""
    down = (foot.leg["ankle"] - foot.leg["knee"]) / np.linalg.norm(foot.leg["ankle"] - foot.leg["knee"])
    return np.stack([down, [-down[1], down[0]]])


def in_leg(foot: Foot, point: np.ndarray) -> np.ndarray:
    """(2,) shanks from the ankle, along the shank and across it."""
    return leg_axes(foot) @ (point - foot.leg["ankle"]) / foot.shank


def bend_of(foot: Foot) -> float:
    """1 or -1: the side of the shank to which the knee bends, which is forward. 0 without a hip."""
    if "hip" not in foot.leg:
        return 0.0
    return float(np.sign(leg_axes(foot)[1] @ (foot.leg["ankle"] - foot.leg["hip"])))


def of_pictures(feet: list[Foot], people: Path, videos: Path, ask: Ask) -> dict[str, Answers]:
    """The answers about all feet, by name."""
    found: dict[int, dict[str, Answer | None]] = {}
    for picture, image in pictures(feet, people, videos):
        for n, foot in enumerate(feet):
            if foot.picture == picture:
                found[n] = ask(image, foot)
    return {name: [found[n][name] for n in range(len(feet))] for name in found[0]}


def pictures(feet: list[Foot], people: Path, videos: Path) -> Iterator[tuple[tuple[str, int], Image.Image]]:
    """Each photo and frame once."""
    from posecli.sources.open import open_source

    labels = json.loads((people / "val.json").read_text(encoding="utf-8"))
    names = {image["id"]: image["file_name"] for image in labels["images"]}
    wanted = sorted({foot.picture for foot in feet})
    for clip, number in wanted:
        if not clip:
            with Image.open(people / "images" / names[number]) as image:
                yield (clip, number), image.convert("RGB")
    for clip in sorted({clip for clip, _ in wanted if clip}):
        frames = {number for name, number in wanted if name == clip}
        source = open_source(str(videos / clip))
        for frame in source:
            if frame.index in frames:
                yield (clip, frame.index), Image.fromarray(frame.image[:, :, ::-1])
            if frame.index >= max(frames):
                break
        source.close()


def teacher_of(model: Path) -> Ask:
    """The mean of the teacher's answers on the crop and on the mirrored crop."""
    teacher = Teacher(model)

    def ask(image: Image.Image, foot: Foot) -> dict[str, Answer | None]:
        straight, mirrored = teacher.legs(image, foot.crop)
        both = {"straight": straight, "mirrored": mirrored}
        leg = {part: foot.leg[part] for part in ("ankle", "knee")}
        moved = parts_of(foot_of(both, foot.side, leg["ankle"]), foot.side)
        refused = why_refused(leg, foot.torso, image.size, both, foot.side)
        return {
            "teacher": parts_of(foot_of(both, foot.side), foot.side),
            "teacher, moved": moved,
            "teacher, accepted": None if refused else moved,
        }

    return ask


def parts_of(found: dict[str, list[float]], side: str) -> Answer:
    return {part: np.array(found[f"{side}_{part}"]) for part in PARTS}


def network_of(model: str) -> Ask:
    """A network of posecli, given the person's box."""
    from posecli.engines.load import load_estimator

    estimator = load_estimator(model, "cpu", flip_test=True)
    joints = estimator.spec.bones.joints

    def ask(image: Image.Image, foot: Foot) -> dict[str, Answer | None]:
        pixels = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        keypoints = estimator.estimate([pixels], [foot.box[None].astype(np.float32)])[0][0]
        answer = {part: keypoints[joints.index(f"{foot.side}_{part}"), :2] for part in PARTS}
        ankle = keypoints[joints.index(f"{foot.side}_ankle"), :2]
        right = np.linalg.norm(ankle - foot.leg["ankle"]) <= 0.2 * foot.torso
        return {model: answer, f"{model}, ankle right": answer if right else None}

    return ask


def print_scores(feet: list[Foot], answers: dict[str, Answers]) -> None:
    """A table: PCK of heels and toes in percent, all feet and each source."""
    columns = [f"{part} @{near}" for part in PARTS for near in NEAR]
    print(f"\n| | feet | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name, found in answers.items():
        for group in ("all", "coco", "lspet", "clips", "seen"):
            away, count = errors(feet, found, group)
            cells = [f"{100 * np.mean(away[part] <= near):.1f}" for part in PARTS for near in NEAR]
            print(f"| {name}, {group} | {count} | {' | '.join(cells)} |")


def errors(feet: list[Foot], found: Answers, group: str) -> tuple[dict[str, np.ndarray], int]:
    """Shanks from the placed point of each part, and how many feet. seen: those with nothing hidden."""
    pairs = [
        (foot, answer)
        for foot, answer in zip(feet, found, strict=True)
        if answer and (group in ("all", foot.source) or (group == "seen" and not foot.hidden))
    ]
    away = {
        part: np.array([np.linalg.norm(a[part] - f.points[part]) / f.shank for f, a in pairs])
        for part in PARTS
    }
    return away, len(pairs)


def print_offset(feet: list[Foot], found: Answers) -> None:
    """Where the teacher's points lie, seen from the placed ones, in the foot's own direction.

    Feet that are far off (another leg, another person) say nothing about what is meant by a point.
    """
    print()
    for part in PARTS:
        offsets = [
            offset_of(foot, answer, part)
            for foot, answer in zip(feet, found, strict=True)
            if answer and np.linalg.norm(answer[part] - foot.points[part]) <= NEAR[1] * foot.shank
        ]
        along, down = np.mean(offsets, axis=0)
        print(
            f"The teacher's {part} lies {along:+.3f} shank towards the toe and {down:+.3f} away from the knee "
            f"from the placed one: mean of the {len(offsets)} within {NEAR[1]}."
        )


def print_left(feet: list[Foot], found: Answers) -> None:
    """How far the moved toes in clips still lie from the placed ones: what label_feet.TOE_BEYOND leaves."""
    left = [
        offset_of(foot, answer, "big_toe")[0]
        * foot.shank
        / np.linalg.norm(answer["big_toe"] - answer["heel"])
        for foot, answer in zip(feet, found, strict=True)
        if answer
        and foot.source == "clips"
        and np.linalg.norm(answer["big_toe"] - foot.points["big_toe"]) <= 0.4 * foot.shank
    ]
    print(
        f"In clips the moved big toe lies {np.median(left):+.2f} foot towards the toe: median of {len(left)}."
    )


def offset_of(foot: Foot, answer: Answer, part: str) -> np.ndarray:
    """(2,) shanks: along the line from heel to toe, and square to it on the side away from the knee."""
    line = foot.points["big_toe"] - foot.points["heel"]
    along = line / np.linalg.norm(line)
    across = np.array([-along[1], along[0]])
    across *= np.sign(across @ (foot.points["heel"] - foot.leg["knee"]))
    return np.stack([along, across]) @ (answer[part] - foot.points[part]) / foot.shank


if __name__ == "__main__":
    main()
