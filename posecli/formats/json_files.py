"""Writes the JSON of COCO results, OpenPose, AlphaPose (COCO and Halpe) and MMPose. Reads the first two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posecli.errors import PoseError
from posecli.formats.common import put
from posecli.results.recording import Recording, poses_of
from posecli.skeletons import COCO17, Skeleton, convert_keypoints, sources_of
from posecli.types import Array, Person

DECIMALS, SURE_DECIMALS = 2, 4
# OpenPose's order. Its neck is the midpoint of the shoulders. The neck of body19 and body23 is a joint of its own.
# posecli has no small toes.
BODY25_JOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
_BODY25_BONES = (
    ("neck", "mid_hip"), ("neck", "right_shoulder"), ("neck", "left_shoulder"), ("neck", "nose"),
    *((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "heel"),
        ("ankle", "big_toe"), ("big_toe", "small_toe"), ("eye", "ear"),
    )),
    *(("mid_hip", f"{s}_hip") for s in ("left", "right")), *(("nose", f"{s}_eye") for s in ("left", "right")),
)  # fmt: skip
BODY25 = Skeleton("body25", BODY25_JOINTS, _BODY25_BONES)
_BODY25_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}
# The 26 joints of Halpe under posecli's names: "head" is head_top, "hip" is pelvis.
HALPE26_JOINTS = (
    *COCO17.joints, "head_top", "neck", "pelvis", "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe",
    "left_heel", "right_heel",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One person in a file of another tool."""

    frame: int
    track: int | None
    score: float
    keypoints: Array  # (K, 3) x, y in pixels, confidence
    box: Array | None  # (4,) x, y, width, height in pixels; None if the file has no boxes


def missing_at_zero(points: Array) -> Array:
    """Mark joints (K, 3) as missing if they are at 0, 0, have confidence 0, or are not finite."""
    result = points.copy()
    gone = (points[:, :2] == 0).all(axis=1) | (points[:, 2] == 0) | ~np.isfinite(points).all(axis=1)
    result[gone] = (np.nan, np.nan, 0.0)
    return result


# ---------------------------------------------------------------- COCO


def write_coco(recording: Recording, out: Path) -> list[Path]:
    """COCO keypoint results. `image_id` is the frame. `track_id` and `time` are additions to COCO's fields."""
    skeleton = recording.skeleton
    entries = []
    for poses in poses_of(recording):
        for person in poses.people:
            points = convert_keypoints(person.keypoints, skeleton, COCO17)
            entries.append(
                {
                    "image_id": poses.frame.index,
                    "category_id": 1,
                    "keypoints": _flat(points),
                    "score": round(person.score, SURE_DECIMALS),
                    "bbox": _xywh(person),
                    "track_id": person.track,
                    "time": round(float(poses.frame.time), 6),
                }
            )
    return [_put_text(out, json.dumps(entries))]


def read_coco(path: Path, document: Any) -> tuple[Skeleton, list[Found], dict[int, float]]:
    """Read COCO keypoint results, or the annotations of a ground truth file. The frame is the `image_id`.

    Returns (skeleton, people, times in seconds by frame, if the file has them). Raises PoseError if the number of
    joints is not COCO's.
    """
    entries = document["annotations"] if isinstance(document, dict) else document
    found, times = [], {}
    for entry in entries:
        points = np.array(entry["keypoints"], float).reshape(-1, 3)
        if len(points) != len(COCO17.joints):
            raise PoseError(f"{path} has {len(points)} joints a person, not COCO's {len(COCO17.joints)}.")
        if isinstance(document, dict):  # 0, 1, 2: not labelled, hidden, visible
            points[:, 2] = points[:, 2] > 0
        points = missing_at_zero(points)
        box = entry.get("bbox")
        frame = int(entry["image_id"])
        found.append(
            Found(
                frame,
                entry.get("track_id"),
                float(entry.get("score", 1.0)),
                points,
                None if box is None else np.array(box, float),
            )
        )
        if "time" in entry:
            times[frame] = float(entry["time"])
    return COCO17, found, times


# ---------------------------------------------------------------- OpenPose


def write_openpose(recording: Recording, out: Path) -> list[Path]:
    """A folder with one JSON file per frame, named by the frame index. Joints are in the order of BODY_25.

    Joints that the skeleton lacks are 0. Raises PoseError if the folder can't be created.
    """
    skeleton = recording.skeleton
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PoseError(f"{out} can't be made ({error.strerror}); choose another --out.") from error
    stem = Path(recording.header["source"]["name"]).stem
    for poses in poses_of(recording):
        people = [
            {
                "person_id": [-1 if person.track is None else person.track],
                "pose_keypoints_2d": _flat(body25(person.keypoints, skeleton)),
                "face_keypoints_2d": [],
                "hand_left_keypoints_2d": [],
                "hand_right_keypoints_2d": [],
                "pose_keypoints_3d": [],
                "face_keypoints_3d": [],
                "hand_left_keypoints_3d": [],
                "hand_right_keypoints_3d": [],
            }
            for person in poses.people
        ]
        text = json.dumps({"version": 1.3, "people": people})
        _put_text(out / f"{stem}_{poses.frame.index:012}_keypoints.json", text)
    return [out]


def body25(keypoints: Array, skeleton: Skeleton) -> Array:
    """Keypoints (25, 3) in the order of BODY_25. Joints that the skeleton lacks are 0."""
    return _in_order(BODY25_JOINTS, keypoints, skeleton, _BODY25_MIDDLES)


def _in_order(
    joints: tuple[str, ...], keypoints: Array, skeleton: Skeleton, middles: Mapping[str, tuple[str, ...]]
) -> Array:
    """Keypoints (J, 3) in the order of `joints`. Joints that the skeleton lacks are 0.

    middles: joints that are always computed as the midpoint of two others.
    """
    points = np.zeros((len(joints), 3))
    for k, joint in enumerate(joints):
        parts = middles.get(joint) or sources_of(joint, skeleton.joints)
        if parts is not None and all(p in skeleton.joints for p in parts):
            chosen = keypoints[[skeleton.joints.index(p) for p in parts]]
            points[k] = (*chosen[:, :2].mean(axis=0), chosen[:, 2].min())
    return points


def read_openpose(folder: Path) -> tuple[Skeleton, list[Found], int]:
    """Read a folder of *_keypoints.json files. Returns (skeleton, people, number of frames).

    Raises PoseError if the folder has none, for damaged files, and for coordinates that are not in pixels.
    """
    files = sorted(folder.glob("*_keypoints.json"))
    if not files:
        raise PoseError(f"{folder} has no *_keypoints.json of OpenPose.")
    found, last = [], 0
    for n, file in enumerate(files):
        digits = file.name.removesuffix("_keypoints.json").rsplit("_", 1)[-1]
        frame = int(digits) if digits.isdigit() else n
        last = max(last, frame)
        try:
            people = json.loads(file.read_text(encoding="utf-8"))["people"]
            for person in people:
                points = np.array(person["pose_keypoints_2d"], float).reshape(-1, 3)
                if len(points) != len(BODY25_JOINTS):
                    raise PoseError(f"{file} has {len(points)} joints a person, not BODY_25's 25.")
                points = missing_at_zero(points)
                number = int(next(iter(person.get("person_id", [-1])), -1))
                found.append(
                    Found(frame, None if number < 1 else number, float(points[:, 2].mean()), points, None)
                )
        except (ValueError, KeyError, TypeError) as error:
            raise PoseError(f"{file} is not what OpenPose writes, or it is damaged.") from error
    seen = [p.keypoints[np.isfinite(p.keypoints[:, 0]), :2] for p in found]
    if any(len(s) for s in seen) and all(np.abs(s).max(initial=0) <= 1 for s in seen):
        raise PoseError(
            f"{folder} has coordinates between 0 and 1; run OpenPose with --keypoint_scale 0, for pixels."
        )
    return BODY25, found, last + 1


# ---------------------------------------------------------------- AlphaPose, MMPose


def write_alphapose(recording: Recording, out: Path) -> list[Path]:
    """AlphaPose's alphapose-results.json with COCO's 17 joints. `idx` is the track ID."""
    return _write_alphapose(recording, out, lambda k: convert_keypoints(k, recording.skeleton, COCO17))


def write_halpe26(recording: Recording, out: Path) -> list[Path]:
    """alphapose-results.json with Halpe's 26 joints. Joints that posecli lacks, such as small toes, are 0."""
    return _write_alphapose(recording, out, lambda k: _in_order(HALPE26_JOINTS, k, recording.skeleton, {}))


def _write_alphapose(recording: Recording, out: Path, joints: Callable[[Array], Array]) -> list[Path]:
    entries = [
        {
            "image_id": f"{poses.frame.index}.jpg",
            "category_id": 1,
            "keypoints": _flat(joints(person.keypoints)),
            "score": round(person.score, SURE_DECIMALS),
            "box": _xywh(person),
            "idx": person.track,
        }
        for poses in poses_of(recording)
        for person in poses.people
    ]
    return [_put_text(out, json.dumps(entries))]


def write_mmpose(recording: Recording, out: Path) -> list[Path]:
    """The JSON of MMPose's inferencer for a video: the joint names once, then the instances of each frame."""
    skeleton = recording.skeleton
    meta = {
        "dataset_name": skeleton.name,
        "num_keypoints": len(skeleton.joints),
        "keypoint_id2name": {str(k): joint for k, joint in enumerate(skeleton.joints)},
        "keypoint_name2id": {joint: k for k, joint in enumerate(skeleton.joints)},
        "flip_indices": skeleton.flip,
        "skeleton_links": [list(edge) for edge in skeleton.edges],
    }
    frames = []
    for poses in poses_of(recording):
        instances = []
        for person in poses.people:
            x1, y1, x2, y2 = (round(float(v), DECIMALS) for v in person.box)
            instances.append(
                {
                    "keypoints": np.nan_to_num(person.keypoints[:, :2]).round(DECIMALS).tolist(),
                    "keypoint_scores": person.keypoints[:, 2].round(SURE_DECIMALS).tolist(),
                    "bbox": [[x1, y1, x2, y2]],
                    "bbox_score": round(person.score, SURE_DECIMALS),
                    "track_id": person.track,
                }
            )
        frames.append({"frame_id": poses.frame.index, "instances": instances})
    document = {"meta_info": meta, "instance_info": frames}
    return [_put_text(out, json.dumps(document))]


def _put_text(path: Path, text: str) -> Path:
    return put(path, lambda part: part.write_text(text + "\n", encoding="utf-8"))


def _flat(points: Array) -> list[float]:
    """Flatten to x, y, confidence, x, y, … A missing joint becomes 0, 0, 0, as these formats require."""
    return [
        value
        for x, y, c in np.where(np.isnan(points[:, :1]), 0.0, points).tolist()
        for value in (round(x, DECIMALS), round(y, DECIMALS), round(c, SURE_DECIMALS))
    ]


def _xywh(person: Person) -> list[float]:
    x1, y1, x2, y2 = (float(v) for v in person.box)
    return [round(v, DECIMALS) for v in (x1, y1, x2 - x1, y2 - y1)]
