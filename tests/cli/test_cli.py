"""The command line: examples, bad input, exit codes."""

import json
import shutil
import subprocess
import sys

import cv2
import imageio_ffmpeg
import jsonschema
import numpy as np
import pytest

from tests.support.command import call
from tests.support.recordings import SCHEMA
from tests.support.stand_ins import SPEC


def test_run_writes_video_csv_and_json(capfd, bus_clip, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    code, stdout, err = call(capfd, "run", bus_clip, "--out", out, "--device", "cpu")
    assert (code, stdout) == (0, "")
    assert "8 frames" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.json", "out.mp4"]
    document = json.loads((tmp_path / "out.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["source"]["name"] == bus_clip.name
    assert document["options"]["detect_every"] is None  # decided by the frame times
    assert document["options"]["engine"].split(",")[0] in ("torch", "openvino")
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()
    again = call(capfd, "run", bus_clip, "--out", out, "--device", "cpu")
    assert again[0] == 1
    assert "exists already" in again[2]
    assert "--overwrite" in again[2]


def test_json_to_stdout_is_json_alone(capfd, bus_clip, tmp_path) -> None:
    code, out, _ = call(
        capfd, "run", bus_clip, "--no-video", "--no-csv", "--json", "-", "--out", tmp_path / "x.mp4", "--end", 0.3
    )  # fmt: skip
    assert code == 0
    jsonschema.validate(json.loads(out), SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_json_lines(capfd, bus_clip, tmp_path) -> None:
    code, _, _ = call(
        capfd, "run", bus_clip, "--no-video", "--no-csv", "--json", tmp_path / "x.jsonl", "--out", tmp_path / "x.mp4",
        "--stride", 3, "-q",
    )  # fmt: skip
    assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert "skeleton" in lines[0]
    assert [line["frame"] for line in lines[1:-1]] == [0, 3, 6]
    assert lines[-1]["summary"]["frames"] == 3


def test_options_of_run(capfd, bus_clip, tmp_path) -> None:
    code, _, err = call(
        capfd, "run", bus_clip, "--out", tmp_path / "x.mkv", "--skeleton", "lsp14", "--csv-layout", "long",
        "--flip-test", "--heatmap-joints", "left_wrist,nose", "--detect-every", 2, "--max-people", 2,
        "--box-confidence", 0.3, "--keypoint-confidence", 0.4, "--batch-size", 4, "--no-tracking", "--start", 0.2,
        "--quiet",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert (tmp_path / "x.csv").read_text().startswith("frame,time,track,joint,x,y,confidence,flags")


def test_a_folder_of_photos_is_a_sequence(capfd, bus, tmp_path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    image = cv2.resize(cv2.imread(str(bus)), (405, 540))
    for name in ("2.png", "10.jpg"):
        cv2.imwrite(str(photos / name), image)
    (photos / "notes.txt").write_text("no photo")
    code, _, _ = call(capfd, "run", photos, "--out", tmp_path / "x.mp4")
    assert code == 0
    document = json.loads((tmp_path / "x.json").read_text())
    assert [f["time"] for f in document["frames"]] == [0.0, 0.04]


def test_image_writes_picture_json_and_sheet(capfd, bus, tmp_path) -> None:
    code, _, err = call(capfd, "image", bus, "--out", tmp_path, "--show-heatmaps", "--heatmap-sheet")
    assert code == 0, err
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names[:2] == ["bus.pose.jpg", "bus.pose.json"]
    assert names[2].startswith("bus.sheet")
    document = json.loads((tmp_path / "bus.pose.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert cv2.imread(str(tmp_path / "bus.pose.jpg")).shape == cv2.imread(str(bus)).shape
    sheet = cv2.imread(str(tmp_path / names[2]))
    assert sheet.shape[1] > 19 * 90


def test_image_takes_a_box_and_honours_exif(capfd, bus, tmp_path) -> None:
    from PIL import Image

    photo = Image.open(bus).rotate(90, expand=True)
    exif = photo.getexif()
    exif[0x0112] = 6  # EXIF: rotate by 90 degrees clockwise
    photo.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    code, _, err = call(capfd, "image", tmp_path / "turned.jpg", "--box", "30,380,220,530", "-q")
    assert code == 0, err
    straight, _, _ = call(capfd, "image", bus, "--out", tmp_path, "--box", "30,380,220,530", "-q")
    assert straight == 0
    a, b = (json.loads((tmp_path / f"{n}.pose.json").read_text()) for n in ("turned", "bus"))
    assert (a["source"]["width"], a["source"]["height"]) == (b["source"]["width"], b["source"]["height"])
    a, b = (np.array(d["frames"][0]["people"][0]["keypoints"]) for d in (a, b))
    sure = b[:, 2] > 0.6  # below it, a toe may have two likely places
    assert sure.sum() > 8
    assert np.abs(a[sure, :2] - b[sure, :2]).max() < 12
    centre, _, _ = call(capfd, "image", bus, "--out", tmp_path, "--box", "centre", "--overwrite", "-q")
    assert centre == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "missing.mp4"], 1, "no file missing.mp4"),
        (["run", "text.mp4"], 1, "not a video"),
        (["run", "zero.mp4"], 1, "is empty"),
        (["run", "empty"], 1, "holds no photos"),
        (["run", "99"], 1, "no camera 99"),
        (["run", "CLIP", "--out", "nowhere/x.mp4"], 1, "no folder nowhere"),
        (["run", "CLIP", "--out", "x.txt"], 1, "is no video file"),
        (["run", "CLIP", "--out", "x.mp4", "--device", "toaster"], 1, "choose auto, cpu, cuda"),
        (["run", "CLIP", "--out", "x.mp4", "--device", "cuda"], 1, "no CUDA device"),
        (["run", "CLIP", "--out", "x.mp4", "--model", "huge"], 1, "no model 'huge'"),
        (
            ["run", "CLIP", "--out", "x.mp4", "--model", "text.mp4"],
            1,
            "not a checkpoint that can be loaded safely",
        ),
        (["run", "CLIP", "--out", "x.mp4", "--detector", "yolo11x.pt"], 1, "no detector 'yolo11x.pt'"),
        (
            ["run", "CLIP", "--out", "x.mp4", "--detector", "text.mp4"],
            1,
            "not an ultralytics detection model",
        ),
        (["run", "CLIP", "--out", "x.mp4", "--skeleton", "hand21"], 1, "choose one of body19"),
        (["run", "CLIP", "--out", "x.mp4", "--heatmap-joints", "tail"], 1, "no joint 'tail'"),
        (["run", "CLIP", "--out", "x.mp4", "--start", "50"], 1, "no frame between"),
        (["run", "CLIP", "--start", "2", "--end", "1"], 2, "does not come after"),
        (["run", "CLIP", "--stride", "0"], 2, "stride"),
        (["run"], 2, "SOURCE"),
        (["fly"], 2, "fly"),
        (["image", "missing.jpg"], 1, "no photo missing.jpg"),
        (["image", "text.mp4"], 1, "not a photo"),
        (["image", "BUS", "--out", ".", "--box", "1,2,3"], 1, "neither x,y,w,h"),
        (["image", "BUS", "--out", ".", "--box", "5,5,0,9"], 1, "has no size"),
        (["image", "BUS", "--out", ".", "--box", "5000,5,9,9"], 1, "lies outside"),
        (["bench", "--batch-size", "x"], 2, "whole numbers"),
        (["bench", "text.mp4"], 1, "not a video"),
        (["eval", "--data", "voc:x"], 1, "KIND is one of"),
        (["train", "--data", "coco:none.json", "--out", "r"], 1, "no annotation file"),
        (["train", "--data", "coco:x", "--out", "r", "--recipe", "y"], 2, "--recipe"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    capfd, tmp_path, monkeypatch, clips, bus, arguments, code, says
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    names = {"CLIP": clips / "plain.mp4", "BUS": bus}
    result, out, err = call(capfd, *[names.get(a, a) for a in arguments])
    assert result == code, err
    assert says in err.replace("│", "").replace("  ", " ")
    assert "Traceback" not in err
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_of_another_skeleton_are_refused_with_the_sentence(capfd, tmp_path, clips) -> None:
    from dataclasses import replace

    from posecli.models.checkpoints import build, save_checkpoint

    other = replace(SPEC, arguments={**SPEC.arguments, "keypoints": 14}, skeleton="lsp14")
    save_checkpoint(tmp_path / "lsp.safetensors", build(other).state_dict(), other)
    code, _, err = call(
        capfd, "run", clips / "plain.mp4", "--out", tmp_path / "x.mp4", "--model", tmp_path / "lsp.safetensors",
        "--skeleton", "coco17",
    )  # fmt: skip
    assert (code, "lsp14 does not have" in err) == (1, True), err


@pytest.mark.models
def test_bench_times_every_stage(capfd, bus_clip, tmp_path) -> None:
    code, out, err = call(
        capfd, "bench", bus_clip, "--device", "cpu", "--batch-size", "1,2", "--frames", 3, "--json", tmp_path / "b.json"
    )  # fmt: skip
    assert code == 0, err
    result = json.loads((tmp_path / "b.json").read_text())
    assert list(result["stages"]) == [
        "decode",
        "detect",
        "track",
        "crop",
        "network",
        "heatmaps",
        "draw",
        "encode",
        "write",
    ]
    assert all(0 <= s["median"] <= s["p95"] + 1e-9 for s in result["stages"].values())
    assert set(result["crops_per_second"]) == {"1", "2"}
    assert result["frames_per_second"] > 0
    assert "network" in out


def test_info_tells_versions_and_weights(capfd) -> None:
    code, out, _ = call(capfd, "info")
    assert code == 0 and imageio_ffmpeg.get_ffmpeg_exe() in out  # not cut, however narrow the terminal is
    code, out, _ = call(capfd, "info", "--json", "--sizes")
    facts = json.loads(out)
    assert code == 0
    whole, cuda, detector = (float(size.split()[0]) for size in facts["installed"].values())
    assert whole > cuda + detector
    assert whole > 1
    assert {"posecli", "machine", "devices", "packages", "ffmpeg", "weights"} <= set(facts)
    assert "small" in facts["weights"]
    assert "sha256" in facts["weights"]["small"]


@pytest.mark.parametrize(
    "command", ["run", "image", "demo", "bench", "eval", "train", "train-detector", "info"]
)
def test_every_command_has_help_with_an_example(capfd, command) -> None:
    code, out, _ = call(capfd, command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"posecli {command}" in out


def test_as_a_real_program_it_runs_and_fails_without_a_traceback(tmp_path) -> None:
    command = [sys.executable, "-m", "posecli"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("posecli 0.")
    failed = subprocess.run(
        [*command, "run", str(tmp_path / "x.mp4")], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: There is no file")
    debug = subprocess.run([*command, "--debug", "run", "x.mp4"], capture_output=True, text=True, check=False)
    assert "Traceback" in debug.stderr


def test_demo_makes_a_fresh_folder_and_says_where_things_are(capfd, tmp_path, monkeypatch) -> None:
    from posecli.cli import demo

    monkeypatch.setattr(demo, "CLIP_SECONDS", 0.2)
    monkeypatch.setattr(demo, "make_clip", lambda path, whole=demo.make_clip: whole(path, seconds=0.2))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "posecli-demo-1").mkdir()
    code, _, err = call(capfd, "demo", "-q")
    assert code == 0, err
    made = tmp_path / "posecli-demo-2"
    for suffix in ("mp4", "csv", "json"):
        assert (made / f"clip.pose.{suffix}").stat().st_size > 0
        assert f"clip.pose.{suffix}" in err


def test_a_folder_of_videos_goes_on_past_one_that_fails_and_skips_what_is_done(
    clips, tmp_path, capfd
) -> None:
    folder, results = tmp_path / "clips", tmp_path / "results"
    folder.mkdir()
    shutil.copy(clips / "plain.mp4", folder / "a.mp4")
    shutil.copy(clips / "plain.mp4", folder / "b.mp4")
    shutil.copy(clips / "late.mkv", folder / "b.mkv")
    (folder / "c.mp4").write_text("no video")
    (folder / "notes.txt").write_text("")
    code, _, said = call(capfd, "run", folder, "--out", results, "--stride", 10, "--quiet")
    assert code == 1
    assert "1 of 4 sources failed" in said
    assert "c.mp4 is not a video" in said
    assert sorted(p.name for p in results.glob("*.mp4")) == ["a.mp4", "b.mkv.mp4", "b.mp4.mp4"]
    assert len(list(results.glob("*.csv"))) == len(list(results.glob("*.json"))) == 3
    before = {p: p.stat().st_mtime_ns for p in results.iterdir()}
    (folder / "c.mp4").unlink()
    code, _, said = call(capfd, "run", folder, "--out", results, "--stride", 10)
    assert (code, said.count("already done")) == (0, 3)
    assert {p: p.stat().st_mtime_ns for p in results.iterdir()} == before


def test_several_sources_take_a_folder_and_no_single_file(clips, tmp_path, capfd) -> None:
    two = (clips / "plain.mp4", clips / "late.mkv")
    (tmp_path / "file").write_text("")
    code, _, said = call(capfd, "run", *two, "--out", tmp_path / "file")
    assert code == 1
    assert "--out must be a folder" in said
    code, _, said = call(capfd, "run", *two, "--json", "-")
    assert code == 2
    assert "several sources" in said


def test_square_brackets_of_an_extra_are_shown(capfd) -> None:
    """rich would read [onnx] as markup."""
    from rich.table import Table

    from posecli.cli import console

    table = Table("verdict")
    table.add_row("pip install 'posecli[onnx]'")
    for place in (console.results, console.messages):
        place.print(table)
        place.print("pip install 'posecli[train]'")
    shown = capfd.readouterr()
    for text in (shown.out, shown.err):
        assert "posecli[onnx]" in text
        assert "posecli[train]" in text


ENDS_INSIDE_A_NETWORK = """
import threading, time
import numpy as np
from posecli.cli import app
from posecli.engines.load import load_estimator
from posecli.errors import PoseError
from posecli.prefetch import ahead

estimator = load_estimator("small", "cpu", backend="openvino")
crops = np.zeros((4, *estimator.spec.input_size, 3), np.uint8)

def busy():
    for _ in range(100_000):
        estimator.maps(crops)
    yield

def fail(arguments):
    frames = ahead(busy(), 1)
    threading.Thread(target=lambda: next(frames), daemon=True).start()
    time.sleep(0.3)
    raise PoseError("The disk is full.")

app.app = fail
app.main([])
"""


@pytest.mark.models
def test_an_error_while_a_network_works_exits_with_1() -> None:
    """Python's clean-up would end the thread inside the network: "terminate called …", or a segmentation fault."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", ENDS_INSIDE_A_NETWORK], capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        assert (done.returncode, done.stderr.strip()) == (1, "Error: The disk is full.")
