"""Writes a folder for OpenSim: markers of each person, a marker set for a public model, and setup files for its tools.

The model is Rajagopal2016.osim, which comes with OpenSim (Rajagopal et al. 2016, IEEE Transactions on Biomedical
Engineering). The origins of its bodies are joint centres, so each marker lies at the origin of a body. The foot is
different: the origin of the calcaneus is at the back of the sole, and the origin of the toes is at their joint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from posecli.errors import PoseError
from posecli.formats.common import followed, put, safe_name
from posecli.formats.motion import metres, write_trc
from posecli.results.measure import Scale
from posecli.results.recording import Recording, Track

MODEL = "Rajagopal2016.osim"
MARKERS = "markers.xml"
# Joint -> body with its origin at this joint, without sides.
BODIES = {
    "hip": "femur", "knee": "tibia", "ankle": "talus", "shoulder": "humerus", "elbow": "ulna", "wrist": "hand",
}  # fmt: skip
# Foot joint -> body, and position in metres from its origin: x forwards, y up.
FOOT = {"heel": ("calcn", "0 0.02 0"), "big_toe": ("toes", "0.065 0.01 0")}
# Segment -> its two joints, and the bodies that are scaled by its length.
SEGMENTS = {
    "thigh": ("hip", "knee", ("femur", "patella")),
    "shank": ("knee", "ankle", ("tibia", "talus", "calcn", "toes")),
    "upper_arm": ("shoulder", "elbow", ("humerus",)),
    "forearm": ("elbow", "wrist", ("ulna", "radius", "hand")),
}
TRUNK = ("pelvis", "torso")
STRETCHED = 90  # percentile of the leg length over time; legs look shorter if they point towards the camera


def write_opensim(recording: Recording, out: Path, scale: Scale | None) -> list[Path]:
    """Write the folder and return its files.

    Raises PoseError without a scale, and for skeletons that lack one of the joints.
    """
    needed = [f"{side}_{joint}" for side in ("left", "right") for joint in BODIES]
    lacking = [joint for joint in needed if joint not in recording.joints]
    if lacking:
        raise PoseError(
            f"OpenSim's markers need the joints {', '.join(lacking)}, which this result does not have."
        )
    feet = [f"{side}_{joint}" for side in ("left", "right") for joint in FOOT]
    markers = needed + [joint for joint in feet if joint in recording.joints]
    tracks = followed(recording)
    for track in tracks:  # report people who can't be scaled before any file is written
        metres(recording, track, scale)
        if len(track):
            _longest(recording, track)
    out.mkdir(parents=True, exist_ok=True)
    written = [put(out / MARKERS, _writer(_marker_set(markers)))]
    for track in tracks:
        name = safe_name(recording, track)
        alone = replace(recording, tracks=(track,) if len(track) else ())
        written += write_trc(alone, out / f"{name}.trc", scale)
        if len(track):
            times = recording.times[track.rows]
            moment = float(times[_longest(recording, track)])
            written.append(put(out / f"{name}.scale.xml", _writer(_scale_tool(name, moment))))
            tool = _ik_tool(name, markers, float(times[0]), float(times[-1]))
            written.append(put(out / f"{name}.ik.xml", _writer(tool)))
    return written


def _longest(recording: Recording, track: Track) -> int:
    """The row in which the legs appear in their full length. Raises PoseError if joints are always missing."""
    points = {j: track.keypoints[:, recording.joints.index(j), :2] for j in recording.joints}
    legs = np.zeros(len(track))
    for side in ("left", "right"):
        for a, b in (("hip", "knee"), ("knee", "ankle")):
            legs += np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"], axis=1)
    for joint in BODIES:  # exclude frames with missing joints: 0 * NaN is NaN
        legs += 0 * points[f"left_{joint}"][:, 0] + 0 * points[f"right_{joint}"][:, 0]
    if np.isnan(legs).all():
        raise PoseError(
            f"Person {track.number} is never seen with both arms and both legs, so nothing can be scaled."
        )
    return int(np.nanargmin(np.abs(legs - np.nanpercentile(legs, STRETCHED))))


def _marker_set(joints: list[str]) -> ET.Element:
    root = ET.Element("MarkerSet")
    markers = ET.SubElement(root, "objects")
    for joint in joints:
        side, _, bare = joint.partition("_")
        marker = ET.SubElement(markers, "Marker", name=joint)
        body, place = FOOT[bare] if bare in FOOT else (BODIES[bare], "0 0 0")
        ET.SubElement(marker, "socket_parent_frame").text = f"/bodyset/{body}_{side[0]}"
        ET.SubElement(marker, "location").text = place
    return root


def _scale_tool(name: str, moment: float) -> ET.Element:
    """The setup of the scale tool. Left and right are scaled by their mean."""
    root = ET.Element("ScaleTool", name=name)
    _add(root, "GenericModelMaker", model_file=MODEL, marker_set_file=MARKERS)
    scaler = _add(
        root, "ModelScaler", apply="true", scaling_order="measurements", marker_file=f"{name}.trc",
        time_range=f"{moment:.6f} {moment:.6f}", preserve_mass_distribution="false",
        output_model_file=f"{name}.osim",
    )  # fmt: skip
    measurements = ET.SubElement(ET.SubElement(scaler, "MeasurementSet"), "objects")
    for segment, (one, other, bodies) in SEGMENTS.items():
        _measurement(measurements, segment, one, other, [f"{b}_{side}" for b in bodies for side in "lr"])
    _measurement(measurements, "trunk", "shoulder", "hip", list(TRUNK))
    return root


def _measurement(parent: ET.Element, name: str, one: str, other: str, bodies: list[str]) -> None:
    measurement = ET.SubElement(parent, "Measurement", name=name)
    ET.SubElement(measurement, "apply").text = "true"
    pairs = ET.SubElement(ET.SubElement(measurement, "MarkerPairSet"), "objects")
    for side in ("left", "right"):
        _add(pairs, "MarkerPair", markers=f"{side}_{one} {side}_{other}")
    scales = ET.SubElement(ET.SubElement(measurement, "BodyScaleSet"), "objects")
    for body in bodies:
        ET.SubElement(ET.SubElement(scales, "BodyScale", name=body), "axes").text = "X Y Z"


def _ik_tool(name: str, joints: list[str], start: float, end: float) -> ET.Element:
    root = ET.Element("InverseKinematicsTool", name=name)
    for key, text in (
        ("model_file", f"{name}.osim"), ("marker_file", f"{name}.trc"), ("time_range", f"{start:.6f} {end:.6f}"),
        ("output_motion_file", f"{name}.ik.mot"),
    ):  # fmt: skip
        ET.SubElement(root, key).text = text
    tasks = ET.SubElement(ET.SubElement(root, "IKTaskSet"), "objects")
    for joint in joints:
        task = ET.SubElement(tasks, "IKMarkerTask", name=joint)
        ET.SubElement(task, "apply").text = "true"
        ET.SubElement(task, "weight").text = "1"
    return root


def _add(parent: ET.Element, tag: str, **children: str) -> ET.Element:
    element = ET.SubElement(parent, tag)
    for key, text in children.items():
        ET.SubElement(element, key).text = text
    return element


def _writer(tool: ET.Element) -> Callable[[Path], object]:
    root = ET.Element("OpenSimDocument", Version="40000")
    root.append(tool)
    ET.indent(root)
    return lambda path: ET.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)
