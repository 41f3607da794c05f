"""docs/failures.png: what the network gets wrong on held-out people, by kind, as skeletons on plain ground.

python scripts/draw_failures.py small people/val.json
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from posecli.data.read import read_people
from posecli.engines.load import load_estimator
from posecli.evaluation.keypoints import ALPHA, predict
from posecli.metrics import pck
from posecli.metrics.mistakes import KINDS, NOT_COUNTED, kinds_of, shares
from posecli.skeletons import Skeleton

DOCS = Path(__file__).resolve().parents[1] / "docs"

TILE, TOP, PER_KIND = 230, 26, 5
TITLES = {
    "near": "Close to the label, but too far",
    "other side": "On the same joint of the other side",
    "other joint": "On another joint",
    "other person": "On another person",
    "elsewhere": "Elsewhere",
}
SOURCES = {"coco": "COCO", "lspet": "LSP-extended"}
GROUND, TRUTH, FOUND, GAP, INK = (250, 250, 250), (60, 150, 60), (60, 60, 220), (190, 190, 190), (40, 40, 40)


def main(model: str, data: str) -> None:
    people = read_people(f"coco:{data}")
    estimator = load_estimator(model, "cpu", flip_test=True, backend="torch")
    found = predict(people, estimator).keypoints
    labelled = people.visible > 0
    sizes = pck.torso_sizes(people.keypoints, labelled, people.joints, "diagonal")
    bones = [bone for bone in estimator.spec.bones.bones if set(bone) <= set(people.joints)]
    skeleton = Skeleton("labelled", people.joints, tuple(bones))
    kinds = kinds_of(
        found, people.keypoints, labelled, sizes, people.image_ids, np.array(skeleton.flip), ALPHA
    )
    sources = np.array(people.sources)
    rows = []
    for kind, name in enumerate(KINDS[1:], 1):
        shares_of = {s: (shares(kinds[sources == s]) or {})[name] for s in sorted(set(people.sources))}
        often = [f"{share:.1%} of {SOURCES.get(s, s)}" for s, share in shares_of.items()]
        # Those with the most joints of the kind, some way apart in the order.
        count = (kinds == kind).sum(axis=1)
        worst = np.argsort(-count, kind="stable")[: int((count > 0).sum())]
        print(name, ", ".join(often))
        if len(worst) < PER_KIND:  # too rare to show
            continue
        worst = worst[:: max(1, min(10, len(worst) // PER_KIND))][:PER_KIND]
        tiles = [_tile(people, found, kinds, skeleton, int(i), kind) for i in worst]
        label = np.full((TOP, PER_KIND * TILE, 3), 255, np.uint8)
        text = f"{TITLES[name]}: {', '.join(often)}"
        cv2.putText(label, text, (6, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.55, INK, 1, cv2.LINE_AA)
        rows += [label, np.hstack(tiles)]
    cv2.imwrite(str(DOCS / "failures.png"), np.vstack(rows))


def _tile(people, found, kinds, skeleton, row, kind):
    """Labelled joints green, found ones red, a line where a joint is of the kind."""
    tile = np.full((TILE, TILE, 3), GROUND, np.uint8)
    counted = kinds[row] != NOT_COUNTED
    everything = np.concatenate([people.keypoints[row, counted], found[row, counted, :2]])
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    scale = (TILE - 30) / max(*(high - low), 1)
    middle = (low + high) / 2

    def place(point):
        return tuple(int(v) for v in np.round((point - middle) * scale + TILE / 2))

    for points, colour in ((people.keypoints[row], TRUTH), (found[row, :, :2], FOUND)):
        for a, b in skeleton.edges:
            if counted[a] and counted[b]:
                cv2.line(tile, place(points[a]), place(points[b]), colour, 2, cv2.LINE_AA)
    for k in np.flatnonzero(kinds[row] == kind):
        cv2.line(tile, place(people.keypoints[row, k]), place(found[row, k, :2]), GAP, 1, cv2.LINE_AA)
        cv2.circle(tile, place(found[row, k, :2]), 5, FOUND, 2, cv2.LINE_AA)
    cv2.rectangle(tile, (0, 0), (TILE - 1, TILE - 1), GAP, 1)
    return tile


if __name__ == "__main__":
    main(*sys.argv[1:])
