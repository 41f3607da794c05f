"""A clip without people: every later step gives an empty, valid result."""

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from posecli.formats.convert import FORMATS, convert, read_foreign
from posecli.results.measure import Scale
from posecli.results.page import write_report
from posecli.results.recording import read_result, write_result
from posecli.results.retrack import retrack
from posecli.results.sides import repair_sides
from posecli.results.smooth import Smoothing, resample, smooth
from tests.support.command import call
from tests.support.recordings import SCHEMA, recording_of


@pytest.fixture
def nobody(tmp_path) -> Path:
    write_result(recording_of([], np.arange(10) / 25), tmp_path / "r.json", tmp_path / "r.csv")
    return tmp_path / "r.json"


@pytest.mark.parametrize(
    "change",
    [
        lambda r: retrack(r, 1)[0], lambda r: retrack(r)[0], lambda r: repair_sides(r)[0],
        lambda r: smooth(r, Smoothing(fill=3)), lambda r: resample(r, 50),
    ],
    ids=["one person", "retrack", "sides", "smooth", "resample"],
)  # fmt: skip
def test_what_changes_a_result_leaves_nobody(nobody, change) -> None:
    done = change(read_result(nobody))
    write_result(done, nobody, nobody.with_suffix(".csv"))
    jsonschema.validate(json.loads(nobody.read_text()), SCHEMA)
    assert read_result(nobody).tracks == ()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_written(nobody, tmp_path, name) -> None:
    if name == "dlc-h5":
        pytest.importorskip("tables")
    written = convert(
        read_result(nobody), name, tmp_path / f"out{FORMATS[name].suffix}", scale=Scale("m", None, 1.8)
    )
    assert written
    assert all(p.exists() for p in written)


@pytest.mark.parametrize("name", ["coco", "dlc-csv", "openpose"])
def test_what_can_be_read_back_has_nobody(nobody, tmp_path, name) -> None:
    [written] = convert(read_result(nobody), name, tmp_path / f"out{FORMATS[name].suffix}")
    assert read_foreign(written, rate=25.0, size=(640, 480)).tracks == ()


def test_measuring_gives_the_head_of_a_table(nobody, capfd) -> None:
    call(
        capfd, "measure", nobody, "--angles", "knee", "--speeds", "wrist", "--out", nobody.with_name("m.csv")
    )
    with nobody.with_name("m.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0][:5] == ["frame", "time", "track", "left_knee_deg", "left_knee_confidence"]
    assert len(rows) == 1


def test_the_report_is_written_and_says_so(nobody) -> None:
    write_report(read_result(nobody), nobody.with_suffix(".html"), None)
    assert "0 people" in nobody.with_suffix(".html").read_text()
