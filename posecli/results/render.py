"""Draw a stored result into its video again: other looks, trails, hidden faces; no network runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from posecli.defaults import KEYPOINT_CONFIDENCE
from posecli.draw.skeleton import Look, draw_people, track_colour
from posecli.errors import PoseError
from posecli.output.video import VideoWriter
from posecli.results.recording import Recording, poses_of
from posecli.skeletons import Skeleton
from posecli.sources.open import Source, open_source
from posecli.sources.photos import PhotoSequence, fitted
from posecli.types import Array, FramePoses, Image, Person

TIME_SLACK = 0.002  # seconds that a file's time may be off its source's
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top")
HEAD_SHARE = 0.11  # of the box's longer side: no head is taken to be smaller
HEAD_MARGIN = 1.5  # times the distance of the furthest joint of the head from its middle
BLUR_CELLS = 6  # a head is left with so many squares across


@dataclass(frozen=True)
class Drawing:
    """What is drawn onto what."""

    look: Look = field(default_factory=Look)
    confidence: float = KEYPOINT_CONFIDENCE
    trails: tuple[str, ...] = ()  # joints whose path is drawn
    trail_seconds: float = 1.0
    blur_faces: bool = False
    black: bool = False  # ground instead of the picture
    skeletons: bool = True


def reopened(recording: Recording, source: str) -> Source:
    """The video or the photos that a result was made from, opened as they were then."""
    told = recording.header["source"]
    opened = open_source(source, stream=told.get("stream"))
    if isinstance(opened, PhotoSequence) and told.get("rate"):
        opened.rate = Fraction(told["rate"])
    return opened


def matched(recording: Recording, source: Source) -> Iterator[FramePoses]:
    """The source's frames that are in the result, with their people; raises PoseError for another video."""
    told = recording.header["source"]
    if (source.width, source.height) != (told["width"], told["height"]):
        raise PoseError(
            f"{source.name} is {source.width}x{source.height}, and the result is of {told['name']}, "
            f"{told['width']}x{told['height']}: give the video that it was made from."
        )
    if recording.header["options"].get("resample"):
        raise PoseError(
            "This result was resampled, so its rows are not the video's frames; draw the one before."
        )
    wanted = poses_of(recording)
    poses = next(wanted, None)
    for frame in source:
        if poses is None:
            return
        if frame.index < poses.frame.index:
            continue
        if frame.index != poses.frame.index or abs(float(frame.time) - float(poses.frame.time)) > TIME_SLACK:
            raise PoseError(
                f"{source.name} shows frame {frame.index} at {float(frame.time):.3f} s, and the result has frame "
                f"{poses.frame.index} at {float(poses.frame.time):.3f} s: give the video that it was made from."
            )
        if poses.frame.photo is not None and frame.photo != poses.frame.photo:
            raise PoseError(
                f"Photo {frame.index + 1} of {source.name} is not {poses.frame.photo.name}: give the photos that the "
                f"result was made from."
            )
        yield replace(poses, frame=frame)
        poses = next(wanted, None)
    if poses is not None:
        raise PoseError(
            f"{source.name} ends before frame {poses.frame.index} of the result: give the video that it was made from."
        )


def redraw(
    recording: Recording,
    source: Source,
    out: Path,
    drawing: Drawing,
    progress: Callable[[FramePoses], None] = lambda _: None,
) -> int:
    """Write the video; returns how many frames. It is there whole or not at all. Raises PoseError."""
    skeleton = recording.skeleton
    for joint in drawing.trails:
        if joint not in skeleton.joints:
            raise PoseError(f"This result has no joint {joint}; it has {', '.join(skeleton.joints)}.")
    times = recording.times
    span = (float(times[0]), None if len(times) < 2 else float(times[-1] + np.median(np.diff(times))))
    drawing = replace(drawing, look=replace(drawing.look, names=recording.names))
    part = out.with_name(f"{out.stem}.part{out.suffix}")
    writer = VideoWriter(
        part, (source.width, source.height), source.rate, source.time_base,
        sound=source.sound, span=span, origin=source.origin,
    )  # fmt: skip
    past = Trails(skeleton, drawing)
    count = 0
    try:
        for poses in matched(recording, source):
            picture = drawn(poses, skeleton, drawing, past)
            writer.write(fitted(picture, writer.size), poses.frame.time)
            progress(poses)
            count += 1
        if source.trouble.restarted:
            writer.sound = None
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    part.replace(out)
    return count


class Trails:
    """Where the chosen joints were in the last moments."""

    def __init__(self, skeleton: Skeleton, drawing: Drawing) -> None:
        self._joints = [skeleton.joints.index(j) for j in drawing.trails]
        self._seconds, self._confidence = drawing.trail_seconds, drawing.confidence
        self._paths: dict[tuple[int, int], deque[tuple[float, Array]]] = {}

    def draw(self, image: Image, poses: FramePoses) -> None:
        now = float(poses.frame.time)
        for person in poses.people:
            for joint in self._joints:
                path = self._paths.setdefault((person.track or 0, joint), deque())
                if person.keypoints[joint, 2] >= self._confidence:
                    path.append((now, person.keypoints[joint, :2]))
        for (track, _), path in self._paths.items():
            while path and now - path[0][0] > self._seconds:
                path.popleft()
            points = np.array([p for _, p in path]).round().astype(np.int32)
            if len(points) > 1:
                cv2.polylines(image, [points], False, track_colour(track), 2, cv2.LINE_AA)


def drawn(poses: FramePoses, skeleton: Skeleton, drawing: Drawing, past: Trails) -> Image:
    """The frame's picture with everything on it."""
    image = np.zeros_like(poses.frame.image) if drawing.black else poses.frame.image
    if drawing.blur_faces and not drawing.black:
        for person in poses.people:
            blur_face(image, person, skeleton)
    past.draw(image, poses)
    if drawing.skeletons:
        draw_people(image, poses.people, skeleton, drawing.confidence, drawing.look)
    return image


def blur_face(image: Image, person: Person, skeleton: Skeleton) -> None:
    """Make a head unrecognisable, in place: coarse squares around its joints, whether they are sure or not. Whom
    the detector did not find keeps the face."""
    head = np.array([person.keypoints[skeleton.joints.index(j), :2] for j in FACE if j in skeleton.joints])
    if len(head) and np.isnan(head).all():  # a person without a head has no face
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
