"""Writes a COCO keypoint file with the heels and big toes that label_feet.py found, to train networks with 23 joints on.

python scripts/add_feet.py people/train.json feet.json people/train23.json --source coco
posecli train --data coco:people/train23.json --skeleton body23 ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from posecli.data.coco import is_dev

NAMES = ("left_heel", "right_heel", "left_big_toe", "right_big_toe")  # after the 19 joints of body19


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="the labelled people")
    parser.add_argument("feet", type=Path, help="what label_feet.py wrote")
    parser.add_argument("out", type=Path, help="the file to write; it belongs beside the labelled people")
    parser.add_argument("--source", help="take only the feet of this source's people")
    options = parser.parse_args()
    data = json.loads(options.people.read_text(encoding="utf-8"))
    feet = json.loads(options.feet.read_text(encoding="utf-8"))["feet"]
    category = data["categories"][0]
    category["keypoints"] = [*category["keypoints"], *NAMES]
    photos = {image["id"]: image for image in data["images"]}
    added = 0
    for person in data["annotations"]:
        # People of `dev` stay as they are: their scores go by what humans labelled.
        wanted = options.source in (None, person["source"]) and not is_dev(photos[person["image_id"]])
        found = feet.get(str(person["id"]), {}) if wanted else {}
        for name in NAMES:
            person["keypoints"] += [*found[name], 2] if name in found else [0, 0, 0]
        added += sum(name.endswith("heel") for name in found)
    options.out.write_text(json.dumps(data), encoding="utf-8")
    print(f"{added} feet added.")


if __name__ == "__main__":
    main()
