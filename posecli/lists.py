"""Lists that are given as text."""

from __future__ import annotations


def listed(text: str | None) -> list[str]:
    """ "knee, hip" -> ["knee", "hip"]; nothing for None."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
