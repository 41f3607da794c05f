"""Events, such as steps, drawn where and when they happen, in place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from posecli.draw.skeleton import MIDDLE, OUTLINE, Mark, joint_colour
from posecli.skeletons import Skeleton
from posecli.types import Image, Person

RADIUS = 0.035  # of the box's longer side
SLACK = 1e-6  # seconds


def draw_marks(image: Image, person: Person, skeleton: Skeleton, marks: Sequence[Mark], now: float) -> None:
    """The person's marks that hold at a time, in seconds: a ring at the joint, a text below the box."""
    x1, y1, x2, y2 = (float(v) for v in person.box)
    radius = max(6, round(RADIUS * max(x2 - x1, y2 - y1)))
    held = [m for m in marks if m.track == person.track and m.start - SLACK <= now <= m.end + SLACK]
    for line, mark in enumerate(held):
        if mark.joint in skeleton.joints:
            x, y, _ = person.keypoints[skeleton.joints.index(mark.joint)]
            if np.isfinite([x, y]).all() and max(abs(x), abs(y)) < 30_000:
                centre = (round(float(x)), round(float(y)))
                cv2.circle(image, centre, radius, OUTLINE, 5, cv2.LINE_AA)
                cv2.circle(image, centre, radius, joint_colour(mark.joint), 3, cv2.LINE_AA)
        _write(image, mark.text, x1, y2, line, radius)


def _write(image: Image, text: str, left: float, below: float, line: int, radius: int) -> None:
    scale = float(np.clip(radius / 16, 0.45, 1.0))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    row = round(1.6 * height)
    x = round(min(max(left, 4.0), max(image.shape[1] - width - 4.0, 4.0)))
    y = round(min(below, image.shape[0] - 4.0 - row)) + row - line * row
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, OUTLINE, 4, cv2.LINE_AA)
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, MIDDLE, 1, cv2.LINE_AA)
