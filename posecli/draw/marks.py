"""Draws events, such as steps, at their time and position, in place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from posecli.draw.skeleton import MIDDLE, OUTLINE, Mark, joint_colour
from posecli.skeletons import Skeleton
from posecli.types import Image, Person

RADIUS = 0.035  # share of the longer box side
RING_SECONDS = 0.15  # a ring is shown for this time; later the foot may be in the air again
SLACK = 1e-6  # seconds


def draw_marks(image: Image, person: Person, skeleton: Skeleton, marks: Sequence[Mark], now: float) -> None:
    """Draw the marks of a person at the time `now` (seconds).

    The joint gets a ring. The text of the newest mark is at the lower edge of the box.
    """
    x1, y1, x2, y2 = (float(v) for v in person.box)
    radius = max(6, round(RADIUS * max(x2 - x1, y2 - y1)))
    held = [m for m in marks if m.track == person.track and m.start - SLACK <= now <= m.end + SLACK]
    for mark in held:
        if mark.joint in skeleton.joints and now <= mark.start + RING_SECONDS + SLACK:
            x, y, _ = person.keypoints[skeleton.joints.index(mark.joint)]
            if np.isfinite([x, y]).all() and max(abs(x), abs(y)) < 30_000:
                centre = (round(float(x)), round(float(y)))
                cv2.circle(image, centre, radius, OUTLINE, 5, cv2.LINE_AA)
                cv2.circle(image, centre, radius, joint_colour(mark.joint), 3, cv2.LINE_AA)
    if held:
        _write(image, max(held, key=lambda m: m.start).text, x1, y2, radius)


def _write(image: Image, text: str, left: float, below: float, radius: int) -> None:
    """Write text on a dark background. The position is moved so that the text is inside the image."""
    scale = float(np.clip(radius / 18, 0.45, 0.9))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = round(min(max(left, 0.0), max(image.shape[1] - width - 8.0, 0.0)))
    y = round(min(max(below, 0.0), image.shape[0] - height - base - 6.0))
    cv2.rectangle(image, (x, y), (x + width + 8, y + height + base + 6), OUTLINE, -1)
    corner = (x + 4, y + height + 3)
    cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, MIDDLE, 1, cv2.LINE_AA)
