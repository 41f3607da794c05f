"""Writes a COCO keypoint file in which networks have added people and exchanged sides, to train on.

    python scripts/add_people.py people/train.json people/train_more.json --network small --teacher aic.safetensors

- People with a bounding box but no joints get joints of --network. A joint is kept where its confidence is high and where the answer
  on the mirrored photo is the same. A person is kept with at least MIN_JOINTS of them.
- The left and right arm, or leg, of an LSP-extended person are exchanged where --network and --teacher both place the joints of the
  left limb on the labels of the right one, and the other way round. The teacher has not seen these labels.

People of `dev` stay as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from posecli.data.coco import category_joints, is_dev
from posecli.data.people import Complaints
from posecli.engines.estimator import Estimator
from posecli.engines.load import load_estimator
from posecli.metrics.pck import torso_sizes
from posecli.skeletons import mirror_name
from posecli.types import Array, Image

MIN_BOX = 40.0  # pixels, as in `train`
MIN_JOINTS = 6
CONFIDENT = 0.6
SAME = 0.05  # of the box's longer side, between the answers on the photo and on the mirrored photo

LIMBS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
APART = 0.3  # torsos between the left and right label of a joint, so that its side can be told
NEAR = 0.25  # torsos from a network's joint to the label of the other side


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("people", type=Path, help="COCO keypoint file, with the photos in images/ beside it")
    parser.add_argument("out", type=Path, help="the file to write; it belongs beside the labelled people")
    parser.add_argument("--network", required=True)
    parser.add_argument("--teacher", required=True)
    options = parser.parse_args()
    data = json.loads(options.people.read_text(encoding="utf-8"))
    _, joints = category_joints(data, options.people, Complaints())
    photos = {photo["id"]: photo for photo in data["images"]}
    people = [a for a in data["annotations"] if not a["iscrowd"] and not is_dev(photos[a["image_id"]])]
    networks = [load_estimator(name, "cpu", flip_test=True) for name in (options.network, options.teacher)]
    folder = options.people.parent / "images"

    unlabelled = [p for p in people if not p["num_keypoints"] and max(p["bbox"][2:]) >= MIN_BOX]
    added = 0
    for person, image in with_photos(unlabelled, photos, folder):
        rows = trusted_joints(networks[0], image, person["bbox"], joints)
        if rows is not None:
            person["keypoints"] = [float(value) for row in rows for value in row]
            person["num_keypoints"] = int((rows[:, 2] > 0).sum())
            added += 1
    print(f"{len(unlabelled)} people without joints, {added} of them added.", flush=True)

    asked = [p for p in people if p["source"] == "lspet"]
    limbs = exchanged = 0
    for person, image in with_photos(asked, photos, folder):
        labels = np.array(person["keypoints"], float).reshape(-1, 3)
        answers = [joints_of(network, image, person["bbox"], joints) for network in networks]
        denied = denied_limbs(labels, answers, joints)
        for pairs in denied:
            left, right = (list(side) for side in zip(*pairs, strict=True))
            labels[left + right] = labels[right + left]
        if denied:
            person["keypoints"] = [float(value) for value in labels.ravel()]
            limbs += len(denied)
            exchanged += 1
    print(f"{len(asked)} people of LSP-extended, {exchanged} with exchanged sides ({limbs} pairs of limbs).")
    options.out.write_text(json.dumps(data), encoding="utf-8")


def with_photos(
    people: Sequence[dict[str, Any]], photos: dict[int, dict[str, Any]], folder: Path
) -> Iterator[tuple[dict[str, Any], Image]]:
    """The people with their photos, each photo read once where its people follow each other."""
    read: tuple[int, Image] | None = None
    for person in sorted(people, key=lambda p: p["image_id"]):
        if read is None or read[0] != person["image_id"]:
            path = folder / photos[person["image_id"]]["file_name"]
            image = cv2.imread(str(path))
            if image is None:
                raise SystemExit(f"{path} can't be read.")
            read = person["image_id"], image
        yield person, read[1]


def joints_of(network: Estimator, image: Image, box: Sequence[float], joints: Sequence[str]) -> Array:
    """(K, 3) x, y, confidence in the order of `joints`; confidence 0 for a joint that the network does not have."""
    x, y, width, height = box
    (found,) = network.estimate([image], [np.array([[x, y, x + width, y + height]])])
    names = network.spec.bones.joints
    rows = np.zeros((len(joints), 3))
    for row, joint in enumerate(joints):
        if joint in names:
            rows[row] = found[0, names.index(joint)]
    return rows


def trusted_joints(
    network: Estimator, image: Image, box: Sequence[float], joints: Sequence[str]
) -> Array | None:
    """(K, 3) x, y and COCO's 2 or 0, of a person without labels. None if too few joints can be trusted."""
    x, y, width, height = box
    found = joints_of(network, image, box, joints)
    last = image.shape[1] - 1
    mirrored = joints_of(network, image[:, ::-1].copy(), (last - x - width, y, width, height), joints)
    mirrored[:, 0] = last - mirrored[:, 0]
    other = [joints.index(mirror_name(joint)) for joint in joints]
    apart = np.linalg.norm(found[:, :2] - mirrored[other, :2], axis=1) / max(width, height)
    trusted = (np.minimum(found[:, 2], mirrored[other, 2]) >= CONFIDENT) & (apart <= SAME)
    if trusted.sum() < MIN_JOINTS:
        return None
    middle = (found[:, :2] + mirrored[other, :2]) / 2
    return np.where(trusted[:, None], np.column_stack([middle, np.full(len(joints), 2.0)]), 0.0)


def denied_limbs(
    labels: Array, answers: Sequence[Array], joints: Sequence[str]
) -> list[list[tuple[int, int]]]:
    """The limbs whose sides every answer denies, each as (left, right) rows of its joints."""
    (torso,) = torso_sizes(labels[None], labels[None, :, 2] > 0, joints, "diagonal")
    if not np.isfinite(torso):
        return []
    denied = []
    for limb in LIMBS:
        pairs = [(joints.index(f"left_{joint}"), joints.index(f"right_{joint}")) for joint in limb]
        told = [
            (left, right)
            for left, right in pairs
            if labels[left, 2] and labels[right, 2] and distance(labels[left], labels[right]) >= APART * torso
        ]
        if len(told) >= 2 and all(
            distance(answer[here], labels[there]) <= NEAR * torso
            for answer in answers
            for left, right in told
            for here, there in ((left, right), (right, left))
        ):
            denied.append(pairs)
    return denied


def distance(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    return float(np.hypot(*(a[:2] - b[:2])))


if __name__ == "__main__":
    main()
