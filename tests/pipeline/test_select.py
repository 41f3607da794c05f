"""People chosen before the network looks at anybody."""

import json

import numpy as np
import pytest

import posecli
from posecli.engines.load import load_detector
from posecli.errors import PoseError
from posecli.pipeline.choices import Choices
from posecli.pipeline.people import People
from posecli.pipeline.selection import people_of, select_people
from posecli.results.recording import read_result
from posecli.sources.open import open_source
from tests.support.command import call
from tests.support.media import ffmpeg


@pytest.fixture(scope="module")
def everybody(bus_clip):
    """A first pass over the clip: tracks of boxes."""
    source = open_source(str(bus_clip))
    try:
        return people_of(source, load_detector(device="cpu"), Choices(), lambda: None)
    finally:
        source.close()


def test_the_first_pass_follows_people_by_their_boxes(everybody, bus_result) -> None:
    first, full = everybody, read_result(bus_result)
    assert (first.frames == full.frames).all()
    assert np.allclose(first.times, full.times, atol=1e-6)
    assert [t.number for t in first.tracks] == [*range(1, len(first.tracks) + 1)]
    assert len(first.tracks) >= 3
    for track in first.tracks:
        assert (np.diff(track.rows) > 0).all()


@pytest.mark.parametrize("which", ["largest", "longest", "centre", "2"])
def test_only_the_chosen_one_goes_through_the_network(
    everybody, bus_clip, tmp_path, capfd, monkeypatch, which
) -> None:
    from posecli.engines.estimator import Estimator
    from posecli.results.edit import choose

    looked: list[int] = []
    whole = Estimator.estimate_with_maps

    def counted(self, images, boxes, *rest):
        looked.extend(len(b) for b in boxes)
        return whole(self, images, boxes, *rest)

    monkeypatch.setattr(Estimator, "estimate_with_maps", counted)
    out = tmp_path / "one.mp4"
    code, _, err = call(capfd, "run", bus_clip, "--select", which, "--out", out, "--device", "cpu")
    assert code == 0, err
    [number] = choose(everybody, which)
    assert f"Joints are placed for {number} (" in err.replace("\n", " ")
    found = read_result(out.with_suffix(".json"))
    assert [t.number for t in found.tracks] == [number]
    assert max(looked) == 1
    assert found.header["options"]["select"] == which
    wanted = everybody.track(number)
    assert set(found.tracks[0].rows) <= set(wanted.rows)
    assert len(found.tracks[0]) >= 0.7 * len(wanted)  # the network finds hardly a joint in what is cut off
    assert len(found.frames) == len(everybody.frames)


def test_people_of_an_earlier_result_keep_their_numbers(
    bus_clip, bus_result, tmp_path, capfd, monkeypatch
) -> None:
    from posecli.engines.detector import Detector

    monkeypatch.setattr(Detector, "find", lambda *_: pytest.fail("the boxes are known"))
    full = read_result(bus_result)
    out = tmp_path / "two.mp4"
    code, _, err = call(
        capfd,
        "run",
        bus_clip,
        "--select",
        "3,1",
        "--of",
        bus_result,
        "--out",
        out,
        "--device",
        "cpu",
        "--no-video",
    )
    assert code == 0, err
    found = read_result(out.with_suffix(".json"))
    assert [t.number for t in found.tracks] == [1, 3]
    for track in found.tracks:
        before = full.track(track.number or 0)
        shared = np.isin(before.rows, track.rows)
        assert len(track) >= 0.9 * len(before)
        sure = before.keypoints[shared][..., 2] > 0.6
        gaps = np.linalg.norm(track.keypoints[..., :2] - before.keypoints[shared][..., :2], axis=2)[sure]
        assert np.quantile(gaps, 0.95) < 0.05 * before.boxes[:, 3].max()
    assert found.header["options"]["select_of"] == bus_result.name


def test_in_python(bus_clip, everybody) -> None:
    from posecli.results.edit import choose

    numbers = {
        p.track for frame in posecli.run(bus_clip, select="largest", device="cpu") for p in frame.people
    }
    assert numbers == set(choose(everybody, "largest"))


@pytest.mark.media
def test_what_can_not_be_selected(bus_clip, bus_result, clips, tmp_path, tmp_path_factory, capfd) -> None:
    for options, sentence in (
        (["--select", "tallest"], "'tallest' is not a selection"),
        (["--select", "77"], "There is no person 77"),
        (["--select", "largest", "--no-tracking"], "leave out --no-tracking"),
        (["--of", bus_result], "--of needs --select"),
        (["--select", "1", "--of", tmp_path / "none.json"], "There is no result file"),
    ):
        code, _, err = call(capfd, "run", bus_clip, *options, "--out", tmp_path / "x.mp4", "--device", "cpu")
        assert (code != 0, sentence in " ".join(err.split())) == (True, True), err
    black = tmp_path_factory.mktemp("black") / "black.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=black:size=160x96:rate=25:duration=0.2", black)
    code, _, err = call(capfd, "run", black, "--select", "largest", "--out", tmp_path / "x.mp4")
    assert (code, "No people were found in black.mp4" in err) == (1, True), err
    code, _, err = call(
        capfd, "run", clips / "plain.mp4", "--select", "1", "--of", bus_result, "--out", tmp_path / "x.mp4"
    )
    assert (code, "160x96" in err) == (1, True), err
    assert not list(tmp_path.iterdir())

    class Live:
        name, live = "camera 0", True

        def close(self) -> None:
            pass

    with pytest.raises(PoseError, match="camera 0 is live"):
        select_people(Live, None, Choices(select="largest"))


@pytest.mark.media
def test_a_killed_run_goes_on_with_the_chosen_one(bus_clip, tmp_path, capfd, monkeypatch) -> None:
    from posecli import defaults

    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 3)
    arguments = ("run", bus_clip, "--select", "largest", "--device", "cpu", "--backend", "torch", "--quiet")
    assert call(capfd, *arguments, "--out", tmp_path / "whole.mp4")[0] == 0
    shown: list[int] = []
    show = People.show

    def broken(*args):
        shown.append(1)
        if len(shown) == 5:
            raise KeyboardInterrupt
        return show(*args)

    monkeypatch.setattr(People, "show", broken)
    assert call(capfd, *arguments, "--out", tmp_path / "cut.mp4")[0] == 130
    monkeypatch.setattr(People, "show", show)
    code, _, err = call(capfd, *arguments, "--out", tmp_path / "cut.mp4", "--resume")
    assert code == 0, err
    whole, cut = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "cut"))
    assert cut == whole
