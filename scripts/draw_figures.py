"""Draws the picture of people on whom `posecli doctor` compares engines: no photo, so that anybody may pass it on.

    python scripts/draw_figures.py posecli/engines/figures.jpg

After a change of the picture, run scripts/ship_openvino.py: it stores the networks' answers on it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

Point = tuple[float, float]
Colour = tuple[int, int, int]  # BGR
WIDTH, HEIGHT = 1280, 640
HAIR, SHOE = (40, 55, 75), (40, 40, 40)
SHADES, BITS = 6, 4  # shades across a limb; bits of a pixel's parts in cv2's coordinates


@dataclass(frozen=True)
class Figure:
    """Joints in pixels from the middle of the head, of a figure 520 pixels tall; (left, right)."""

    x: float
    shirt: Colour
    trousers: Colour
    skin: Colour
    elbows: tuple[Point, Point] = ((92, 142), (-84, 150))
    wrists: tuple[Point, Point] = ((128, 204), (-66, 222))
    knees: tuple[Point, Point] = ((44, 330), (-34, 334))
    ankles: tuple[Point, Point] = ((52, 434), (-38, 438))
    size: float = 1.0


FIGURES = (
    Figure(200, (60, 60, 190), (110, 70, 45), (140, 170, 222)),
    Figure(
        520,
        (120, 150, 60),
        (60, 60, 70),
        (90, 120, 175),
        elbows=((104, 40), (-100, 36)),
        wrists=((98, -44), (-92, -48)),
    ),
    Figure(
        830,
        (200, 190, 190),
        (90, 50, 40),
        (150, 180, 230),
        elbows=((70, 150), (-112, 120)),
        wrists=((20, 190), (-170, 172)),
        knees=((66, 326), (-70, 322)),
        ankles=((104, 428), (-118, 424)),
    ),
    Figure(1110, (170, 90, 40), (70, 80, 90), (60, 85, 130), size=0.8),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    picture = _room()
    for figure in FIGURES:
        _draw(picture, figure)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    cv2.imwrite(str(parser.parse_args().out), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])


def _room() -> np.ndarray:
    """A wall and a floor in soft light."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    wall = np.array([186, 196, 200]) * (0.85 + 0.2 * x / WIDTH)[..., None]
    floor = np.array([92, 118, 138]) * (0.8 + 0.3 * y / HEIGHT)[..., None]
    picture = np.where((y > 0.8 * HEIGHT)[..., None], floor, wall)
    picture += 6 * (np.sin(x / 17) * np.cos(y / 23))[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _draw(picture: np.ndarray, figure: Figure) -> None:
    top = HEIGHT - 90 - 440 * figure.size

    def limb(a: Point, b: Point, wide_a: float, wide_b: float, colour: Colour) -> None:
        """From a to b, lit from the left."""
        ends = np.array([a, b], float) * figure.size + [figure.x, top]
        widths = np.array([wide_a, wide_b]) * figure.size
        along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
        across = np.array([-along[1], along[0]])
        for n in range(SHADES):
            part = 1 - n / SHADES
            shade = tuple(float(c) * (0.72 + 0.28 * (1 - part)) for c in colour)
            moved = ends - [0.25 * (1 - part) * widths[0], 0]
            sides = across * widths[:, None] * part
            outline = np.concatenate([moved + sides, (moved - sides)[::-1]])
            cv2.fillConvexPoly(picture, _fine(outline), shade, cv2.LINE_AA, BITS)
            for end, width in zip(moved, widths, strict=True):
                cv2.circle(
                    picture, tuple(_fine(end)), int(width * part * 2**BITS), shade, -1, cv2.LINE_AA, BITS
                )

    for side, knee, ankle in zip((1, -1), figure.knees, figure.ankles, strict=True):
        limb(ankle, (ankle[0] + side * 16, ankle[1] + 20), 11, 9, SHOE)
        limb(knee, ankle, 20, 12, figure.trousers)
        limb((side * 30, 227), knee, 29, 20, figure.trousers)
    limb((-20, 227), (20, 227), 30, 30, figure.trousers)
    for x in (-34, 34, 0):
        limb((x, 86), (0.65 * x, 212), 36, 32, figure.shirt)
    limb((0, 47), (0, 67), 15, 18, figure.skin)
    for side, elbow, wrist in zip((1, -1), figure.elbows, figure.wrists, strict=True):
        hand = tuple(w + 0.22 * (w - e) for w, e in zip(wrist, elbow, strict=True))
        limb(elbow, wrist, 13, 9, figure.skin)
        limb(wrist, hand, 10, 8, figure.skin)
        limb((side * 52, 72), elbow, 20, 14, figure.shirt)
    limb((0, -10), (0, 14), 31, 25, figure.skin)
    limb((0, -30), (0, -20), 30, 33, HAIR)
    limb((0, -6), (0, 16), 27, 23, figure.skin)
    _face(picture, figure, top)


def _face(picture: np.ndarray, figure: Figure, top: float) -> None:
    def at(x: float, y: float) -> tuple[int, int]:
        return tuple(_fine(np.array([figure.x + x * figure.size, top + y * figure.size])))

    def long(x: float, y: float) -> tuple[int, int]:
        return tuple(_fine(np.array([x, y]) * figure.size))

    dark = tuple(0.75 * c for c in figure.skin)
    for side in (-1, 1):
        x = 11 * side
        cv2.ellipse(picture, at(x, -2), long(6, 4), 0, 0, 360, (235, 235, 240), -1, cv2.LINE_AA, BITS)
        cv2.circle(picture, at(x, -2), long(3, 0)[0], (40, 40, 50), -1, cv2.LINE_AA, BITS)
        cv2.line(picture, at(x - 7, -10), at(x + 7, -11), HAIR, 2, cv2.LINE_AA, BITS)
        cv2.ellipse(picture, at(29 * side, 2), long(4, 9), 0, 0, 360, dark, -1, cv2.LINE_AA, BITS)
    cv2.line(picture, at(0, 0), at(-3, 11), dark, 2, cv2.LINE_AA, BITS)
    cv2.ellipse(picture, at(0, 23), long(9, 3), 0, 0, 180, (90, 90, 170), 2, cv2.LINE_AA, BITS)


def _fine(points: np.ndarray) -> np.ndarray:
    """Pixels in cv2's fixed point."""
    return np.round(points * 2**BITS).astype(np.int32)


if __name__ == "__main__":
    main()
