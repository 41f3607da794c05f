"""What results are called where nobody says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path


def default_output(source: str) -> Path:
    """clip.mp4 -> clip.pose.mp4 beside it; a camera or address -> posecli-DATE.mp4 here."""
    path = Path(source)
    if path.exists():
        base = path.resolve()
        return base.with_name((base.stem if path.is_file() else base.name) + ".pose.mp4")
    if "*" in source or "?" in source:
        return Path("photos.pose.mp4")
    return Path(f"posecli-{datetime.now():%Y%m%d-%H%M%S}.mp4")


def result_names(sources: list[str], out: Path | None) -> list[Path]:
    """Where each source's video goes; sources that differ only in their extension keep it."""
    plain = [default_output(s) if out is None else out / f"{Path(s).stem}.mp4" for s in sources]
    full = [
        p.with_name(f"{Path(s).name}.pose.mp4" if out is None else f"{Path(s).name}.mp4")
        for s, p in zip(sources, plain, strict=True)
    ]
    return [f if plain.count(p) > 1 else p for p, f in zip(plain, full, strict=True)]
