"""Draws angles.png, the figure of every angle that `posecli measure` knows: python scripts/draw_angles.py"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.patches import Arc

from posecli.metrics.angles import JOINT_ANGLES, included_angle, lean, rise
from posecli.results.measure import LYING_SEGMENTS, MIDDLE_SEGMENTS, SEGMENTS
from posecli.skeletons import BODY23

DOCS = Path(__file__).resolve().parents[1] / "docs"

# Somebody in a lunge, facing right; picture coordinates, y down.
POSE = {
    "nose": (112, 22), "left_eye": (110, 19), "right_eye": (108, 18), "left_ear": (103, 20), "right_ear": (101, 20),
    "left_shoulder": (100, 48), "right_shoulder": (92, 47), "left_elbow": (118, 74), "right_elbow": (72, 70),
    "left_wrist": (143, 62), "right_wrist": (58, 94), "left_hip": (84, 108), "right_hip": (76, 108),
    "left_knee": (124, 128), "right_knee": (56, 148), "left_ankle": (120, 176), "right_ankle": (18, 172),
    "neck": (96, 44), "head_top": (102, 6), "left_heel": (114, 184), "left_big_toe": (139, 184), "right_heel": (9, 172),
    "right_big_toe": (25, 187),
}  # fmt: skip
POINTS = {name: np.array([xy], float) for name, xy in POSE.items()}
POINTS["pelvis"] = (POINTS["left_hip"] + POINTS["right_hip"]) / 2
BLUE, ORANGE = "#0072b2", "#d55e00"


def figure(axis, bones) -> None:
    for a, b in BODY23.bones:
        axis.plot(*zip(POSE[a], POSE[b], strict=True), color="#bbbbbb", linewidth=2, zorder=1)
    for a, b in bones:
        axis.plot(*np.concatenate([POINTS[a], POINTS[b]]).T, color=BLUE, linewidth=4, zorder=2)
    axis.set(xlim=(0, 165), ylim=(193, -5), aspect="equal")
    axis.axis("off")


def arc(axis, middle, begin, end, radius=18) -> None:
    """From one direction to another, the short way round; degrees, y down."""
    turn = (end - begin + 180) % 360 - 180
    first, last = sorted((begin, begin + turn))
    axis.add_patch(
        Arc(middle, 2 * radius, 2 * radius, theta1=first, theta2=last, color=ORANGE, linewidth=2.5, zorder=3)
    )


def direction(a, b) -> float:
    (dx, dy) = (POINTS[b] - POINTS[a])[0]
    return float(np.degrees(np.arctan2(dy, dx)))


chart, axes = pyplot.subplots(2, 6, figsize=(15, 6.2), layout="constrained")
axes = axes.ravel()
for axis, (name, joints) in zip(axes, JOINT_ANGLES.items(), strict=False):
    a, b, c = (f"left_{joint}" for joint in joints)
    figure(axis, [(a, b), (b, c)])
    arc(axis, POINTS[b][0], direction(b, a), direction(b, c))
    axis.set_title(f"left_{name}: {included_angle(POINTS[a], POINTS[b], POINTS[c])[0]:.0f}°")
for axis, (name, ends) in zip(
    axes[len(JOINT_ANGLES) : -1], {**SEGMENTS, **MIDDLE_SEGMENTS}.items(), strict=True
):
    sided = "" if name in MIDDLE_SEGMENTS else "left_"
    low, high = (f"{sided}{joint}" for joint in ends)
    figure(axis, [(low, high)])
    x, y = POINTS[low][0]
    axis.plot([x, x], [y, y - 45], color=ORANGE, linewidth=1.5, linestyle="--", zorder=2)
    arc(axis, (x, y), -90, direction(low, high), 25)
    axis.set_title(f"{sided}{name}: {lean(POINTS[low], POINTS[high])[0]:+.0f}°")
[(name, ends)] = LYING_SEGMENTS.items()
back, front = (f"right_{joint}" for joint in ends)
figure(axes[-1], [(back, front)])
x, y = POINTS[back][0]
axes[-1].plot([x, x + 45], [y, y], color=ORANGE, linewidth=1.5, linestyle="--", zorder=2)
arc(axes[-1], (x, y), 0, direction(back, front), 25)
axes[-1].set_title(f"right_{name}: {rise(POINTS[back], POINTS[front])[0]:+.0f}°")
chart.savefig(DOCS / "angles.png", dpi=80)
