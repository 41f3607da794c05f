"""A disk that fills up: what was written is closed properly, and the run goes on once there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from posecli import defaults
from posecli.errors import PoseError
from tests.support.media import ffmpeg
from tests.support.stand_ins import results, run

pytestmark = pytest.mark.external

SMALL, ROOMY = "400k", "40m"


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of its own with room for next to nothing."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode:
        pytest.skip("a tmpfs can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_loses_nothing_that_was_written(disk, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(defaults, "SEGMENT_FRAMES", 20)
    clip = tmp_path / "long.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=12", "-c:v", "libx264", clip)
    (tmp_path / "whole").mkdir()
    run(clip, tmp_path / "whole" / "o.mp4")
    with pytest.raises(
        PoseError, match=r"(No space left|could not write).* frames are kept in .*--resume goes on"
    ):
        run(clip, disk / "o.mp4")
    assert not (disk / "o.mp4").exists()
    assert not (disk / "o.csv").exists()
    segments = sorted((disk / "o.mp4.partial" / "segments").glob("*.nut"))
    closed = 0
    for segment in segments[:-1]:
        with av.open(str(segment)) as container:
            closed += sum(1 for _ in container.decode(video=0))
    assert closed >= 20
    assert closed % 20 == 0
    rows = (disk / "o.mp4.partial" / "rows.csv").read_text().splitlines()
    assert len(rows) > closed  # the table is readable up to where it ends
    subprocess.run(["mount", "-o", f"remount,size={ROOMY}", str(disk)], check=True)
    assert run(clip, disk / "o.mp4", resume=True).frames == 300
    assert results(disk) == results(tmp_path / "whole")
