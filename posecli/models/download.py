"""Lists and downloads published weights. Only a download imports urllib and opens a connection."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from posecli.errors import PoseError
from posecli.files import cache_folder, sha256

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without data
TRIES = 4  # number of attempts; each continues where the last one broke off
SPARE = 64 << 20  # bytes to keep free on the disk
Progress = Callable[[int, int | None], None]  # (bytes done, bytes in total or None)


@dataclass(frozen=True)
class Published:
    """Weights from another publisher. `sha256` is the part of the hash that they published, or empty."""

    name: str
    url: str
    sha256: str
    megabytes: int
    skeleton: str
    score: str
    licence: str
    stored_as: str = ""  # local file name, if the one in the URL is not descriptive

    @property
    def file_name(self) -> str:
        return self.stored_as or self.url.rsplit("/", 1)[1]


_ANIBALI = "https://github.com/anibali/pytorch-stacked-hourglass/releases/download/v0.0.0/"
_MMPOSE = "https://download.openmmlab.com/mmpose/top_down/"
_PRINCETON = "http://www-personal.umich.edu/~cnris/"
_GPL, _APACHE, _BSD = "GPL-3.0", "Apache-2.0", "BSD-3-Clause"
# Scores are those of the publishers. The hashes of MMPose and anibali are the 8 digits in their file names.
# princeton-vl publishes no hashes and no sizes. The sizes here are estimates: the weights plus Adam's two averages.
PUBLISHED = {
    p.name: p
    for p in (
        Published("hg1", _ANIBALI + "bearpaw_hg1-ce125879.pth", "ce125879", 15, "mpii16", "", _GPL),
        Published("hg2", _ANIBALI + "bearpaw_hg2-15e342d9.pth", "15e342d9", 27, "mpii16", "MPII val PCKh 87.3", _GPL),
        Published("hg8", _ANIBALI + "bearpaw_hg8-90e5d470.pth", "90e5d470", 103, "mpii16", "MPII val PCKh 88.8", _GPL),
        Published(
            "princeton-hg2", _PRINCETON + "original_2hg/checkpoint.pt", "", 101, "mpii16", "MPII val PCKh 88.3",
            _BSD, "princeton_2hg.pt",
        ),
        Published(
            "princeton-hg8", _PRINCETON + "original_8hg/checkpoint.pt", "", 394, "mpii16", "MPII val PCKh 90.2",
            _BSD, "princeton_8hg.pt",
        ),
        Published(
            "simple-r50", _MMPOSE + "resnet/res50_coco_256x192-ec54d7f3_20200709.pth",
            "ec54d7f3a287169022530c15dc5b5e6d0224e3c7a3881c26231c63f63686c9b3",
            136, "coco17", "COCO val AP 71.8", _APACHE,
        ),
        Published(
            "hrnet-w32", _MMPOSE + "hrnet/hrnet_w32_coco_256x192-c78dce93_20200708.pth", "c78dce93",
            115, "coco17", "COCO val AP 74.6", _APACHE,
        ),
        Published(
            "hrnet-w48", _MMPOSE + "hrnet/hrnet_w48_coco_256x192-b9e0b3ab_20200708.pth", "b9e0b3ab",
            255, "coco17", "COCO val AP 75.6", _APACHE,
        ),
    )
}  # fmt: skip


def weights_folder() -> Path:
    """Folder of downloaded weights: $POSECLI_WEIGHTS, or a folder in the user's cache."""
    chosen = os.environ.get("POSECLI_WEIGHTS")
    return Path(chosen) if chosen else cache_folder() / "weights"


def pulled() -> dict[str, Path]:
    """Published weights that are already downloaded, by name."""
    files = {name: weights_folder() / p.file_name for name, p in PUBLISHED.items()}
    return {name: file for name, file in files.items() if file.is_file()}


def find_published(name: str) -> Published:
    """The published weights of this name. Raises PoseError for an unknown name."""
    if name not in PUBLISHED:
        raise PoseError(
            f"There are no weights {name!r} to pull; there are {', '.join(PUBLISHED)} (posecli weights list)."
        )
    return PUBLISHED[name]


def pull(weights: Published, mirror: str | None = None, progress: Progress = lambda *_: None) -> Path:
    """Download weights into the cache if they are not there yet. Returns the path of the file.

    mirror: a URL to download from instead. The path of the original URL is appended to it.
    An interrupted download continues where it stopped, also in a later call.
    Raises PoseError if the server can't be reached, the disk is full, or the hash differs. The file then does not
    exist under its final name.
    """
    target = weights_folder() / weights.file_name
    if target.is_file():
        verify(weights, target)
        return target
    part = target.with_name(target.name + ".part")
    url = _mirrored(weights.url, mirror)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_all(url, part, progress)
        found = sha256(part)
        if not found.startswith(weights.sha256):
            part.unlink()
            raise PoseError(
                f"What {url} gave is not {weights.name}: its sha256 begins {found[:12]}, not {weights.sha256[:12]}. "
                f"It was deleted; try again, or another --mirror."
            )
        part.replace(target)
        _note(target).write_text(found + "\n", encoding="ascii")
    except OSError as error:
        raise PoseError(
            f"{target} can't be written ({error.strerror or error}); make room, or set POSECLI_WEIGHTS to another folder."
        ) from error
    return target


def verify(weights: Published, file: Path) -> str:
    """The SHA-256 of a file. Raises PoseError if it differs from the published one or from the first download."""
    found = sha256(file)
    note = _note(file)
    first = note.read_text(encoding="ascii").strip() if note.is_file() else found
    if not found.startswith(weights.sha256) or found != first:
        raise PoseError(
            f"{file} has changed or is damaged (sha256 {found[:12]}…): delete it and run "
            f"`posecli weights pull {weights.name}`."
        )
    return found


def _fetch_all(url: str, part: Path, progress: Progress) -> None:
    import urllib.error

    for attempt in range(TRIES):
        before = part.stat().st_size if part.is_file() else 0
        try:
            _fetch(url, part, progress)
            return
        except urllib.error.HTTPError as error:
            raise PoseError(f"{url} answers {error.code} {error.reason}; try --mirror ADDRESS.") from error
        except (urllib.error.URLError, ConnectionError, TimeoutError, _Broken) as error:
            # Try again only if the last attempt received some data.
            arrived = part.stat().st_size if part.is_file() else 0
            if attempt + 1 == TRIES or arrived == before:
                reason = getattr(error, "reason", error)
                raise PoseError(
                    f"{url} can't be fetched ({reason}). Offline? Copy the file into {part.parent} from a machine "
                    f"that is not. What arrived is kept; the next try goes on from there."
                ) from error


class _Broken(Exception):
    """The connection ended before the file was complete."""


def _fetch(url: str, part: Path, progress: Progress) -> None:
    import urllib.error
    import urllib.request

    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "posecli"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # the file is already complete
            return
        raise
    with answer:
        if have and answer.status != 206:  # the server ignores the range and sends the whole file
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - have > free - SPARE:
            raise PoseError(
                f"{part.parent} has {free >> 20} MB free and {(total - have) >> 20} MB are to come; "
                f"make room, or set POSECLI_WEIGHTS to another folder."
            )
        with part.open("ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total is not None and have < total:
        raise _Broken(f"{have} of {total} bytes arrived")


def _mirrored(url: str, mirror: str | None) -> str:
    mirror = mirror or os.environ.get("POSECLI_MIRROR")
    if not mirror:
        return url
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https"):
        raise PoseError(f"The mirror {mirror!r} is no http or https address.")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + urlsplit(url).path))


def _note(file: Path) -> Path:
    """The file that stores the full hash of the first download. Publishers give only the start of the hash."""
    return file.with_name(file.name + ".sha256")
