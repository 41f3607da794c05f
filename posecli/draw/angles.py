"""Draws joint angles as arcs with their values, in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from posecli.draw.skeleton import OUTLINE, joint_colour
from posecli.errors import PoseError
from posecli.metrics.angles import JOINT_ANGLES, included_angle
from posecli.skeletons import Skeleton
from posecli.types import Array, Image, Person

RADIUS = 0.06  # of an arc, as a share of the longer box side


def triples(names: tuple[str, ...], skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """Joint indices (end, joint, end) of each angle. knee means both sides, left_knee one. Raises PoseError."""
    found = []
    for name in names:
        side, _, bare = name.rpartition("_")
        if bare not in JOINT_ANGLES or side not in ("", "left", "right"):
            raise PoseError(
                f"{name} is no angle that can be drawn; these can: {', '.join(JOINT_ANGLES)}, or one side, such as "
                f"left_knee."
            )
        for one in (side,) if side else ("left", "right"):
            joints = [f"{one}_{joint}" for joint in JOINT_ANGLES[bare]]
            lacking = [joint for joint in joints if joint not in skeleton.joints]
            if lacking:
                raise PoseError(f"This result has no joints for {one}_{bare}: it lacks {', '.join(lacking)}.")
            a, b, c = (skeleton.joints.index(joint) for joint in joints)
            found.append((a, b, c))
    return found


def draw_angles(
    image: Image,
    person: Person,
    skeleton: Skeleton,
    angles: list[tuple[int, int, int]],
    confidence: float,
    taken: list[Label],
) -> None:
    """Draw an arc and its degrees for each angle whose joints are at least `confidence`, in the colour of the side.

    angles: from `triples`. taken: labels in this image so far. New labels avoid them and are added to the list.
    """
    radius = max(8, round(RADIUS * float((person.box[2:] - person.box[:2]).max())))
    shown = list(_sure(person, angles, confidence))
    for columns, (a, b, c) in shown:
        first, turn = _turn(a, b, c)
        centre = (round(float(b[0])), round(float(b[1])))
        for line, width in ((OUTLINE, 4), (joint_colour(skeleton.joints[columns[1]]), 2)):
            cv2.ellipse(image, centre, (radius, radius), first, 0, turn, line, width, cv2.LINE_AA)
    for columns, (a, b, c) in shown:
        first, turn = _turn(a, b, c)
        others = [joints[1] for other, joints in shown if other != columns]
        degrees = float(included_angle(a[None], b[None], c[None])[0])
        label = _placed(f"{degrees:.0f}", b, np.radians(first + turn / 2), radius, others, image.shape, taken)
        taken.append(label)
        _write(image, label, joint_colour(skeleton.joints[columns[1]]))


@dataclass(frozen=True)
class Label:
    """A text with a degree sign, and its position in pixels."""

    text: str
    x: float  # of the upper left corner
    y: float
    width: int
    height: int
    scale: float  # of the font

    def overlap(self, other: Label) -> float:
        """Overlap with another label in pixels^2."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(across, 0.0) * max(down, 0.0)


def _turn(a: Array, b: Array, c: Array) -> tuple[float, float]:
    """(start, extent) of the arc in degrees. It takes the shorter way round."""
    first = float(np.degrees(np.arctan2(*(a - b)[::-1])))
    last = float(np.degrees(np.arctan2(*(c - b)[::-1])))
    return first, (last - first + 180) % 360 - 180


def _placed(
    text: str,
    joint: Array,
    towards: float,
    radius: int,
    others: list[Array],
    shape: tuple[int, ...],
    taken: list[Label],
) -> Label:
    """Place a label in the best of eight directions from the joint.

    It should lie inside the image, cover no other label, and be closer to its own joint than to others. Inside the
    angle is preferred. towards: direction of the middle of the angle in radians.
    """
    scale = float(np.clip(radius / 28, 0.45, 1.0))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    width += round(9 * scale)  # the degree sign

    def at(turn: float, reach: float) -> tuple[float, Label]:
        direction = np.array([np.cos(towards + turn), np.sin(towards + turn)])
        middle = joint + reach * radius * direction + 0.5 * np.array([width, height]) * direction
        wish = middle - np.array([width, height]) / 2
        x, y = np.clip(wish, 0, np.maximum([shape[1] - width, shape[0] - height], 0))
        label = Label(text, float(x), float(y), width, height, scale)
        moved = float(np.abs(wish - (x, y)).sum())
        own = np.linalg.norm(middle - joint)
        near = sum(max(0.0, float(own + radius - np.linalg.norm(middle - o))) for o in others)
        covered = sum(label.overlap(other) for other in taken)
        return 100 * covered + 10 * moved + 3 * near + abs(turn) + reach, label

    turns = (0.0, np.pi, np.pi / 4, -np.pi / 4, np.pi / 2, -np.pi / 2, 3 * np.pi / 4, -3 * np.pi / 4)
    return min((at(turn, reach) for turn in turns for reach in (1.2, 2.2)), key=lambda found: found[0])[1]


def _sure(
    person: Person, angles: list[tuple[int, int, int]], confidence: float
) -> Iterator[tuple[tuple[int, int, int], Array]]:
    for columns in angles:
        joints = person.keypoints[list(columns)]
        if np.isfinite(joints).all() and joints[:, 2].min() >= confidence and np.abs(joints).max() < 30_000:
            yield columns, joints[:, :2].astype(np.float64)


def _write(image: Image, label: Label, colour: tuple[int, int, int]) -> None:
    corner = (round(label.x), round(label.y + label.height))
    ring = (round(label.x + label.width - 4 * label.scale), round(label.y + 2 * label.scale))
    for line, width in ((OUTLINE, 4), (colour, 1)):
        cv2.putText(
            image, label.text, corner, cv2.FONT_HERSHEY_SIMPLEX, label.scale, line, width, cv2.LINE_AA
        )
        cv2.circle(image, ring, max(2, round(3 * label.scale)), line, max(1, width - 1), cv2.LINE_AA)
