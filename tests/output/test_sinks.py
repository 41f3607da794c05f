"""CSV, JSON and the folder a run writes into."""

import csv
import json
from fractions import Fraction

import jsonschema
import numpy as np
import pytest

from posecli.errors import Interrupted, PoseError
from posecli.output.document import LinesWriter, assemble
from posecli.output.record import Outputs, Style, check_outputs, record
from posecli.output.table import TableWriter, header
from posecli.skeletons import BODY19, LSP14
from posecli.sources.open import open_source
from posecli.types import Frame, FramePoses, Person
from tests.support.recordings import SCHEMA


def person(track: int | None = 3, joints: int = 19) -> Person:
    points = np.stack([np.arange(joints) + 0.125, np.arange(joints) * 2.0, np.linspace(0, 1, joints)], axis=1)
    return Person(track, 0.87654, np.array([10, 20.5, 40.25, 100], np.float32), points.astype(np.float32))


def frame(index: int, people=(), flags=()) -> FramePoses:
    image = np.zeros((96, 160, 3), np.uint8)
    return FramePoses(Frame(index, Fraction(index, 30), image, flags), tuple(people))


def test_the_wide_table_has_a_row_a_person_and_one_for_an_empty_frame(tmp_path) -> None:
    table = TableWriter(tmp_path / "t.csv", BODY19)
    for poses in (frame(0, [person(), person(4)]), frame(1), frame(2, [person(None)], ("damaged",))):
        table.write(poses)
    table.close()
    text = (tmp_path / "t.csv").read_bytes().decode("utf-8")
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert [r["frame"] for r in rows] == ["0", "0", "1", "2"]
    assert rows[0] | {} == rows[0]
    first = {k: rows[0][k] for k in ("time", "track", "score", "x", "y", "width", "height", "flags")}
    assert first == {
        "time": "0.000000", "track": "3", "score": "0.8765", "x": "10.00", "y": "20.50", "width": "30.25",
        "height": "79.50", "flags": "",
    }  # fmt: skip
    assert rows[0]["left_ankle_x"] == "15.12"
    assert rows[2]["time"] == "0.033333"
    assert set(list(rows[2].values())[2:]) == {""}
    assert (rows[3]["track"], rows[3]["flags"]) == ("", "damaged")


def test_the_long_table_has_a_row_a_joint(tmp_path) -> None:
    table = TableWriter(tmp_path / "t.csv", LSP14, "long")
    table.write(frame(0, [person(1, 14)]))
    table.write(frame(1))
    table.close()
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [r["joint"] for r in rows] == [*LSP14.joints, ""]
    assert list(rows[0]) == header(LSP14, "long")


def test_a_run_writes_what_the_schema_says_and_leaves_no_folder(clips, tmp_path) -> None:
    source = open_source(str(clips / "plain.mp4"))
    outputs = Outputs(tmp_path / "o.mp4", tmp_path / "o.csv", tmp_path / "o.json")
    poses = (FramePoses(f, (person(),) if f.index % 2 else ()) for f in source)
    head = {
        "posecli": "0", "format": 2, "model": {"name": "m", "sha256": "0" * 64}, "tracker": None, "options": {},
        "source": {"name": "x", "width": 1, "height": 1, "rate": "25/1", "duration": 1.0, "rotation": 0},
        "detector": {"name": "d", "sha256": "0" * 64},
        "skeleton": {"name": "body19", "joints": [], "edges": [], "flip": [], "derived": {}},
    }  # fmt: skip
    summary = record(source, lambda _: poses, BODY19, outputs, Style(), head)
    assert (summary.frames, summary.people, summary.tracks) == (25, 12, {3})
    document = json.loads(outputs.json.read_text())
    jsonschema.validate(document, SCHEMA)
    assert [f["frame"] for f in document["frames"]] == list(range(25))
    assert document["frames"][1]["people"][0]["box"] == [10.0, 20.5, 30.25, 79.5]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.csv", "o.json", "o.mp4"]


@pytest.mark.parametrize(
    ("error", "expected"), [(KeyboardInterrupt(), Interrupted), (PoseError("x"), PoseError)]
)
def test_an_interrupted_run_keeps_what_it_has_beside_and_nothing_under_the_name(
    clips, tmp_path, error, expected
):
    source = open_source(str(clips / "plain.mp4"))

    def poses():
        for f in source:
            if f.index == 10:
                raise error
            yield FramePoses(f, (person(),))

    outputs = Outputs(tmp_path / "o.mp4", tmp_path / "o.csv", tmp_path / "o.json")
    with pytest.raises(expected):
        record(source, lambda _: poses(), BODY19, outputs, Style(), {})
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4.partial"]
    kept = tmp_path / "o.mp4.partial"
    assert len(list(csv.reader((kept / "rows.csv").open()))) == 11
    assert len(list(open_source(str(kept / "video.mp4")))) == 10
    with pytest.raises(PoseError, match="is an interrupted run"):
        check_outputs(outputs, overwrite=False)
    check_outputs(outputs, overwrite=True)


def test_outputs_that_exist_or_can_t_be_written_are_refused_before_any_work(tmp_path) -> None:
    (tmp_path / "o.mp4").touch()
    for video, says in [
        ("o.mp4", "exists already"),
        ("none/o.mp4", "no folder"),
        ("o.txt", "is no video file"),
    ]:
        with pytest.raises(PoseError, match=says):
            check_outputs(Outputs(tmp_path / video, None, None), overwrite=False)
    with pytest.raises(PoseError, match="exists already"):
        check_outputs(Outputs(None, tmp_path / "o.mp4", None), overwrite=False)


def test_the_document_is_assembled_from_lines(tmp_path) -> None:
    lines = LinesWriter(tmp_path / "f.jsonl", BODY19)
    lines.write(frame(0, [person()]))
    lines.close()
    with (tmp_path / "d.json").open("w") as file:
        assemble(tmp_path / "f.jsonl", file, {"a": 1}, {"frames": 1})
    document = json.loads((tmp_path / "d.json").read_text())
    assert (document["a"], len(document["frames"]), document["summary"]) == (1, 1, {"frames": 1})
