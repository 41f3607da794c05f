"""OpenSim's own reader takes what we write, also of somebody who is absent in some frames."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from posecli.formats.convert import convert
from posecli.results.measure import Scale
from posecli.results.recording import read_result
from posecli.skeletons import BODY19

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
    """Labels and the first number of each cell, in a process of its own: OpenSim brings its own libraries."""
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
