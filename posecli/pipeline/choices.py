"""How each frame of a source is processed."""

from __future__ import annotations

from dataclasses import dataclass

from posecli.defaults import BOX_CONFIDENCE


@dataclass(frozen=True)
class Choices:
    """What `posecli.run` and `posecli.annotate` take as keywords."""

    box_confidence: float = BOX_CONFIDENCE  # of the detector, from which a box is a person
    max_people: int | None = None  # only the most confident people of a frame
    detect_every: int | None = None  # frames; None: about four times a second
    tracking: bool = True
    select: str | None = None  # largest, longest, centre or track IDs: nobody else goes through the network
    select_of: str | None = (
        None  # the result whose track IDs are meant; None: of a first pass of the detector
    )
    skeleton: str | None = None  # None: the model's own
    start: float | None = None  # seconds of the source's time
    end: float | None = None
    stride: int = 1  # take every N-th frame
    duration: float | None = None  # seconds after the first frame
    keep_heatmaps: bool = False
