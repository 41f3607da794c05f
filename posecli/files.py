"""Writes files completely or not at all, and checks that no file is overwritten by mistake. Also checksums."""

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
    """Raise PoseError if one of these files exists, unless `overwrite` is set."""
    for path in paths:
        if path is not None and path.exists() and not overwrite:
            raise PoseError(f"{path} exists already; choose another name or add --overwrite.")


def check_not_source(paths: Iterable[Path | None], source: str) -> None:
    """Raise PoseError if one of these files is the source itself. --overwrite does not change this."""
    if not Path(source).is_file():
        return
    for path in paths:
        if path is not None and path.exists() and path.samefile(source):
            raise PoseError(f"{path} is the source itself; choose another --out.")


def check_target(path: Path, endings: Sequence[str], *read: Path) -> None:
    """Raise PoseError for a wrong file ending, and for a file that the command also reads.

    endings: allowed endings; empty: any. --overwrite does not change this check.
    """
    if endings and path.suffix.lower() not in endings:
        raise PoseError(f"{path} does not end in {' or '.join(endings)}; choose another --out.")
    for kept in read:
        if kept.exists() and path.exists() and path.samefile(kept):
            raise PoseError(f"{path} is part of the result that is read; choose another --out.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context manager that gives a temporary path next to `path` to write to.

    At the end the temporary file replaces `path`. After an error it is deleted.
    Raises PoseError if the file can't be written.
    """
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
    """The user's cache folder, for converted networks and downloaded weights."""
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("posecli", appauthor=False))
    except RuntimeError:  # no HOME and no entry for the user: use a temporary folder for this process
        return _own_folder()


@cache
def _own_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="posecli-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def temporary_file() -> IO[bytes]:
    """A temporary file that is deleted when it is closed. Raises PoseError if no folder is writable."""
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise PoseError(
            f"There is no folder for temporary files ({error.strerror}): set TMPDIR to one that can be written to."
        ) from error


def local(path: Path | str) -> str:
    """The name of a local file for ffmpeg. Without the prefix, a colon in the name would look like a protocol."""
    return f"file:{path}"


def readable_name(path: Path | str) -> str:
    """The file name as valid text. Bytes that are not UTF-8 become �."""
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
