"""How each frame of a source is processed."""

from __future__ import annotations

from dataclasses import dataclass

from posecli.defaults import BOX_CONFIDENCE


@dataclass(frozen=True)
class Choices:
    """What `posecli.run` and `posecli.annotate` take as keywords."""

    box_confidence: float = BOX_CONFIDENCE  # people with a lower detection confidence are ignored
    max_people: int | None = None  # keep only the people with the highest detection confidence in each frame
    detect_every: int | None = None  # frames; None: about four times a second
    tracking: bool = True
    select: str | None = None  # only these people get joints: largest, longest, centre or track IDs
    select_of: str | None = (
        None  # the result that the track IDs come from; None: a first pass of the detector
    )
    skeleton: str | None = None  # joints to write; None: all of the model
    start: float | None = None  # seconds
    end: float | None = None
    stride: int = 1  # take every N-th frame
    duration: float | None = None  # seconds after the first frame
    keep_heatmaps: bool = False
