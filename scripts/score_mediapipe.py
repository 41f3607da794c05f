"""MediaPipe Pose on labelled people: writes COCO results that `posecli eval --predictions` scores.

    PYTHONPATH=. mediapipe/bin/python scripts/score_mediapipe.py people/val.json mediapipe.json
    posecli eval --data coco:people/val.json --predictions mediapipe.json

MediaPipe follows one person. It gets the part of the photo around the labelled bounding box, a quarter larger to each side,
and looks for the person in it with its own detector. A person who is not found has no joints. It has its own Python, with
mediapipe 0.10, Pillow, and what `posecli bench --peer` needs there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mediapipe
import numpy as np
from PIL import Image

from posecli.bench.peers import MEDIAPIPE

MARGIN = 0.25  # of the box's longer side
COMPLEXITY = {"lite": 0, "full": 1, "heavy": 2}
POINTS = tuple(MEDIAPIPE.values())  # of the 17 joints of COCO. It has neither neck nor head_top.


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="COCO keypoint file, with the photos in images/ beside it")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", choices=COMPLEXITY, default="full")
    options = parser.parse_args()
    data = json.loads(options.people.read_text(encoding="utf-8"))
    names = {photo["id"]: photo["file_name"] for photo in data["images"]}
    joints = len(data["categories"][0]["keypoints"])
    results, missed = [], 0
    with mediapipe.solutions.pose.Pose(
        static_image_mode=True, model_complexity=COMPLEXITY[options.model]
    ) as pose:
        for person in data["annotations"]:
            if person.get("iscrowd") or not person.get("num_keypoints"):
                continue
            with Image.open(options.people.parent / "images" / names[person["image_id"]]) as image:
                found = joints_of(pose, image.convert("RGB"), person["bbox"])
            missed += found is None
            points = np.zeros((joints, 3))
            if found is not None:
                points[: len(POINTS)] = found
            results.append(
                {
                    "image_id": person["image_id"],
                    "annotation_id": person["id"],
                    "category_id": person["category_id"],
                    "keypoints": points.ravel().round(2).tolist(),
                    "score": float(points[:, 2].mean()),
                }
            )
    options.out.write_text(json.dumps(results), encoding="utf-8")
    print(f"{len(results)} people, {missed} of them not found.")


def joints_of(
    pose: mediapipe.solutions.pose.Pose, photo: Image.Image, box: tuple[float, float, float, float]
) -> np.ndarray | None:
    """(17, 3): x, y in photo pixels and the visibility. None if MediaPipe finds nobody."""
    x, y, width, height = box
    more = MARGIN * max(width, height)
    left, top = max(int(x - more), 0), max(int(y - more), 0)
    right, bottom = (
        min(int(x + width + more), photo.width),
        min(int(y + height + more), photo.height),
    )
    pixels = np.asarray(photo.crop((left, top, right, bottom)))
    found = pose.process(np.ascontiguousarray(pixels)).pose_landmarks
    if found is None:
        return None
    points = [found.landmark[k] for k in POINTS]
    # Pixel centres are whole numbers.
    return np.array(
        [[left + p.x * (right - left) - 0.5, top + p.y * (bottom - top) - 0.5, p.visibility] for p in points]
    )


if __name__ == "__main__":
    main()
