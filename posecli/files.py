"""Writes files completely or not at all, never over others without --overwrite. Also checksums."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from posecli.errors import PoseError


def check_free(paths: Iterable[Path | None], overwrite: bool) -> None:
    """Raise PoseError for the first of these files that exists, unless it may be overwritten."""
    for path in paths:
        if path is not None and path.exists() and not overwrite:
            raise PoseError(f"{path} exists already; choose another name or add --overwrite.")


def check_not_source(paths: Iterable[Path | None], source: str) -> None:
    """Raise PoseError for a file that is the source itself, whatever may be overwritten."""
    if not Path(source).is_file():
        return
    for path in paths:
        if path is not None and path.exists() and path.samefile(source):
            raise PoseError(f"{path} is the source itself; choose another --out.")


def check_target(path: Path, endings: Sequence[str], *read: Path) -> None:
    """Raise PoseError for a name with none of these endings, and for a file that the command reads itself, whatever may be
    overwritten."""
    if endings and path.suffix.lower() not in endings:
        raise PoseError(f"{path} does not end in {' or '.join(endings)}; choose another --out.")
    for kept in read:
        if kept.exists() and path.exists() and path.samefile(kept):
            raise PoseError(f"{path} is part of the result that is read; choose another --out.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives another name beside `path` to write to; what was written there takes the place of `path` at the end, and
    is deleted if an error came first. Raises PoseError where the disk does not take it."""
    part = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise PoseError(
            f"{path} can't be written ({error.strerror or error}); choose another --out."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def cache_folder() -> Path:
    """The user's folder for what can be made again: converted networks, pulled weights."""
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("posecli", appauthor=False))
    except RuntimeError:  # no HOME, and nobody whom the system knows: a folder of this process alone
        return _own_folder()


@cache
def _own_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="posecli-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def temporary_file() -> IO[bytes]:
    """A file without a name, gone when it is closed; raises PoseError where no folder takes it."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise PoseError(
            f"There is no folder for temporary files ({error.strerror}): set TMPDIR to one that can be written to."
        ) from error


def local(path: Path | str) -> str:
    """A file's name as ffmpeg takes it for a file, whatever is in it: a colon would name a protocol."""
    return f"file:{path}"


def readable_name(path: Path | str) -> str:
    """The file's name as text that every file and terminal takes: bytes that are not UTF-8 become �."""
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
