"""The commands in the manual. Indented ones are run, page by page. Those in ``` are only parsed, each for a reason."""

import re
import shlex
import shutil

import pytest
import typer.main

from posecli.cli.app import app
from posecli.cli.demo import make_clip
from tests.support.command import call
from tests.support.places import DOCS

# Only the length is changed: a training with 40,000 crops takes more than an hour.
SHORTER = {
    "--crops 40000": "--crops 64 --batch 8 --validate-every 64",
    "best.safetensors": "last.safetensors",  # the few photos of the test hold none to choose the best by
}

# Commands that cannot be run in a test, and why.
PARSED = {
    "posecli run 0 --view --duration 60 --out camera.mp4": "needs a camera",
    "posecli run rtsp://camera.local/stream --out stream.mp4": "needs a camera; tests/sources runs an RTSP server",
    "posecli view 0": "needs a camera",
    "posecli view clip.pose.json clip.mp4": "needs a screen; tests/cli runs one",
    "posecli run 0 --send osc://127.0.0.1:9000": "needs a camera; tests/output sends",
    "posecli run 0 --send udp://127.0.0.1:9001 --send ws://127.0.0.1:8765": "needs a camera; tests/output sends",
    "posecli view clip.pose.json clip.mp4 --send osc://127.0.0.1:9000": "needs a screen; tests/output sends",
    "posecli convert jump.pose.json --to trc,mot --scale-from-height 1.80": "needs somebody seen from head to foot",
    "posecli convert jump.pose.json --to opensim --scale-from-height 1.80 --lossy": "needs somebody seen from head to foot",
    "posecli convert openpose_out/ --to posecli --source clip.mp4 --out theirs.pose.json": "needs OpenPose's files",
    "posecli train-detector people/train.json --init person --out runs/detector": "takes hours",
    "posecli train --data coco:annotations/person_keypoints_train.json --skeleton coco17 --arch hrnet --recipe paper"
    " --out runs/w32": "takes days",
    "posecli eval --data coco:val.json --predictions theirs.json": "needs another tool's results",
    "posecli eval --model small --data coco:people/val.json --boxes detector": "takes minutes; tests/evaluation scores",
    "posecli eval --model small --data coco:people/val.json --flip-test": "takes minutes; tests/evaluation scores",
    "posecli eval --model base --data coco:people/val.json --flip-test": "takes minutes; tests/evaluation scores",
    "posecli eval --detector person --data coco:people/val.json": "takes minutes; tests/evaluation scores",
    "posecli eval --data coco:people/val.json --predictions mediapipe.json": "needs MediaPipe's results",
    "posecli export small --format onnx": "tests/engines runs it",
    "posecli export small --format web --out site": "tests/export runs it",
    "posecli export small --format web --runtime litert --out site": "needs an environment of its own",
    "posecli export small --format openvino --int8 --data coco:people/train.json": "needs hundreds of photos",
    "posecli compare --field": "takes minutes: a network of 175 million parameters",
    "posecli measure results/ --angles knee,hip --out table.csv": "tests/results runs it on a folder of results",
    "posecli compare-motion running.pose.json running.pose.json --start-a 0.4 --end-a 1.24 --start-b 1.24 --end-b 2.04"
    " --video both.mp4": "needs somebody who moves; tests/cli runs it",
    "posecli weights list": "prints what could be downloaded",
    "posecli weights pull hrnet-w32": "needs the internet",
    "posecli run clip.mp4 --model hrnet-w32": "needs the internet",
    "posecli bench clip.mp4 --sweep --agree --start-up --plot growth.png": "takes minutes",
    "posecli bench clip.mp4 --peer ultralytics --peer mediapipe=/path/to/its/python": "needs MediaPipe",
    "posecli bench --device cuda --roofline --compile": "needs a GPU",
    "posecli serve": "runs until it is stopped; tests/serve runs one",
    "posecli serve --data poses": "runs until it is stopped; tests/serve runs one",
    "posecli serve --lan": "runs until it is stopped, and listens to the network",
}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def indented(name: str) -> list[str]:
    return re.findall(r"^    (posecli .*)$", page(name), re.M)


def fenced(name: str) -> list[str]:
    blocks = re.findall(r"```\n(.*?)```", page(name), re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("posecli ")]


def run(name: str, capfd) -> None:
    """Run the indented commands of a page in the current folder."""
    assert indented(name)
    for line in indented(name):
        shorter = line
        for long, short in SHORTER.items():
            shorter = shorter.replace(long, short)
        code, _, err = call(capfd, *shlex.split(shorter)[1:])
        assert code == 0, (line, err)


PAGES = sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def test_every_page_is_in_the_list() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == PAGES


def test_what_is_only_parsed_has_a_reason() -> None:
    assert {line for name in PAGES for line in fenced(name)} == PARSED.keys()


@pytest.mark.parametrize("line", PARSED)
def test_what_is_only_parsed_is_understood(line) -> None:
    group = typer.main.get_command(app)
    _, name, *arguments = shlex.split(line)
    command = group.commands[name]
    while hasattr(command, "commands"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context(name, arguments)


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("index.md", {"clip.pose.html"}),
        ("measure.md", {"angles.csv", "speeds.csv", "squat.html", "squat.pose.smooth.mot", "smoothed.html"}),
        ("correct.md", {"first.mp4", "two.json", "anna.json", "trails.mp4"}),
        ("anonymise.md", {"faceless.mp4", "skeletons.mp4"}),
        ("install.md", set()),
        ("formats.md", {"clip.pose.coco.json", "clip.pose.npz"}),
        ("speed.md", set()),
    ],
)
def test_a_page_with_clips(name, made, bus_result, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / "clip.mp4", seconds=1)
    for other in ("squat", "class"):
        shutil.copy(clip, tmp_path / f"{other}.mp4")
    if name == "formats.md":
        shutil.copy(bus_result, tmp_path / "clip.pose.json")
    run(name, capfd)
    assert made <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.models
@pytest.mark.parametrize("name", ["train.md", "evaluate.md"])
def test_a_page_with_labels(name, shared, bus_clip, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(bus_clip, tmp_path / "clip.mp4")
    (tmp_path / "weights").symlink_to(DOCS.parent / "weights")
    [annotations] = (shared / "data" / "raw_layouts" / "coco").rglob("*keypoints*.json")
    (tmp_path / "labels").mkdir()
    for file in ("train.json", "val.json"):
        shutil.copy(annotations, tmp_path / "labels" / file)
    pictures = next(p.parent for p in (shared / "data" / "raw_layouts" / "coco").rglob("*.jpg"))
    (tmp_path / "labels" / "images").symlink_to(pictures.resolve())
    run(name, capfd)


@pytest.mark.external
def test_the_cluster(bus_clip, tmp_path, monkeypatch, capfd) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        shutil.copy(bus_clip, tmp_path / "clips" / f"{name}.mp4")
    run("cluster.md", capfd)


def test_the_pages_build(tmp_path) -> None:
    build = pytest.importorskip("mkdocs.commands.build")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    from mkdocs.config import load_config

    config = load_config(str(DOCS.parent / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    build.build(config)
    assert "retrack" in (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
