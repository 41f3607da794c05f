"""Every command of the manual runs, page by page, in a folder that has what the page speaks of."""

import re
import shlex
import shutil

import pytest

from posecli.cli.demo import make_clip
from tests.support.command import call
from tests.support.places import DOCS

# Only how long is changed: a training of 40,000 crops takes half an hour.
SHORTER = {"--crops 40000": "--crops 64 --batch 8 --validate-every 64"}


def commands(page: str) -> list[str]:
    found = re.findall(r"^    (posecli .*)$", (DOCS / page).read_text(encoding="utf-8"), re.M)
    assert found
    return found


def test_every_page_is_in_the_list() -> None:
    listed = re.findall(r": (\w+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(p.name for p in DOCS.glob("*.md"))


def in_folder(page: str, capfd) -> None:
    for line in commands(page):
        shorter = line
        for long, short in SHORTER.items():
            shorter = shorter.replace(long, short)
        code, _, err = call(capfd, *shlex.split(shorter)[1:])
        assert code == 0, (line, err)


@pytest.mark.media
def test_clips(tmp_path, monkeypatch, capfd) -> None:
    """The first page, squats and anonymous classes."""
    monkeypatch.chdir(tmp_path)
    clip = make_clip(tmp_path / "clip.mp4", seconds=1)
    for name in ("squat", "class"):
        shutil.copy(clip, tmp_path / f"{name}.mp4")
    for page in ("index.md", "squat.md", "anonymise.md", "offline.md"):
        in_folder(page, capfd)
    made = {p.name for p in tmp_path.iterdir()}
    assert made >= {
        "clip.pose.html",
        "angles.csv",
        "squat.html",
        "squat.pose.mot",
        "faceless.mp4",
        "skeletons.mp4",
        "anna.mp4",
    }


@pytest.mark.models
def test_training(shared, bus_clip, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(bus_clip, tmp_path / "clip.mp4")
    (tmp_path / "weights").symlink_to(DOCS.parent / "weights")
    [annotations] = (shared / "data" / "raw_layouts" / "coco").rglob("*keypoints*.json")
    (tmp_path / "labels").mkdir()
    for name in ("train.json", "val.json"):
        shutil.copy(annotations, tmp_path / "labels" / name)
    pictures = next(p.parent for p in (shared / "data" / "raw_layouts" / "coco").rglob("*.jpg"))
    (tmp_path / "labels" / "images").symlink_to(pictures.resolve())
    in_folder("train.md", capfd)


@pytest.mark.external
def test_the_cluster(bus_clip, tmp_path, monkeypatch, capfd) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        shutil.copy(bus_clip, tmp_path / "clips" / f"{name}.mp4")
    in_folder("cluster.md", capfd)


def test_the_pages_build(tmp_path) -> None:
    build = pytest.importorskip("mkdocs.commands.build")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    from mkdocs.config import load_config

    config = load_config(str(DOCS.parent / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    build.build(config)
    assert "retrack" in (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
