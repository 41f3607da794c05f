"""Where results go: every name that a disk takes, and never two results in one file."""

import os
from pathlib import Path

import pytest

from posecli.errors import PoseError
from posecli.output.names import MOST_BYTES, default_output, distinct_stems, output_of, result_names
from posecli.sources.open import open_source, videos_in
from tests.support.stand_ins import run

CLIP = Path(__file__).parents[1] / "data" / "reports" / "nobody.mp4"


def placed(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CLIP.read_bytes())
    return [str(folder / name) for name in names]


def test_sources_of_one_name_have_results_of_their_own(tmp_path) -> None:
    sources = placed(tmp_path, "d1/cam.mp4", "d2/cam.mp4", "e/d2/cam.mp4", "other.mp4", "cam.mov")
    out = tmp_path / "o"
    names = [p.name for p in result_names(sources, out)]
    assert len(set(names)) == 5
    assert names[3:] == ["other.mp4", "cam.mov.mp4"]
    assert names[0] == "d1-cam.mp4.mp4"


def test_a_name_that_another_source_would_be_given_is_not_given_twice(tmp_path) -> None:
    sources = placed(tmp_path, "a.mp4", "a.mov", "a.mp4.mkv", "A.mp4")
    names = [str(p).casefold() for p in result_names(sources, tmp_path / "o")]
    assert len(set(names)) == 4


def test_beside_their_sources_only_names_of_one_folder_matter(tmp_path) -> None:
    sources = placed(tmp_path, "d1/cam.mp4", "d2/cam.mp4", "d2/cam.mov")
    found = [str(p.relative_to(tmp_path)) for p in result_names(sources, None)]
    assert found == ["d1/cam.pose.mp4", "d2/cam.mp4.pose.mp4", "d2/cam.mov.pose.mp4"]


def test_a_source_given_twice_is_refused(tmp_path) -> None:
    with pytest.raises(PoseError, match="is given 2 times"):
        distinct_stems(placed(tmp_path, "a.mp4") * 2, together=True)


def test_the_result_of_a_link_lies_beside_the_link(tmp_path) -> None:
    [real] = placed(tmp_path, "store/8f3a")
    (tmp_path / "clip.mp4").symlink_to(real)
    assert default_output(str(tmp_path / "clip.mp4")) == tmp_path / "clip.pose.mp4"


def test_a_very_long_name_is_shortened_and_stays_its_own(tmp_path) -> None:
    one, other = placed(tmp_path, "é" * 120 + "1.mp4", "é" * 120 + "2.mp4")
    a, b = default_output(one), default_output(other)
    assert a != b
    assert len(os.fsencode(a.name)) < MOST_BYTES + 20
    run(Path(one), a)
    assert a.exists()


@pytest.mark.parametrize(
    "name", ["take:1.mp4", "-x.mp4", "a%03d.mp4", "caf\udce9.mp4", "50% [x] 'y'.mp4", "a\nb.mp4"]
)
def test_every_name_is_read_and_written(tmp_path, name) -> None:
    [source] = placed(tmp_path, name)
    out = tmp_path / f"out {name}"
    run(Path(source), out)
    assert len(list(open_source(str(out)))) == 50
    assert open_source(source).name.encode()  # text that a file takes
    assert len(out.with_suffix(".csv").read_text().splitlines()) > 50


def test_what_macos_puts_beside_files_is_no_clip(tmp_path) -> None:
    placed(tmp_path, "a10.mp4", "a2.mp4", "._a2.mp4", "done.pose.mp4")
    assert [p.name for p in videos_in(tmp_path)] == ["a2.mp4", "a10.mp4"]


def test_a_named_pipe_and_stdin_are_read_as_they_come(tmp_path) -> None:
    import subprocess
    import sys
    import threading

    from tests.support.media import ffmpeg

    clip, pipe = tmp_path / "c.mkv", tmp_path / "pipe"
    ffmpeg("-i", CLIP, "-c", "copy", clip)
    os.mkfifo(pipe)
    feeding = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    feeding.start()
    assert len(list(open_source(str(pipe)))) == 50
    feeding.join()
    code = "from posecli.sources.open import open_source; s = open_source('-'); print(s.name, len(list(s)))"
    told = subprocess.run(
        [sys.executable, "-c", code], input=clip.read_bytes(), capture_output=True, check=True
    )
    assert told.stdout.split() == [b"stdin", b"50"]


def test_a_single_source_goes_into_a_folder_that_is_there(tmp_path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    assert (
        output_of(str(clip), tmp_path) == tmp_path / "clip.mp4"
    )  # which the source may be: that is refused later
    assert output_of(str(clip), tmp_path / "new.mp4") == tmp_path / "new.mp4"
    assert output_of(str(clip), None) == tmp_path / "clip.pose.mp4"
