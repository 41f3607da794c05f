"""The scripts in examples/ run without changes."""

import os
import runpy
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle

from posecli.output.document import frame_record
from posecli.output.send import Listeners, Message, osc_datagrams
from posecli.skeletons import BODY19
from posecli.types import Frame, FramePoses, Person
from tests.support.places import EXAMPLES, ROOT
from tests.support.recordings import standing_at


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.models
def test_count_people(bus_clip) -> None:
    lines = run("count_people.py", bus_clip).splitlines()
    assert lines[0].startswith("  0 s: ")
    assert int(lines[0].split()[2]) >= 2


@pytest.mark.models
def test_knee_angle(bus_clip) -> None:
    rows = [line.split(",") for line in run("knee_angle.py", bus_clip).splitlines()]
    assert rows[0] == ["time", "track", "angle_deg", "confidence"]
    assert all(0 <= float(r[2]) <= 180 for r in rows[1:])
    assert len(rows) > 8


@pytest.mark.models
def test_one_photo(bus, tmp_path) -> None:
    assert "people" in run("one_photo.py", bus, tmp_path / "out.jpg")
    assert (tmp_path / "out.jpg").stat().st_size > 10_000


@pytest.mark.models
def test_who_moves_most(bus_result) -> None:
    lines = run("who_moves_most.py", bus_result).splitlines()
    assert any(line.startswith("person 1, left_wrist: ") for line in lines)


@pytest.mark.models
def test_the_notebook_runs(bus_clip, tmp_path, monkeypatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("CLIP", str(bus_clip))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLES / "curves.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert (tmp_path / "notebook.json").is_file()


@pytest.mark.models
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt2"])
def test_an_exported_file_without_posecli(bus, tmp_path, suffix) -> None:
    from posecli.engines.exported import export
    from posecli.engines.load import load_estimator
    from posecli.geometry.crops import to_frame
    from posecli.geometry.heatmaps import cells_to_pixels
    from posecli.sources.photos import read_photo

    estimator = load_estimator("small", "cpu", backend="torch")
    export(estimator, tmp_path / f"small{suffix}")
    printed = run("exported_photo.py", tmp_path / f"small{suffix}", bus, "50,400,195,505")
    theirs = np.array([[float(v) for v in line.split()[1:]] for line in printed.splitlines()])
    crops, affines = estimator.crops([read_photo(bus)], [np.array([[50, 400, 245, 905]], np.float32)])
    last = estimator.maps(crops)[0, -1]  # (19, 48, 48)
    highest = [np.unravel_index(joint.argmax(), joint.shape)[::-1] for joint in last]
    mine = to_frame(cells_to_pixels(np.array(highest, float))[None], affines)[0]
    np.testing.assert_allclose(theirs, mine, atol=0.06)


def moving(index: int) -> FramePoses:
    """Frames with person 4, and in the first ones another person."""
    people = tuple(
        Person(track, 0.8, np.zeros(4, np.float32), standing_at(100 * track + index).astype(np.float32))
        for track in ((4, 5) if index < 3 else (4,))
    )
    return FramePoses(Frame(index, Fraction(index, 25), np.zeros((480, 640, 3), np.uint8)), people)


def test_listen() -> None:
    server = Listeners("ws://127.0.0.1:0", "127.0.0.1", 0)

    def send() -> None:
        end = time.monotonic() + 30
        while not server._listeners and time.monotonic() < end:
            time.sleep(0.01)
        for n in range(5):
            server.send(Message(frame_record(moving(n), BODY19), BODY19.joints, (640, 480)))
        server.close()

    thread = threading.Thread(target=send)
    thread.start()
    lines = run("listen.py", f"ws://127.0.0.1:{server.port}").splitlines()
    thread.join()
    assert lines[0] == "0.00 s: person 4, left wrist at 520, 100"
    assert lines[-1] == "0.16 s: person 4, left wrist at 524, 100"
    assert len(lines) == 3 * 2 + 2


class Table:
    """The parts of a Table DAT that the callbacks use."""

    def __init__(self) -> None:
        self.rows: list[list] = []

    def clear(self) -> None:
        self.rows = []

    def appendRow(self, row: list) -> None:  # noqa: N802
        self.rows.append(row)


def test_touchdesigner() -> None:
    assert run("touchdesigner.py") == ""
    received = runpy.run_path(str(EXAMPLES / "touchdesigner.py"))["onReceiveOSC"]
    table = Table()
    dat = SimpleNamespace(parent=lambda: SimpleNamespace(op={"joints": table}.get))
    shown = []
    packed = osc_datagrams()
    for n in range(5):
        for datagram in packed(Message(frame_record(moving(n), BODY19), BODY19.joints, (640, 480))):
            for message in OscBundle(datagram):
                received(dat, 0, "", b"", 0.0, message.address, message.params, None)
        shown.append(table.rows)
    assert [len(rows) for rows in shown] == [39, 39, 39, 20, 20]
    assert shown[-1][0] == ["track", "joint", "x", "y", "confidence"]
    [wrist] = [row for row in shown[-1] if row[1] == "left_wrist"]
    assert wrist[0] == 4
    np.testing.assert_allclose(wrist[2:], [524, 100, 0.9], atol=1e-4)


def test_every_example_has_a_test() -> None:
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'run("{path.name}"' in tested, path.name


@pytest.mark.external
def test_the_wheel_carries_weights_and_runs(tmp_path, bus_clip) -> None:
    """The built wheel, installed without the checkout, finds its weights."""
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "-q", "--target", str(tmp_path / "site"), str(wheel)], check=True
    )
    code = (
        "import posecli, posecli.models.weights as w; print(posecli.__file__); print(w.find_model('small'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert all(str(tmp_path / "site") in line for line in done.stdout.splitlines())
