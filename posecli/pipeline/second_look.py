"""Joints of people whose boxes may be wrong: look, and where that is doubtful look again in a better box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posecli.engines.estimator import Estimator
from posecli.geometry.boxes import areas, iou_matrix, shares_inside
from posecli.types import Array, Boxes, Flags, Followed, Heatmaps, Image, Person

CARRY_CONFIDENCE = 0.3  # joints below this do not move a carried box
CARRY_MARGIN = 0.12  # of the joints' extent, on each side: boxes hold hands, feet and hair too
AGREE = 0.7  # IoU below which a box and where somebody stood a frame ago contradict each other
DOUBTFUL = 0.65  # mean confidence of all joints below which other boxes are tried
CLEARLY = 1.15  # how much surer of the joints the network must be in a smaller find
SURE_JOINT, LEAST_SURE = 0.4, 5  # joints that tell where somebody is, and how many of them it takes
NEAR = 0.12  # of the box's longer side: how far a joint may have moved
SAME_SHARE = 0.6  # of those joints


def look_again(
    estimator: Estimator,
    followed: Followed,
    before: Sequence[Person | None],
    keypoints: Array,
    maps: tuple[Heatmaps, ...],
) -> tuple[Boxes, Array, tuple[Heatmaps, ...]]:
    """Joints (N, K, 3) of the people in followed.boxes, each in the box in which the network is surest of them, those
    boxes, and the maps.

    before: each person as last shown, if they were; keypoints and maps (none, if they are not kept): what the
    network says in `followed.boxes`.
    """
    boxes, image = followed.boxes, followed.frame.image
    looks = second_looks(boxes, keypoints, before, followed.finds, image)
    if not looks:
        return boxes, keypoints, maps
    xyxy = np.array([look.box for look in looks], np.float32)
    [(others, other_maps)] = estimator.estimate_with_maps([image], [xyxy], keep=bool(maps))
    return better_looks(boxes, keypoints, maps, looks, others, other_maps)


@dataclass(frozen=True)
class Look:
    """Another box in which somebody may be."""

    row: int  # whose
    box: Array  # (4,) xyxy
    surer: float  # how much surer of the joints the network must be there


def second_looks(
    boxes: Boxes, keypoints: Array, before: Sequence[Person | None], given: Boxes, image: Image
) -> list[Look]:
    """Other boxes for people whose box may be wrong: a shadow in it, or half of the person.

    Where somebody stood a frame ago, if the detector's box is far from that and the joints in it are doubtful
    or elsewhere; and smaller finds inside a box in which the network is not sure of what it sees.
    """
    height, width = image.shape[:2]
    looks: list[Look] = []
    for i, person in enumerate(before):
        doubtful = keypoints[i, :, 2].mean() < DOUBTFUL
        now = Person(None, float(boxes.scores[i]), boxes.xyxy[i], keypoints[i])
        if person is not None and (doubtful or not same_place(person, now)):
            around = np.clip(around_joints(person.keypoints, person.box), 0, [width, height, width, height])
            overlaps = iou_matrix(around[None], boxes.xyxy)[0]
            # Somebody else may stand there now, or it is a better box of this person.
            there = int(overlaps.argmax())
            free = there == i or bool(is_inside(boxes.xyxy[there : there + 1], boxes.xyxy[i])[0])
            apart = overlaps[i] < AGREE and free
            if apart and (around[2:] - around[:2]).min() >= 2:
                looks.append(Look(i, around, 1.0))
        if doubtful and len(given) > 1:
            inside = is_inside(given.xyxy, boxes.xyxy[i])
            others = iou_matrix(given.xyxy, boxes.xyxy).max(axis=1) < 0.99  # nobody else's box
            looks += [Look(i, box, CLEARLY) for box in given.xyxy[inside & others]]
    return looks


def is_inside(boxes: Array, outer: Array, share: float = 0.8) -> Flags:
    """(N,) which boxes lie nearly whole (this share of them) inside another (4,) and are much smaller."""
    nearly: Flags = (shares_inside(boxes, outer[None])[:, 0] >= share) & (
        areas(boxes) < 0.75 * areas(outer)[0]
    )
    return nearly


def better_looks(
    boxes: Boxes,
    keypoints: Array,
    maps: tuple[Heatmaps, ...],
    looks: Sequence[Look],
    others: Array,
    other_maps: tuple[Heatmaps, ...],
) -> tuple[Boxes, Array, tuple[Heatmaps, ...]]:
    """Each person in that of the boxes in which the network is surest of the joints. others: (L, K, 3) and
    other_maps are what it says in the boxes of `looks`."""
    xyxy, keypoints, chosen = boxes.xyxy.copy(), keypoints.copy(), list(maps)
    for k, look in enumerate(looks):
        i = look.row
        if others[k, :, 2].mean() > look.surer * keypoints[i, :, 2].mean():
            xyxy[i], keypoints[i] = look.box, others[k]
            if chosen:
                chosen[i] = other_maps[k]
    return Boxes(xyxy, boxes.scores), keypoints, tuple(chosen)


def around_joints(keypoints: Array, box: Array) -> Array:
    """The box (4,) around joints (K, 3) that are sure; `box` where they are too few."""
    points = keypoints[keypoints[:, 2] >= CARRY_CONFIDENCE, :2]
    if len(points) < 5:
        return box
    low, high = points.min(axis=0), points.max(axis=0)
    margin = CARRY_MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin + 1])


def same_place(a: Person, b: Person) -> bool:
    """Whether most joints that both are sure of lie nearly where they lay."""
    sure = (a.keypoints[:, 2] >= SURE_JOINT) & (b.keypoints[:, 2] >= SURE_JOINT)
    if sure.sum() < LEAST_SURE:
        return False
    size = max(float((p.box[2:] - p.box[:2]).max()) for p in (a, b))
    gaps = np.linalg.norm(a.keypoints[sure, :2] - b.keypoints[sure, :2], axis=1)
    return bool((gaps <= NEAR * size).mean() >= SAME_SHARE)
