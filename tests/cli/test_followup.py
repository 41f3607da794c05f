"""The last steps of `run`, after its result is written."""

import json

import numpy as np
import pytest

import posecli
from posecli.errors import PoseError
from posecli.results.recording import read_result
from posecli.sources.open import open_source
from tests.support.command import call


def test_one_run_makes_everything(bus_clip, tmp_path, capfd) -> None:
    code, _, err = call(
        capfd, "run", bus_clip, "--out", tmp_path / "b.mp4", "--device", "cpu", "--people", 2, "--repair-sides",
        "--report", "--angles", "knee,trunk", "--events", "steps", "--also", "npz,openpose", "--lossy",
    )  # fmt: skip
    assert code == 0, err
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "b.mp4",
        "b.csv",
        "b.json",
        "b.html",
        "b.measure.csv",
        "b.steps.csv",
        "b.npz",
        "b.openpose",
    }
    recording = read_result(tmp_path / "b.json")
    assert len(recording.tracks) == 2
    assert recording.header["options"]["retrack"]["people"] == 2
    assert recording.header["options"]["repair_sides"] is True
    with np.load(tmp_path / "b.npz") as file:
        assert file["tracks"].tolist() == [t.number for t in recording.tracks]
    table = (tmp_path / "b.csv").read_text().splitlines()
    assert len(table) - 1 == sum(
        max(1, sum(r in t.rows for t in recording.tracks)) for r in range(len(recording.frames))
    )
    head = (tmp_path / "b.measure.csv").read_text().splitlines()[0]
    assert "left_knee_deg" in head and "trunk_deg" in head
    source, video = open_source(str(bus_clip)), open_source(str(tmp_path / "b.mp4"))
    assert [f.time for f in video] == [f.time for f in source]
    assert "2 of 2 people found" in err
    people = sum(len(t) for t in recording.tracks)
    assert f"2 tracks, {people} bounding boxes" in " ".join(err.split())


def test_annotate_makes_the_same_from_python(bus_clip, tmp_path) -> None:
    summary = posecli.annotate(
        bus_clip, tmp_path / "b.mp4", device="cpu", end=0.5, people=2, angles="knee", report=True,
        drawing=posecli.Drawing(blur_faces=True),
    )  # fmt: skip
    assert {p.name for p in summary.files} == {"b.mp4", "b.csv", "b.json", "b.html", "b.measure.csv"}
    assert all(p.exists() for p in summary.files)
    with pytest.raises(PoseError, match="exists already"):
        posecli.annotate(bus_clip, tmp_path / "c.mp4", json=tmp_path / "b.json", report=True)


def test_what_can_t_be_done_is_said_before_any_work(bus_clip, tmp_path, capfd) -> None:
    (tmp_path / "b.npz").write_text("mine")
    out = ("--out", tmp_path / "b.mp4")
    for arguments, code, sentence in (
        (("--report", "--no-json"), 1, "need the JSON file"),
        (("--angles", "knee", "--json", "-"), 1, "need the JSON file"),
        (("--also", "trc"), 1, "holds metres"),
        (("--also", "bvh"), 1, "rotations of bones"),
        (("--also", "npz"), 1, "b.npz exists already"),
        (("--people", 2, "--show-heatmaps"), 1, "heatmaps are not kept"),
    ):
        found, _, err = call(capfd, "run", bus_clip, *out, *arguments)
        assert found == code, (arguments, err)
        assert sentence in " ".join(err.replace("│", " ").split()), err
    assert [p.name for p in tmp_path.iterdir()] == ["b.npz"]
    assert (tmp_path / "b.npz").read_text() == "mine"


def test_what_fails_afterwards_leaves_the_run_s_files(bus_clip, tmp_path, capfd) -> None:
    code, _, err = call(
        capfd, "run", bus_clip, "--out", tmp_path / "b.mp4", "--no-video", "--also", "coco", "-q"
    )
    assert code == 1
    assert "would lose the joints neck, head_top" in err
    assert "The run itself is done: " in err
    assert json.loads((tmp_path / "b.json").read_text())["frames"]
    code, _, err = call(capfd, "convert", tmp_path / "b.json", "--to", "coco", "--lossy", "-q")
    assert code == 0, err


def test_angles_that_there_are_none_of_are_refused_before_the_run(bus_clip, tmp_path, capfd) -> None:
    code, _, err = call(
        capfd, "run", bus_clip, "--out", tmp_path / "b.mp4", "--device", "cpu", "--angles", "toe"
    )
    assert code == 1 and "There is no angle 'toe'" in " ".join(err.split())
    assert "The run itself is done" not in err and list(tmp_path.iterdir()) == []
