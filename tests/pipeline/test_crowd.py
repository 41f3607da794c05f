"""Many people in a frame, and people whom boxes hardly hold: every row is there, and every number is one."""

import csv
import json

import numpy as np
import pytest

from posecli.engines.estimator import Estimator
from posecli.models.checkpoints import build
from posecli.output.record import Outputs, Style, record
from posecli.pipeline.choices import Choices
from posecli.pipeline.loop import poses
from posecli.skeletons import BODY19
from posecli.sources.open import open_source
from posecli.types import Boxes
from tests.support.media import ffmpeg
from tests.support.stand_ins import SPEC, Middle

SIZE = 640
GRID = np.array(
    [[64 * x + 8, 64 * y + 4, 64 * x + 56, 64 * y + 62] for y in range(10) for x in range(10)], np.float32
)
ODD = np.array(
    [
        [0, 0, SIZE, SIZE], [100, 300, 500, 301], [300, 100, 301, 500], [-50, 200, 40, 400], [600, 600, 700, 900],
        [0, 0, 30, 60], [639, 0, 640, 640], [0, 639, 640, 640], [200.2, 200.7, 201.9, 201.1],
    ],
    np.float32,
)  # fmt: skip


class Given:
    """Finds the same boxes in every picture."""

    def __init__(self, boxes: np.ndarray) -> None:
        self.boxes = boxes

    def find(self, image, confidence) -> Boxes:
        return Boxes(self.boxes, np.full(len(self.boxes), 0.9, np.float32))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("crowd") / "a.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=size={SIZE}x{SIZE}:rate=10", "-frames:v", "4", "-c:v", "libx264", path
    )
    return path


def run(clip, folder, boxes, estimator, **changes):
    finder = Given(boxes)
    source = open_source(str(clip))
    outputs = Outputs(folder / "o.mp4", folder / "o.csv", folder / "o.json")
    record(
        source, lambda before: poses(source, finder, estimator, Choices(**changes), before), BODY19, outputs, Style(),
        {"version": 1},
    )  # fmt: skip
    rows = list(csv.DictReader((folder / "o.csv").open()))
    document = json.loads((folder / "o.json").read_text(), parse_constant=pytest.fail)
    values = [
        v for r in rows for k, v in r.items() if k not in ("frame", "time", "track", "flags") and v != ""
    ]
    assert np.isfinite(np.array(values, float)).all()
    return rows, document


def test_a_hundred_people_in_a_frame_keep_their_numbers(clip, tmp_path) -> None:
    rows, document = run(clip, tmp_path, GRID, Middle())
    assert len(rows) == 400
    assert document["summary"]["tracks"] == 100
    for frame in document["frames"]:
        assert len({p["track"] for p in frame["people"]}) == 100


@pytest.mark.parametrize("tracking", [True, False])
def test_people_at_the_border_half_outside_and_one_pixel_high(clip, tmp_path, tracking) -> None:
    network = Estimator(build(SPEC).eval(), SPEC)
    for k, estimator in enumerate((Middle(), network)):
        folder = tmp_path / str(k)
        folder.mkdir()
        rows, _ = run(clip, folder, ODD, estimator, tracking=tracking)
        assert {int(r["frame"]) for r in rows} == {0, 1, 2, 3}


def test_every_odd_box_gives_numbers() -> None:
    network = Estimator(build(SPEC).eval(), SPEC, flip_test=True)
    [points] = network.estimate([np.zeros((SIZE, SIZE, 3), np.uint8)], [ODD])
    assert points.shape == (len(ODD), 19, 3)
    assert np.isfinite(points).all()
    assert ((points[..., 2] >= 0) & (points[..., 2] <= 1)).all()
