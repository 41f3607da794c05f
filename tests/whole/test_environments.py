"""Unusual environments: no home folder, no temporary folder, forked processes."""

import multiprocessing
import tempfile
from pathlib import Path

import platformdirs

from posecli import files
from posecli.engines.devices import refuse_fork
from posecli.errors import PoseError
from tests.support.command import call

CLIP = Path(__file__).parents[1] / "data" / "reports" / "nobody.mp4"


def test_without_a_home_there_is_a_folder_of_this_process_alone(monkeypatch) -> None:
    def nowhere(*_, **__):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_dir", nowhere)
    folder = files.cache_folder()
    assert folder.is_dir()
    assert files.cache_folder() == folder
    assert folder.stat().st_mode & 0o077 == 0


def test_without_a_folder_for_temporary_files_it_is_said_what_to_set(monkeypatch, capfd, tmp_path) -> None:
    def none(*_, **__):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    code, _, said = call(capfd, "run", CLIP, "--out", tmp_path / "o.mp4", "--quiet")
    assert code == 1
    assert "TMPDIR" in said


def _picked(answers) -> None:
    try:
        refuse_fork()
        answers.put("worked")
    except PoseError as error:
        answers.put(str(error))


def test_a_fork_after_networks_ran_says_spawn_and_never_hangs() -> None:
    refuse_fork()  # what every network does before it works
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_picked, args=(answers,))
    process.start()
    assert "spawn" in answers.get(timeout=30)
    process.join(30)
