"""docs/good.jpg: skeletons of the shipped networks on ultralytics' photos and on people of LSP-extended that are in
neither training nor validation (of 40, those with the most joints right).

    python scripts/draw_good.py raw_layouts/lspet
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import ultralytics

from posecli.data.read import read_people
from posecli.draw.skeleton import draw_people
from posecli.engines.load import load_detector, load_estimator
from posecli.evaluation.keypoints import predict
from posecli.geometry.crops import crop_affines, cut, to_crop
from posecli.metrics import pck
from posecli.pipeline.choices import Choices
from posecli.pipeline.photo import photo_poses
from posecli.sources.photos import read_photo
from posecli.types import Person

DOCS = Path(__file__).resolve().parents[1] / "docs"

SIDE, SHOWN = 300, 10


def main(lspet: str) -> None:
    estimator, detector = (
        load_estimator("small", "cpu", flip_test=True, backend="torch"),
        load_detector(device="cpu"),
    )
    bones = estimator.spec.bones
    assets = Path(ultralytics.__file__).parent / "assets"
    photos = []
    for name in ("bus.jpg", "zidane.jpg"):
        poses = photo_poses(assets / name, detector, estimator, Choices())
        draw_people(poses.frame.image, poses.people, bones, 0.3)
        photos.append(_high(poses.frame.image, 2 * SIDE))
    people = read_people(f"lspet:{lspet}")
    found = predict(people, estimator).keypoints
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    right = (pck.within(pck.distances(found, people.keypoints), sizes, 0.2) & labelled).sum(axis=1)
    tiles = []
    for row in np.argsort(-right, kind="stable")[:SHOWN]:
        affines = crop_affines(people.boxes[row : row + 1], (SIDE, SIDE), 1.25)
        tile = cut(read_photo(people.photos[row]), affines[0], (SIDE, SIDE))
        [points] = estimator.estimate([read_photo(people.photos[row])], [people.boxes[row : row + 1]])
        points[..., :2] = to_crop(points[..., :2], affines)
        draw_people(
            tile, (Person(None, 1.0, np.array([0.0, 0, SIDE, SIDE], np.float32), points[0]),), bones, 0.3
        )
        tiles.append(tile)
    half = SHOWN // 2
    sheet = np.vstack([np.hstack(tiles[:half]), np.hstack(tiles[half:])])
    top = np.hstack(photos)
    top = cv2.resize(top, (sheet.shape[1], round(top.shape[0] * sheet.shape[1] / top.shape[1])))
    cv2.imwrite(str(DOCS / "good.jpg"), np.vstack([top, sheet]), [cv2.IMWRITE_JPEG_QUALITY, 82])


def _high(image, height):
    return cv2.resize(
        image, (round(image.shape[1] * height / image.shape[0]), height), interpolation=cv2.INTER_AREA
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
