"""Races: each in its own process, on the same clip, and figures that add up."""

import json
import stat
import sys

import pytest

from posecli.bench import growth, peers
from posecli.bench.stages import Run
from posecli.errors import PoseError
from tests.support.command import call


def test_names_and_interpreters() -> None:
    assert peers.parse_peer("ultralytics") == ("ultralytics", sys.executable)
    assert peers.parse_peer(f"mediapipe={sys.executable}") == ("mediapipe", sys.executable)
    with pytest.raises(PoseError, match="--peer openpose is not known; it is one of ultralytics, mediapipe"):
        peers.parse_peer("openpose")
    with pytest.raises(PoseError, match="there is no interpreter /nowhere/python"):
        peers.parse_peer("mediapipe=/nowhere/python")


@pytest.fixture
def stand_in(tmp_path):
    """What stands for a peer's interpreter: it tells what it was called with, and 20, 30, 40 frames/s in turn."""
    path, count = tmp_path / "python", tmp_path / "count"
    path.write_text(
        f"#!/bin/sh\nn=$(cat {count} 2>/dev/null || echo 1); n=$((n + 1)); echo $n > {count}\n"
        'echo "a message of a library"\n'
        'echo "{\\"fps\\": ${n}0, \\"joints\\": 5, \\"about\\": \\"$2 $3 $5 threads\\"}"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_rounds_alternate_and_the_median_counts(stand_in, tmp_path, monkeypatch) -> None:
    order = []
    clip = tmp_path / "clip.mp4"
    monkeypatch.setattr(sys, "executable", stand_in)  # ours, too
    rows = peers.race(clip, {"mediapipe": stand_in}, threads=2, rounds=3, progress=order.append)
    assert order == [f"{name}, round {n}" for n in (1, 2, 3) for name in ("posecli", "mediapipe")]
    ours, theirs = rows
    assert ours.rounds == (20, 40, 60)
    assert ours.frames_per_second == 40
    assert theirs.rounds == (30, 50, 70)
    assert theirs.about == "posecli.bench.peers mediapipe 2 threads"


def test_a_peer_that_does_not_run_is_one_sentence(stand_in, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", stand_in)  # ours
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'No module named mediapipe' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(PoseError, match=f"mediapipe did not run in {broken}: No module named mediapipe"):
        peers.race(tmp_path / "clip.mp4", {"mediapipe": str(broken)}, threads=1, rounds=1)


@pytest.mark.alone
@pytest.mark.models
def test_a_real_race(bus_clip, tmp_path, capfd) -> None:
    out = tmp_path / "bench.json"
    arguments = ["--device", "cpu", "--frames", "2", "--batch-size", "1", "--rounds", "1"]
    code, shown, err = call(
        capfd, "bench", bus_clip, *arguments, "--peer", "ultralytics", "--agree", "--start-up", "--json", out
    )
    assert code == 0, err
    document = json.loads(out.read_text())
    assert 0.8 < document["agreement"] <= 1
    assert 0 < document["start_up"]["help"] < document["start_up"]["first frame of run"]
    ours, theirs = document["race"]
    assert ours["joints"] >= 19 * 10
    assert ours["frames_per_second"] > 0
    assert "yolo11n-pose 640 px (torch), random weights" in theirs["about"]
    assert theirs["joints"] == 0  # and so said
    assert "race on" in shown
    assert "% of the sure joints lie within 2% of the person's height" in " ".join(shown.split())


@pytest.mark.media
def test_growth_is_measured_on_clips_of_the_asked_kind(bus_clip, tmp_path, monkeypatch) -> None:
    import av

    seen = []

    def run_once(clip, detector, estimator):
        with av.open(str(clip)) as container:
            frames = [(f.width, f.height) for f in container.decode(video=0)]
        seen.append((len(frames), frames[0][0]))
        return Run(len(frames), 3 * len(frames), 0.5)

    monkeypatch.setattr(growth, "run_once", run_once)
    for name, values in (("GRIDS", (1, 2)), ("WIDTHS", (320, 640)), ("LENGTHS", (5, 12)), ("FRAMES", 4)):
        monkeypatch.setattr(growth, name, values)
    found = growth.measure_growth(bus_clip, None, None)
    assert seen == [(5, 1280), (12, 1280), (4, 320), (4, 640), (4, 1920), (4, 1920)]
    assert [p.at for p in found["frames"]] == [5, 12]
    assert [p.milliseconds for p in found["frames"]] == pytest.approx([100, 500 / 12])
    assert [p.at for p in found["width"]] == [320, 640]
    assert [p.at for p in found["people"]] == [3, 3]
    growth.draw_growth(found, tmp_path / "growth.png", "a machine")
    assert (tmp_path / "growth.png").stat().st_size > 10_000
