"""Draws two videos side by side. A plays at its own speed. Next to each of its frames is the matching frame of B."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from posecli.draw.renderer import Renderer, blur_face
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.output.video import writing
from posecli.results.motion import Pace
from posecli.results.recording import Recording
from posecli.results.render import matched
from posecli.sources.open import OpenedSource
from posecli.sources.photos import fitted
from posecli.types import FramePoses, Image

TALLEST = 1080  # maximum height in pixels
BAND = 1 / 16  # height of the band with the times above the pictures, as a share of their height
GAP = 4  # pixels between the pictures
INK = (240, 240, 240)


@dataclass(frozen=True)
class Clip:
    """A result and its video."""

    recording: Recording
    source: OpenedSource
    track: int  # track ID of the person to draw


def write_side_by_side(
    a: Clip,
    b: Clip,
    pace: Pace,
    out: Path,
    drawing: Drawing,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Write the video of the compared part, without sound. It starts at 0 s. Returns the number of frames.

    An interrupted write leaves no partial file. Raises PoseError if no frame is in the compared part.
    """
    height = min(max(a.source.height, b.source.height), TALLEST)
    sizes = [(2 * round(c.source.width * height / c.source.height / 2), height) for c in (a, b)]
    whole = (sizes[0][0] + GAP + sizes[1][0], height + _band(height))
    first: Fraction | None = None
    count = 0
    with writing(out, whole, a.source.rate, a.source.time_base) as writer:
        for poses, picture, time_b, other in _pairs(a, b, pace, drawing):
            first = poses.frame.time if first is None else first
            frame = _beside(
                [_scaled(p, size) for p, size in zip((picture, other), sizes, strict=True)],
                [f"A {float(poses.frame.time):.2f} s", f"B {time_b:.2f} s"],
            )
            writer.write(frame, poses.frame.time - first)
            progress()
            count += 1
        if not count:
            raise PoseError(f"{a.source.name} has no frame in the part that is compared.")
    return count


def _pairs(
    a: Clip, b: Clip, pace: Pace, drawing: Drawing
) -> Iterator[tuple[FramePoses, Image, float, Image]]:
    """Yield (poses of A, drawn frame of A, matching time of B in seconds, drawn frame of B nearest to that time)."""
    draw_a, draw_b = (
        Renderer(c.recording.skeleton, replace(drawing, names=c.recording.names)) for c in (a, b)
    )
    frames_b = matched(b.recording, b.source)
    shown, coming = next(frames_b), next(frames_b, None)
    picture = None
    for poses in matched(a.recording, a.source):
        time_b = float(pace.at(np.array([float(poses.frame.time)]))[0])
        if np.isnan(time_b):
            if poses.frame.time > pace.a[-1]:
                return
            continue
        while coming is not None and _off(coming, time_b) <= _off(shown, time_b):
            shown, coming, picture = coming, next(frames_b, None), None
        if picture is None:
            picture = _drawn(draw_b, shown, b.track)
        yield poses, _drawn(draw_a, poses, a.track), time_b, picture


def _drawn(renderer: Renderer, poses: FramePoses, track: int) -> Image:
    if renderer.drawing.blur_faces and not renderer.drawing.black:  # also faces of people who are not drawn
        for person in poses.people:
            blur_face(poses.frame.image, person, renderer.skeleton)
    return renderer.draw(replace(poses, people=tuple(p for p in poses.people if p.track == track)))


def _off(poses: FramePoses, time: float) -> float:
    return abs(float(poses.frame.time) - time)


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    """Resize an image to `size` (width, height). An image with another aspect ratio is fitted in completely."""
    height, width = image.shape[:2]
    if abs(width * size[1] - height * size[0]) > 2 * max(size):
        return fitted(image, size)
    if (width, height) == size:
        return image
    way = cv2.INTER_AREA if size[1] < height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def _beside(pictures: list[Image], labels: list[str]) -> Image:
    height = pictures[0].shape[0]
    band, widths = _band(height), [p.shape[1] for p in pictures]
    whole = np.zeros((band + height, sum(widths) + GAP, 3), np.uint8)
    for picture, label, left in zip(pictures, labels, (0, widths[0] + GAP), strict=True):
        whole[band:, left : left + picture.shape[1]] = picture
        corner, scale = (left + band // 4, round(0.72 * band)), band / 46
        cv2.putText(
            whole, label, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, max(1, round(scale)), cv2.LINE_AA
        )
    return whole


def _band(height: int) -> int:
    return 2 * round(height * BAND / 2)
