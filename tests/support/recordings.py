"""Recordings made by hand with all fields of a file, and the schema of such a file."""

import json
from importlib.resources import files

import numpy as np

from posecli.output.document import skeleton_record
from posecli.results.recording import Recording, Track
from posecli.skeletons import BODY19, Skeleton

SCHEMA = json.loads(files("posecli").joinpath("result.schema.json").read_text())

# A person who stands upright, seen from the front, 181 pixels from head to ankle. Their left is on the right side of
# the picture.
STANDING = {
    "nose": (100, 20), "left_eye": (103, 17), "right_eye": (97, 17), "left_ear": (106, 18), "right_ear": (94, 18),
    "left_shoulder": (120, 40), "right_shoulder": (80, 40), "left_elbow": (120, 70), "right_elbow": (80, 70),
    "left_wrist": (120, 100), "right_wrist": (80, 100), "left_hip": (110, 100), "right_hip": (90, 100),
    "left_knee": (110, 140), "right_knee": (90, 140), "left_ankle": (110, 181), "right_ankle": (90, 181),
    "neck": (100, 40), "head_top": (100, 0),
    "left_heel": (109, 188), "right_heel": (91, 188), "left_big_toe": (113, 192), "right_big_toe": (87, 192),
}  # fmt: skip


def standing_at(x, y=0.0, confidence=0.9, scale=1.0, skeleton: Skeleton = BODY19):
    """Keypoints (K, 3) of the standing person, with the origin moved to (x, y)."""
    points = np.array([STANDING[j] for j in skeleton.joints], float) * scale + (x, y)
    return np.column_stack([points, np.full(len(points), confidence)])


def track_of(number, rows, keypoints, place=0) -> Track:
    """A track with these keypoints (N, K, 3), and boxes around them."""
    keypoints = np.asarray(keypoints, float)
    low, high = np.nanmin(keypoints[:, :, :2], axis=1), np.nanmax(keypoints[:, :, :2], axis=1)
    return Track(
        number, np.asarray(rows, np.intp), keypoints, np.column_stack([low, high - low]),
        np.full(len(rows), 0.8), ((),) * len(rows), np.full(len(rows), place, np.intp),
    )  # fmt: skip


def recording_of(tracks, times, size=(640, 480), skeleton: Skeleton = BODY19) -> Recording:
    header = {
        "posecli": "0.1.0", "format": 2,
        "source": {"name": "walk.mp4", "width": size[0], "height": size[1], "rate": "25/1", "duration": None, "rotation": 0},
        "model": {"name": "small", "sha256": "0" * 64}, "detector": {"name": "person", "sha256": "0" * 64},
        "tracker": "bytetrack", "skeleton": skeleton_record(skeleton, {}), "options": {},
        "summary": {"frames": len(times), "people": 0, "tracks": 0, "damaged": 0, "messages": []},
    }  # fmt: skip
    times = np.asarray(times, float)
    return Recording(header, np.arange(len(times)), times, ((),) * len(times), tuple(tracks))
