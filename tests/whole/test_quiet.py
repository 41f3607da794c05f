"""No network access: works with failing sockets, a read-only home folder, and without the variable CI."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from posecli.models import weights

# Runs in a new interpreter, in which every network access from Python is an error.
GUARD = """
import socket, sys

def refuse(*arguments, **options):
    print("SOCKET TOUCHED", arguments, file=sys.stderr)
    sys.stderr.flush()
    import os
    os._exit(77)

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
"""


def run(code: str, home: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")}
    environment = {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **extra}
    command = [sys.executable, "-c", GUARD + code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=home.parent
    )


@pytest.fixture
def home(tmp_path) -> Path:
    """A read-only home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_the_guard_itself_works(home) -> None:
    code = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')"
    assert run(code, home).returncode == 77


@pytest.mark.models
def test_a_run_touches_no_socket_and_leaves_no_settings_at_home(bus_clip, tmp_path, home) -> None:
    arguments = ["run", str(bus_clip), "--out", str(tmp_path / "o.mp4"), "--json", "-", "--stride", "3"]
    done = run(f"from posecli.cli.app import main; main({arguments!r})", home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('{"posecli":')
    assert done.stdout.count("\n") == done.stdout.rstrip().count("\n") + 1
    # root can write there anyway. Then only the cache of converted networks may be there.
    written = {p.relative_to(home) for p in home.rglob("*") if p.is_file()}
    assert all(p.parts[:2] == (".cache", "posecli") for p in written), written
    assert {p.suffix for p in written} <= {".xml", ".bin", ".json", ".blob"}
    assert "ultralytics" not in done.stderr.lower()


def test_importing_openvino_quietly_touches_no_socket(home) -> None:
    done = run("from posecli.silence import import_openvino; print(import_openvino().__name__)", home)
    assert (done.returncode, done.stdout.strip()) == (0, "openvino"), done.stderr


def test_training_and_help_do_not_import_ultralytics(home) -> None:
    code = """
import posecli.training.loop, posecli.evaluation.keypoints, posecli.cli.app
print(sorted(m for m in sys.modules if m.split('.')[0] in ('ultralytics', 'torchvision')))
"""
    # evaluation can run a detector, but importing it must not import ultralytics.
    assert run(code, home).stdout.strip() == "[]"


def test_help_imports_neither_torch_nor_opencv(home) -> None:
    code = "import posecli.cli.app; print([m for m in ('torch', 'cv2', 'numpy', 'av') if m in sys.modules])"
    assert run(code, home).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path", [*weights.shipped_models().values(), *weights.shipped_detectors().values()], ids=str
)
def test_shipped_weights_hold_no_path_of_anybody_s_machine(path) -> None:
    blobs = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            blobs += [archive.read(name) for name in archive.namelist() if name.endswith(".pkl")]
    for blob in blobs:
        paths = (b"/home/", b"/root/", b"/workspace/", b"/tmp/", b"/Users/", b"C:\\")
        leftovers = (b"train_args", b"optimizer") if path.suffix == ".pt" else ()
        for needle in (*paths, *leftovers):
            assert needle not in blob, needle


def test_shipped_weights_are_small_enough_to_ship() -> None:
    assert sum(p.stat().st_size for p in weights.weights_folder().iterdir()) < 60e6
    assert {"small"} <= set(weights.shipped_models())
    assert set(weights.shipped_detectors()) == {weights.DETECTOR}
