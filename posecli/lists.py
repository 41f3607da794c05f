"""Parses lists in option values."""

from __future__ import annotations


def listed(text: str | None) -> list[str]:
    """Split text at commas: "knee, hip" -> ["knee", "hip"]. None gives an empty list."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
