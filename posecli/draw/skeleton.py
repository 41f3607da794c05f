"""Draws skeletons, boxes and labels into an image, in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import cv2
import numpy as np

from posecli.defaults import KEYPOINT_CONFIDENCE
from posecli.skeletons import Skeleton
from posecli.types import IMPLAUSIBLE, Array, Flags, Image, Person

# BGR. The left side is a warm colour, the right side is cool, and the middle is white. This makes left/right
# swaps easy to see.
LEFT, RIGHT, MIDDLE = (60, 150, 255), (255, 190, 60), (240, 240, 240)
OUTLINE = (25, 25, 25)
SMALL = ("eye", "ear", "nose", "heel", "toe")  # endings of the names of joints with smaller dots
RED = (40, 40, 225)  # BGR, the cross over implausible joints
TRACK_COLOURS = (
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (230, 159, 0),
)  # fmt: skip - palette of Okabe and Ito, safe for colour-blind people


@dataclass(frozen=True)
class Mark:
    """An event of one person, shown from `start` to `end`."""

    track: int
    start: float  # seconds
    end: float  # seconds
    joint: str  # this joint gets a ring; "" for none
    text: str


@dataclass(frozen=True)
class Drawing:
    """What to draw into a picture, and how."""

    colours: Literal["sides", "people"] = "sides"  # left and right in two colours, or one colour per person
    line_width: float = 1.0  # factor for lines and dots; their size follows the size of the person
    boxes: bool = True
    labels: bool = True  # track ID or name, at the bounding box
    skeletons: bool = True
    confidence: float = KEYPOINT_CONFIDENCE  # joints with a lower confidence are hollow
    heatmap_joints: tuple[int, ...] | None = None  # joints whose heatmaps are drawn; None: none
    trails: tuple[str, ...] = ()  # joints whose path is drawn
    trail_seconds: float = 1.0
    angles: tuple[str, ...] = ()  # drawn as arcs with their degrees, such as knee or left_elbow
    horizontal: float | None = None  # y of a horizontal line, in pixels from the top
    blur_faces: bool = False  # of all detected people
    black: bool = False  # black background instead of the picture
    names: Mapping[int, str] = field(default_factory=dict)  # of people, by track ID
    marks: tuple[Mark, ...] = ()  # events


def draw_people(
    image: Image,
    people: Sequence[Person],
    skeleton: Skeleton,
    confidence: float | None = None,
    drawing: Drawing = Drawing(),
) -> None:
    """Draw all people into the image, in place.

    Joints below `confidence` are hollow and have no bones. Missing joints are not drawn. confidence: None uses
    the value of `drawing`.
    """
    if confidence is not None:
        drawing = replace(drawing, confidence=confidence)
    for person in people:
        if drawing.boxes:
            _draw_box(image, person, drawing)
        if drawing.skeletons:
            _draw_person(image, person, skeleton, drawing)


def track_colour(track: int | None) -> tuple[int, int, int]:
    """The colour of a person, BGR."""
    red, green, blue = TRACK_COLOURS[(track or 0) % len(TRACK_COLOURS)]
    return blue, green, red


def _draw_person(image: Image, person: Person, skeleton: Skeleton, drawing: Drawing) -> None:
    x1, y1, x2, y2 = person.box
    radius = max(2, round(0.011 * drawing.line_width * float(max(x2 - x1, y2 - y1))))
    width = max(1, round(0.7 * radius))
    points = _pixels(person.keypoints)
    there = np.isfinite(person.keypoints[:, 0])
    sure = there & (person.keypoints[:, 2] >= drawing.confidence)
    own = track_colour(person.track) if drawing.colours == "people" else None
    for a, b in skeleton.edges:
        if sure[a] and sure[b]:
            colour = own or _colour(skeleton.joints[a], skeleton.joints[b])
            cv2.line(image, points[a], points[b], OUTLINE, width + 2, cv2.LINE_AA)
            cv2.line(image, points[a], points[b], colour, width, cv2.LINE_AA)
    for joint, centre, is_there, is_sure in zip(skeleton.joints, points, there, sure, strict=True):
        if not is_there:
            continue
        colour = own or _colour(joint, joint)
        # The joints of the face and of the foot lie close together. Smaller dots keep them apart.
        size = max(1, radius - 1) if joint.endswith(SMALL) else radius
        if is_sure:
            cv2.circle(image, centre, size + 1, OUTLINE, -1, cv2.LINE_AA)
            cv2.circle(image, centre, size, colour, -1, cv2.LINE_AA)
        else:
            cv2.circle(image, centre, size, colour, 1, cv2.LINE_AA)
    for centre, is_wrong in zip(points, there & _implausible(person), strict=True):
        if is_wrong:
            cv2.drawMarker(
                image, centre, OUTLINE, cv2.MARKER_TILTED_CROSS, 4 * radius + 2, width + 2, cv2.LINE_AA
            )
            cv2.drawMarker(image, centre, RED, cv2.MARKER_TILTED_CROSS, 4 * radius, width, cv2.LINE_AA)


def _implausible(person: Person) -> Flags:
    """The joints (K,) that `check` flagged as implausible."""
    return person.marks.get(IMPLAUSIBLE, np.zeros(len(person.keypoints), bool))


def _draw_box(image: Image, person: Person, drawing: Drawing) -> None:
    colour = track_colour(person.track)
    x1, y1, x2, y2 = (round(float(v)) for v in person.box)
    cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, 1, cv2.LINE_AA)
    if not drawing.labels:
        return
    number = str(person.track)
    label = f"{person.score:.2f}" if person.track is None else drawing.names.get(person.track, number)
    scale = float(np.clip((y2 - y1) / 400, 0.35, 0.8))
    (w, h), base = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    top = max(0, y1 - h - base - 2)
    cv2.rectangle(image, (x1, top), (x1 + w + 4, top + h + base + 2), colour, -1)
    cv2.putText(image, label, (x1 + 2, top + h + 1), cv2.FONT_HERSHEY_SIMPLEX, scale, OUTLINE, 1, cv2.LINE_AA)


def joint_colour(joint: str) -> tuple[int, int, int]:
    """The colour of a joint by its side, BGR."""
    return _colour(joint, joint)


@cache
def _colour(a: str, b: str) -> tuple[int, int, int]:
    sides = {name.split("_")[0] for name in (a, b)}
    if "left" in sides and "right" not in sides:
        return LEFT
    if "right" in sides and "left" not in sides:
        return RIGHT
    return MIDDLE


def _pixels(keypoints: Array) -> list[tuple[int, int]]:
    # Clip, because OpenCV's integers overflow far outside the image.
    return [
        (x, y)
        for x, y in np.nan_to_num(np.clip(keypoints[:, :2], -10_000, 30_000)).round().astype(int).tolist()
    ]
