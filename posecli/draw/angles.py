"""Angles of joints as arcs with their values, drawn into a picture in place."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from posecli.draw.skeleton import MIDDLE, OUTLINE, joint_colour
from posecli.errors import PoseError
from posecli.metrics.angles import JOINT_ANGLES, included_angle
from posecli.skeletons import Skeleton
from posecli.types import Array, Image, Person

RADIUS = 0.06  # of the box's longer side


def triples(names: tuple[str, ...], skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """(end, joint, end) of each angle, such as knee, for both sides, or left_knee. Raises PoseError for others."""
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
            if not all(joint in skeleton.joints for joint in joints):
                raise PoseError(f"This result has no joints for {one}_{bare}.")
            a, b, c = (skeleton.joints.index(joint) for joint in joints)
            found.append((a, b, c))
    return found


def draw_angles(
    image: Image,
    person: Person,
    skeleton: Skeleton,
    angles: list[tuple[int, int, int]],
    confidence: float,
) -> None:
    """An arc and the degrees at each joint whose limbs are sure. angles: of `triples`."""
    radius = max(8, round(RADIUS * float((person.box[2:] - person.box[:2]).max())))
    for columns, (a, b, c) in _sure(person, angles, confidence):
        degrees = float(included_angle(a[None], b[None], c[None])[0])
        first = float(np.degrees(np.arctan2(*(a - b)[::-1])))
        last = float(np.degrees(np.arctan2(*(c - b)[::-1])))
        turn = (last - first + 180) % 360 - 180  # the shorter way round
        centre = (round(float(b[0])), round(float(b[1])))
        colour = joint_colour(skeleton.joints[columns[1]])
        for line, width in ((OUTLINE, 4), (colour, 2)):
            cv2.ellipse(image, centre, (radius, radius), first, 0, turn, line, width, cv2.LINE_AA)
        middle = np.radians(first + turn / 2)
        _write(image, f"{degrees:.0f}", b + 1.6 * radius * np.array([np.cos(middle), np.sin(middle)]), radius)


def _sure(
    person: Person, angles: list[tuple[int, int, int]], confidence: float
) -> Iterator[tuple[tuple[int, int, int], Array]]:
    for columns in angles:
        joints = person.keypoints[list(columns)]
        if np.isfinite(joints).all() and joints[:, 2].min() >= confidence and np.abs(joints).max() < 30_000:
            yield columns, joints[:, :2].astype(np.float64)


def _write(image: Image, text: str, centre: Array, radius: int) -> None:
    scale = float(np.clip(radius / 28, 0.35, 1.0))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    corner = (round(float(centre[0]) - width / 2), round(float(centre[1]) + height / 2))
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, OUTLINE, 3, cv2.LINE_AA)
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, MIDDLE, 1, cv2.LINE_AA)
