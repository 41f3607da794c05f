"""Damaged and hostile files: each one ends in success or a PoseError, in limited time, and leaves no files behind.

The short run is in the models group. The long one is `pytest -m slow tests/whole/test_fuzz.py`.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from posecli.data.cache import load_pack
from posecli.data.read import read_people
from posecli.engines.detector import Detector
from posecli.engines.estimator import Estimator
from posecli.engines.exported import export, load_exported
from posecli.errors import PoseError
from posecli.evaluation.keypoints import read_predictions
from posecli.models.checkpoints import ModelSpec, build, load_model, save_checkpoint
from posecli.models.published import load_published
from posecli.models.weights import find_detector
from posecli.silence import import_ultralytics
from posecli.skeletons import COCO17
from posecli.sources.open import open_source
from posecli.sources.photos import read_photo

REPORTS = Path(__file__).parents[1] / "data" / "reports"  # rebuilt from public bug reports
REPORTED_VIDEOS = ("mediarecorder.webm", "cover_first.mp4", "two_chapters.ts", "dv_unsd.mov")
SECONDS = 20  # a case that takes longer is a hang
SHORT, LONG = 15, 200  # cases of each kind of file


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with some bytes changed, cut off or doubled, or with huge numbers."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 10, 100])):
        where = rng.randrange(max(1, min(len(data), rng.choice([64, 512, 1 << 30]))))
        how = rng.randrange(6)
        if how == 0:
            data[where : where + 1] = bytes([rng.randrange(256)])
        elif how == 1:
            data[where : where + 4] = rng.choice(
                [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"]
            )
        elif how == 2:
            del data[where : where + rng.choice([1, 8, 1000])]
        elif how == 3:
            data[where:where] = data[where : where + rng.choice([1, 16, 500])]
        elif how == 4:
            data[where:where] = rng.randbytes(rng.choice([1, 5, 300]))
        elif rng.random() < 0.3:
            del data[where:]
        if not data:
            break
    return bytes(data)


def spoiled(text: str, rng: random.Random) -> str:
    """JSON with one value replaced by an unexpected one."""
    document = json.loads(text)
    values = [
        None, True, -1, 0, 1e308, float("nan"), "", "x" * 300, "../../etc/passwd", "\x1b[2J", [], {}, [[]], 2**70,
    ]  # fmt: skip
    for _ in range(rng.choice([1, 2, 5])):
        place: object = document
        for _ in range(rng.randrange(1, 6)):
            keys = (
                list(place)
                if isinstance(place, dict)
                else range(len(place))
                if isinstance(place, list)
                else []
            )
            if not keys:
                break
            key = rng.choice(list(keys))
            if rng.random() < 0.4 or not isinstance(place[key], (dict, list)):  # type: ignore[index]
                if rng.random() < 0.2 and isinstance(place, dict):
                    del place[key]
                else:
                    place[key] = rng.choice(values)  # type: ignore[index]
                break
            place = place[key]  # type: ignore[index]
    return json.dumps(document)


@pytest.fixture(scope="session")
def whole(clips, tmp_path_factory) -> dict[str, list[tuple[Path, Callable[[Path], object]]]]:
    """Valid files of each kind, and the function that reads them."""
    import_ultralytics()  # its settings folder is created once per process
    folder = tmp_path_factory.mktemp("whole")

    def watch(path: Path) -> None:
        source = open_source(str(path))
        try:
            for frame in islice(source, 40):
                assert np.isfinite(float(frame.time))
                assert frame.image.ndim == 3
        finally:
            source.close()

    videos = [(p, watch) for p in sorted(clips.iterdir()) if p.is_file()]
    videos += [(REPORTS / name, watch) for name in REPORTED_VIDEOS]
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    photos = []
    for suffix in (".jpg", ".png", ".webp", ".tif", ".bmp"):
        cv2.imwrite(str(folder / f"photo{suffix}"), picture)
        photos.append((folder / f"photo{suffix}", read_photo))
    photos.append((REPORTS / "three_pages.tiff", lambda p: list(open_source(str(p)))))
    spec = ModelSpec("hourglass", {"stacks": 1, "features": 8, "keypoints": 19, "stem": [4, 4, 4]})
    tensors = build(spec).state_dict()
    save_checkpoint(folder / "model.safetensors", tensors, spec)
    torch.save({"state_dict": tensors}, folder / "model.pth")
    exports = [folder / "model.onnx", folder / "model.pt2"]
    for path in exports:
        export(Estimator(build(spec).eval(), spec), path)
    checkpoints = [
        *((path, lambda p: load_exported(p, "cpu")) for path in exports),
        (folder / "model.safetensors", load_model),
        (folder / "model.pth", load_published),
        (find_detector("person"), Detector.load),
    ]
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 90.0, "bbox": [1, 2, 30, 30],
        "keypoints": [5, 6, 2] * 17, "num_keypoints": 17,
    }  # fmt: skip
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "annotations": [person, {**person, "id": 2}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}],
    }
    (folder / "coco.json").write_text(json.dumps(coco))
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "a.jpg"), picture)
    people = read_people(f"coco:{folder / 'coco.json'}")
    results = [
        {"image_id": 1, "category_id": 1, "keypoints": [5, 6, 1] * 17, "score": 0.5, "bbox": [1, 2, 3, 4]}
    ]
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "lsp").mkdir()
    scipy.io.savemat(folder / "lsp" / "joints.mat", {"joints": np.full((3, 14, 5), 20.0)})
    np.savez(folder / "pack.npz", format=1, name="x")
    annotations = [
        (folder / "coco.json", lambda p: read_people(f"coco:{p}", folder / "images")),
        *(
            (p, lambda p: read_people(f"coco:{p}", REPORTS / "coco" / "images"))
            for p in sorted((REPORTS / "coco").glob("*.json"))
        ),
        (folder / "results.json", lambda p: read_predictions(p, people)),
        (folder / "lsp" / "joints.mat", lambda p: read_people(f"lsp:{p}")),
        (folder / "pack.npz", load_pack),
    ]
    return {"videos": videos, "photos": photos, "checkpoints": checkpoints, "annotations": annotations}


@pytest.fixture
def alarm() -> Iterator[None]:
    """An alarm raises an error during the test, and no longer after it."""

    def overdue(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, overdue)
    yield
    signal.signal(signal.SIGALRM, before)


def attack(whole, kind: str, cases: int, folder: Path, monkeypatch) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for case in range(cases):
        rng = random.Random(f"{kind} {case}")
        path, read = whole[kind][case % len(whole[kind])]
        target = folder / f"case{path.suffix}"
        if path.suffix == ".json" and rng.random() < 0.7:
            target.write_text(spoiled(path.read_text(), rng))
        else:
            target.write_bytes(damaged(path.read_bytes(), rng))
        signal.alarm(SECONDS)
        try:
            read(target)
        except PoseError as error:
            assert "\n" not in str(error)[:-1], f"{kind} {case}: {error}"
        except Exception as error:
            shutil.copy(target, folder / f"kept-{kind}-{case}{path.suffix}")
            raise AssertionError(f"{kind} {case} ({path.name}): {error!r}") from error
        finally:
            signal.alarm(0)
            target.unlink(missing_ok=True)
    assert not [p.name for p in temporary.iterdir() if "posecli" in p.name]


@pytest.mark.models
@pytest.mark.skipif(sys.platform == "win32", reason="the time limit is POSIX's alarm")
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("kind", ["videos", "photos", "checkpoints", "annotations"])
def test_a_few_damaged_files(whole, kind, tmp_path, monkeypatch) -> None:
    attack(whole, kind, SHORT, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("kind", ["videos", "photos", "checkpoints", "annotations"])
def test_many_damaged_files(whole, kind, tmp_path, monkeypatch) -> None:
    attack(whole, kind, LONG, tmp_path, monkeypatch)


@pytest.mark.slow
def test_through_the_command_line(whole, tmp_path) -> None:
    videos = whole["videos"]
    for case in range(20):
        rng = random.Random(f"cli {case}")
        path, _ = videos[case % len(videos)]
        target = tmp_path / f"case{path.suffix}"
        target.write_bytes(damaged(path.read_bytes(), rng))
        options = rng.sample(
            [["--stride", "3"], ["--no-tracking"], ["--skeleton", "coco17"], ["--detect-every", "4"], ["--no-csv"],
             ["--start", "0.2"], ["--end", "0.6"], ["--max-people", "1"], ["--csv-layout", "long"]],
            k=rng.randrange(3),
        )  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "posecli",
            "run",
            str(target),
            "--out",
            str(tmp_path / "o.mp4"),
            "--overwrite",
        ]
        done = subprocess.run(
            [*command, *(word for option in options for word in option)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        assert not list(tmp_path.glob("*.partial")) or "are kept in" in " ".join(done.stderr.split())
