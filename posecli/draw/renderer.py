"""The renderer for all drawings of people. `run`, `draw`, `image` and `view` use it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np

from posecli.draw.angles import Label, draw_angles, triples
from posecli.draw.heatmap import draw_heatmaps
from posecli.draw.marks import draw_marks
from posecli.draw.skeleton import MIDDLE, OUTLINE, Drawing, draw_people, joint_colour, track_colour
from posecli.errors import PoseError
from posecli.skeletons import Skeleton
from posecli.types import Array, FramePoses, Image, Person

FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top")
HEAD_SHARE = 0.11  # minimum radius of the blur, as a share of the longer box side
HEAD_MARGIN = 1.5  # factor for the distances of the head's joints from its centre
BLUR_CELLS = 6  # number of squares across a blurred head


class Renderer:
    """Draws frames in order. It keeps the paths of the joints for trails."""

    def __init__(self, skeleton: Skeleton, drawing: Drawing) -> None:
        """Raises PoseError for joints and angles that the skeleton does not have."""
        trails = [j for joint in drawing.trails for j in _both_sides(joint, skeleton)]
        self.drawing = drawing
        self.skeleton = skeleton
        self._angles = triples(drawing.angles, skeleton)
        self._joints = [skeleton.joints.index(j) for j in trails]
        self._paths: dict[tuple[int, int], deque[tuple[float, Array]]] = {}

    def draw(self, poses: FramePoses) -> Image:
        """Draw everything into the image of the frame, in place, or into a new black image."""
        drawing = self.drawing
        image = np.zeros_like(poses.frame.image) if drawing.black else poses.frame.image
        if drawing.blur_faces and not drawing.black:
            for person in poses.people:
                blur_face(image, person, self.skeleton)
        if drawing.heatmap_joints is not None:
            draw_heatmaps(image, poses.heatmaps, drawing.heatmap_joints)
        if drawing.horizontal is not None:
            _draw_level(image, drawing.horizontal)
        if drawing.trails:
            now = float(poses.frame.time)
            self.note(now, ((p.track, p.keypoints) for p in poses.people))
            self._draw_trails(image, now)
        draw_people(image, poses.people, self.skeleton, drawing=drawing)
        labels: list[Label] = []
        for person in poses.people if self._angles else ():
            draw_angles(image, person, self.skeleton, self._angles, drawing.confidence, labels)
        for person in poses.people if drawing.marks else ():
            draw_marks(image, person, self.skeleton, drawing.marks, float(poses.frame.time))
        return image

    def note(self, now: float, people: Iterable[tuple[int | None, Array]]) -> None:
        """Add joints to the trails. now: seconds. people: (track ID, keypoints (K, 3)) pairs."""
        for track, keypoints in people:
            for joint in self._joints:
                path = self._paths.setdefault((track or 0, joint), deque())
                if keypoints[joint, 2] >= self.drawing.confidence:
                    path.append((now, keypoints[joint, :2]))
        for path in self._paths.values():
            while path and now - path[0][0] > self.drawing.trail_seconds:
                path.popleft()

    def _draw_trails(self, image: Image, now: float) -> None:
        for (track, joint), path in self._paths.items():
            points = np.array([p for _, p in path]).round().astype(np.int32)
            of_side = self.drawing.colours == "sides"
            colour = joint_colour(self.skeleton.joints[joint]) if of_side else track_colour(track)
            if len(points) > 1:
                cv2.polylines(image, [points], False, colour, 2, cv2.LINE_AA)


def _both_sides(joint: str, skeleton: Skeleton) -> list[str]:
    """ankle -> left_ankle, right_ankle. Raises PoseError for a joint that the skeleton does not have."""
    found = [name for name in (joint, f"left_{joint}", f"right_{joint}") if name in skeleton.joints]
    if not found:
        raise PoseError(f"This result has no joint {joint}; it has {', '.join(skeleton.joints)}.")
    return found


def _draw_level(image: Image, row: float) -> None:
    y, width = round(row), image.shape[1]
    for colour, thickness in ((OUTLINE, 4), (MIDDLE, 2)):
        cv2.line(image, (0, y), (width, y), colour, thickness)


def blur_face(image: Image, person: Person, skeleton: Skeleton) -> None:
    """Blur a head with coarse squares, in place, even if its joints have a low confidence.

    Faces of people that were not detected are not blurred. Raises PoseError for a skeleton without head joints.
    """
    head = np.array([person.keypoints[skeleton.joints.index(j), :2] for j in FACE if j in skeleton.joints])
    if len(head) and np.isnan(head).all():  # no joint of the head was found
        return
    head = head[~np.isnan(head).any(axis=1)] if len(head) else head
    if not len(head):
        raise PoseError(
            f"The skeleton {skeleton.name} has no joints of the head, so no face can be found to blur."
        )
    x1, y1, x2, y2 = person.box
    middle = np.median(head, axis=0)
    reach = float(np.median(np.linalg.norm(head - middle, axis=1))) * HEAD_MARGIN * 2
    radius = max(reach, HEAD_SHARE * float(max(x2 - x1, y2 - y1)))
    height, width = image.shape[:2]
    left, right = (int(np.clip(middle[0] + s * radius, 0, width)) for s in (-1, 1))
    top, bottom = (int(np.clip(middle[1] + s * radius, 0, height)) for s in (-1, 1))
    if right - left < 2 or bottom - top < 2:
        return
    region = image[top:bottom, left:right]
    cells = (min(BLUR_CELLS, right - left), min(BLUR_CELLS, bottom - top))
    coarse = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(region.shape[:2], np.uint8)
    centre = (round(float(middle[0])) - left, round(float(middle[1])) - top)
    cv2.circle(mask, centre, round(radius), 255, -1)
    region[mask > 0] = blurred[mask > 0]
