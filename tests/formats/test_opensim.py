"""OpenSim's own reader accepts the files, even if a person is missing in some frames."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import PoseError
from posecli.formats.convert import convert
from posecli.results.measure import Scale
from posecli.results.recording import read_result
from posecli.skeletons import BODY19, BODY23
from tests.support.recordings import recording_of, standing_at, track_of

pytestmark = pytest.mark.external

LATE = Path(__file__).parents[1] / "data" / "reports" / "enters_late.pose.json"
READ = """
import opensim, sys
table = getattr(opensim, sys.argv[2])(sys.argv[1])
print(*table.getColumnLabels())
for n in range(table.getNumRows()):
    row = table.getRowAtIndex(n)
    print(*[v if isinstance(v, float) else v[0] for v in (row[k] for k in range(row.size()))])
"""


def read(path: Path, kind: str) -> tuple[list[str], np.ndarray]:
    """Labels and the first number of each cell. Runs in another process, because OpenSim ships its own libraries."""
    pytest.importorskip("opensim")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), kind], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    labels, *rows = done.stdout.strip().splitlines()
    return labels.split(), np.array([row.split() for row in rows], float)


@pytest.mark.parametrize("nobody", [False, True], ids=["enters late", "nobody"])
def test_opensim_reads_a_trc_of_somebody_who_is_absent(tmp_path, nobody) -> None:
    recording = read_result(LATE)
    if nobody:
        from dataclasses import replace

        recording = replace(recording, tracks=())
    [file] = convert(recording, "trc", tmp_path / "late.trc", scale=Scale("m", 0.01), lossy=True)
    labels, rows = read(file, "TimeSeriesTableVec3")
    assert labels == list(BODY19.joints)
    there = np.zeros(len(recording.times), bool)
    for track in recording.tracks:
        there[track.rows] = True
    assert (np.isfinite(rows).all(axis=1) == there).all()


def test_opensim_reads_a_mot_of_somebody_who_is_absent(tmp_path) -> None:
    recording = read_result(LATE)
    [file] = convert(recording, "mot", tmp_path / "late.mot", lossy=True)
    labels, rows = read(file, "TimeSeriesTable")
    assert {"knee_angle_r", "hip_flexion_l", "pelvis_tilt"} <= set(labels)
    assert len(rows) == len(recording.tracks[0])


# A simple model with the body names of the real one. Each body has its origin at a joint. All limbs are 0.25 m long.
SCALE = """
import math, opensim as osim
model = osim.Model()
model.setName("puppet")
places = {"pelvis": (None, (0, 1, 0)), "torso": ("pelvis", (0, 0.1, 0))}
for s in "lr":
    places |= {
        f"femur_{s}": ("pelvis", (0, 0, 0)), f"patella_{s}": (f"femur_{s}", (0, -0.25, 0)),
        f"tibia_{s}": (f"femur_{s}", (0, -0.25, 0)), f"talus_{s}": (f"tibia_{s}", (0, -0.25, 0)),
        f"calcn_{s}": (f"talus_{s}", (0, 0, 0)), f"toes_{s}": (f"calcn_{s}", (0.1, 0, 0)),
        f"humerus_{s}": ("torso", (0, 0.15, 0)), f"ulna_{s}": (f"humerus_{s}", (0, -0.25, 0)),
        f"radius_{s}": (f"ulna_{s}", (0, 0, 0)), f"hand_{s}": (f"radius_{s}", (0, -0.25, 0)),
    }
bodies = {}
for name, (parent, place) in places.items():
    bodies[name] = osim.Body(name, 1.0, osim.Vec3(0), osim.Inertia(1, 1, 1))
    model.addBody(bodies[name])
    if parent is None:
        joint = osim.FreeJoint("root", model.getGround(), osim.Vec3(*place), osim.Vec3(0), bodies[name], osim.Vec3(0), osim.Vec3(0))
    else:
        joint = osim.PinJoint("to_" + name, bodies[parent], osim.Vec3(*place), osim.Vec3(0), bodies[name], osim.Vec3(0), osim.Vec3(0))
    model.addJoint(joint)
model.finalizeConnections()
model.printToXML("Rajagopal2016.osim")
assert osim.ScaleTool("person1.scale.xml").run()
assert osim.InverseKinematicsTool("person1.ik.xml").run()
scaled = osim.Model("person1.osim")
state = scaled.initSystem()
for a, b in (("femur_l", "tibia_l"), ("tibia_r", "talus_r"), ("humerus_l", "ulna_l"), ("ulna_r", "hand_r"), ("femur_l", "humerus_l")):
    ends = [scaled.getBodySet().get(n).getPositionInGround(state) for n in (a, b)]
    print("length", math.dist(*([p[k] for k in range(3)] for p in ends)))
"""


@pytest.mark.parametrize("skeleton", [BODY19, BODY23], ids=lambda s: s.name)
def test_opensim_scales_and_follows_with_our_folder(tmp_path, skeleton) -> None:
    pytest.importorskip("opensim")
    points = np.array([standing_at(100 + n, skeleton=skeleton) for n in range(10)])
    made = recording_of([track_of(1, range(10), points)], np.arange(10) / 25, skeleton=skeleton)
    folder = tmp_path / "r.opensim"
    convert(made, "opensim", folder, scale=Scale("m", 0.005), lossy=True)
    assert {p.name for p in folder.iterdir()} == {
        "markers.xml",
        "person1.trc",
        "person1.scale.xml",
        "person1.ik.xml",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCALE], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("length ")]
    place = {joint: points[0, BODY19.joints.index(joint), :2] for joint in BODY19.joints}
    for length, pair in zip(
        found, (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "shoulder")),
        strict=True,
    ):  # fmt: skip
        both = [np.linalg.norm(place[f"{s}_{pair[0]}"] - place[f"{s}_{pair[1]}"]) for s in ("left", "right")]
        assert length == pytest.approx(0.005 * np.mean(both), rel=1e-3), pair
    [mot] = folder.glob("*.ik.mot")
    assert "to_tibia_l" in mot.read_text()


def test_nothing_is_written_where_somebody_cannot_be_scaled(tmp_path) -> None:
    points = np.array([standing_at(100)] * 3)
    unseen = points.copy()
    unseen[:, BODY19.joints.index("head_top"), 2] = 0.0
    made = recording_of([track_of(1, range(3), points), track_of(2, range(3), unseen)], np.arange(3) / 25)
    with pytest.raises(
        PoseError, match=r"Person 2 is never seen from head to foot.*or name the others with --track"
    ):
        convert(made, "opensim", tmp_path / "r.opensim", scale=Scale("m", None, 1.8), lossy=True)
    assert list(tmp_path.iterdir()) == []
