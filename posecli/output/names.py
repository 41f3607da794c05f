"""The default names of results."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from datetime import datetime
from pathlib import Path

from posecli.errors import PoseError

MOST_BYTES = 200  # of a result's name: disks take 255, with endings and temporary names


def default_output(source: str) -> Path:
    """clip.mp4 -> clip.pose.mp4 beside it, also beside a link; a camera or address -> posecli-DATE.mp4 here."""
    path = Path(source)
    if path.exists():
        base = path.absolute() if path.name not in ("", "..") else path.resolve()
        return base.with_name(shortened(base.stem if path.is_file() else base.name) + ".pose.mp4")
    if "*" in source or "?" in source:
        return Path("photos.pose.mp4")
    return Path(f"posecli-{datetime.now():%Y%m%d-%H%M%S}.mp4")


def output_of(source: str, out: Path | None) -> Path:
    """Where the video of a single source goes: `out`, a file in it where it is a folder, or the default."""
    if out is None:
        return default_output(source)
    return result_names([source], out)[0] if out.is_dir() else out


def result_names(sources: list[str], out: Path | None) -> list[Path]:
    """Where each source's video goes, no two of them to one place. Raises PoseError for a source given twice."""
    stems = distinct_stems(sources, together=out is not None)
    if out is not None:
        return [out / f"{stem}.mp4" for stem in stems]
    beside = [default_output(source) for source in sources]
    return [
        p.with_name(f"{stem}.pose.mp4") if Path(source).exists() else p
        for p, stem, source in zip(beside, stems, sources, strict=True)
    ]


def distinct_stems(sources: list[str], together: bool) -> list[str]:
    """A name for each source's results, no two of one folder the same: the stem; where several share it the whole
    name; then with the folders before it. together: all results go into one folder; else each beside its source.
    Raises PoseError for a source given twice."""
    places = [str(Path(source).absolute()) for source in sources]
    for source, count in Counter(places).items():
        if count > 1:
            raise PoseError(f"{source} is given {count} times; give each source once.")
    folders = ["" if together else _folded(Path(p).parent) for p in places]
    level = [0] * len(sources)
    deepest = max((len(Path(p).parts) for p in places), default=0)
    names = list(places)
    for _ in range(deepest + 1):
        names = [_name(place, n) for place, n in zip(places, level, strict=True)]
        keys = [(folder, _folded(name)) for folder, name in zip(folders, names, strict=True)]
        counts = Counter(keys)
        if max(counts.values(), default=1) == 1:
            return names
        level = [n + (counts[key] > 1) for n, key in zip(level, keys, strict=True)]
    # Only capitals tell them apart.
    return [f"{name}-{n}" for n, name in enumerate(names, 1)]


def _name(source: str, level: int) -> str:
    path = Path(source)
    if level == 0:
        return shortened(path.stem if path.is_file() else path.name)
    folders = path.parent.parts[1:]  # without the root
    return shortened("-".join([*folders[max(0, len(folders) - level + 1) :], path.name]))


def shortened(name: str) -> str:
    """A name that leaves room for endings; of a very long one the beginning, told from others by a checksum."""
    whole = os.fsencode(name)
    if len(whole) <= MOST_BYTES:
        return name
    kept = whole[: MOST_BYTES - 9].decode("utf-8", "ignore")
    return f"{kept}-{hashlib.sha256(whole).hexdigest()[:8]}"


def _folded(path: Path | str) -> str:
    """Equal for names that are one file where capitals do not count."""
    return str(path).casefold()
