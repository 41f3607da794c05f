"""Fixtures: clips made by ffmpeg, a tiny network, and the shared data if it is available."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.media import ffmpeg
from tests.support.places import SHARED

os.environ.setdefault("COLUMNS", "200")
# Tests must not write converted networks and timings into the user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="posecli-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name


# A test has at most one of these marks. Without one it is fast.
GROUPS = {"media", "models", "external", "slow"}
# With --no-skips, tests may be skipped only for these reasons.
MAY_BE_SKIPPED = {
    # coremltools only runs models on macOS, and the extra is not in [dev].
    "an extra of its own: pip install 'posecli[coreml]'",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="a test that is skipped fails, but for the reasons in tests/conftest.py",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Check that each test has at most one group, so that running all groups runs every test once."""
    for item in items:
        found = GROUPS & {mark.name for mark in item.iter_markers()}
        if len(found) > 1:
            raise pytest.UsageError(f"{item.nodeid} is in several groups: {', '.join(sorted(found))}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    return _failed_if_skipped(report, item.config)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    return _failed_if_skipped(report, collector.config)


def _failed_if_skipped(report, config: pytest.Config):
    """The test report. With --no-skips, a skipped test becomes a failure."""
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason not in MAY_BE_SKIPPED:
            report.outcome = "failed"
            report.longrepr = f"skipped, which --no-skips forbids: {reason}"
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The project's shared data. Tests that need it are skipped if it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared data are not here ({SHARED})")
    return SHARED


@pytest.fixture(scope="session")
def tiny():
    """A tiny network with random weights, on torch. Tests must not change it."""
    import torch

    from posecli.engines.estimator import Estimator
    from posecli.models.checkpoints import build
    from tests.support.stand_ins import SPEC

    torch.manual_seed(0)
    return Estimator(build(SPEC).eval(), SPEC)


@pytest.fixture(scope="session")
def bus() -> Path:
    from posecli.cli.demo import bus_photo

    return bus_photo()


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of short synthetic clips, made once."""
    folder = tmp_path_factory.mktemp("clips")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=1")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
    x264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
    ffmpeg(*picture, *sound, *x264, "-c:a", "aac", folder / "sound.mp4")
    ffmpeg(*picture, *x264, "-bf", "3", folder / "plain.mp4")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=30000/1001:duration=1", *x264, folder / "ntsc.mp4")
    ffmpeg("-display_rotation", "90", "-i", folder / "plain.mp4", "-c", "copy", folder / "rotated.mp4")
    # Variable frame rate: every third frame is dropped, and the others keep their times.
    ffmpeg(*picture, "-vf", "select='mod(n,3)'", "-fps_mode", "vfr", *x264, folder / "variable.mp4")
    ffmpeg("-itsoffset", "0.5", "-i", folder / "plain.mp4", "-c", "copy", "-copyts", folder / "late.mkv")
    ffmpeg(*picture, "-vf", "setsar=2", *x264, folder / "wide_pixels.mp4")
    ffmpeg(
        *picture,
        "-vf",
        "format=yuv444p,crop=151:95",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv444p",
        folder / "odd.mp4",
    )
    ffmpeg(*picture, *x264, "-f", "mpegts", folder / "stream.ts")
    whole = (folder / "stream.ts").read_bytes()
    (folder / "truncated.ts").write_bytes(whole[: len(whole) * 2 // 3])
    return folder


@pytest.fixture(scope="session")
def bus_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of the demo clip with real people, at a small size."""
    from posecli.cli.demo import make_clip

    whole = make_clip(tmp_path_factory.mktemp("bus") / "whole.mp4", seconds=1)
    small = whole.with_name("bus.mp4")
    ffmpeg("-i", whole, "-vf", "scale=360:480,fps=8", "-c:v", "libx264", "-pix_fmt", "yuv420p", small)
    return small


@pytest.fixture(scope="session")
def bus_result(bus_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON that `run` writes for this clip, with its video and CSV next to it. Tests must not change it."""
    from posecli.cli.app import main

    out = tmp_path_factory.mktemp("result") / "bus.pose.mp4"
    with pytest.raises(SystemExit) as ended:
        main(["run", str(bus_clip), "--out", str(out), "--device", "cpu", "--quiet"])
    assert not ended.value.code
    return out.with_suffix(".json")
