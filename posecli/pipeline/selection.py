"""Selects people. First the detector finds and tracks all people, without the keypoint network; then the selection is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from posecli.errors import PoseError
from posecli.pipeline.choices import Choices
from posecli.pipeline.contracts import Detector, Source
from posecli.pipeline.header import boxes_header
from posecli.pipeline.loop import chosen_frames, fetched, looked_at
from posecli.pipeline.people import People
from posecli.results.edit import choose
from posecli.results.recording import Recording, Track, read_result
from posecli.types import Array, Boxes, Chosen

LEAST_FRAMES = 3  # people seen in fewer have no number


def select_people(
    reopen: Callable[[], Source],
    detector: Detector,
    choices: Choices,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Chosen, str]:
    """The people of choices.select, and a sentence about who they are; raises PoseError.

    reopen: opens the source once more. It is read to its end, unless a result says where people are.
    """
    source = reopen()
    try:
        if choices.select_of is not None:
            people = read_result(Path(choices.select_of))
        else:
            people = people_of(source, detector, choices, progress)
        chosen = chosen_of(people, choices.select or "", source)
    finally:
        source.close()
    who = []
    for number in chosen.numbers:
        times = people.times[people.track(number).rows]
        who.append(f"{number} ({times[0]:.1f} to {times[-1]:.1f} s)")
    return chosen, f"{len(people.tracks)} people were found. Joints are placed for {', '.join(who)} only."


def people_of(
    source: Source, detector: Detector, choices: Choices, progress: Callable[[], None]
) -> Recording:
    """Tracks of all detected people, by their bounding boxes only: without joints, numbered in order. Reads the source to
    its end. Raises PoseError for a live source, and if there are no people."""
    if source.live:
        raise PoseError(
            f"{source.name} is live, and --select needs the whole source first; use --max-people, or select later: "
            "posecli edit RESULT --select largest."
        )
    if not choices.tracking:
        raise PoseError("--select needs track IDs; leave out --no-tracking.")
    everybody = People(choices, still=source.still)
    frames, times = [], []
    seen: dict[int, list[tuple[int, Array, float]]] = defaultdict(list)
    for row, (frame, finds) in enumerate(
        looked_at(source, fetched(source, chosen_frames(source, choices)), detector, choices)
    ):
        followed = everybody.follow(frame, finds)
        frames.append(frame.index)
        times.append(float(frame.time))
        for i, xyxy, score in zip(followed.ids, followed.boxes.xyxy, followed.boxes.scores, strict=True):
            seen[i or 0].append((row, xyxy, float(score)))
        progress()
    kept = sorted((s for s in seen.values() if len(s) >= LEAST_FRAMES), key=lambda s: s[0][0])
    if not kept:
        raise PoseError(f"No people were found in {source.name}, so none can be selected.")
    tracks = tuple(_track(number, rows) for number, rows in enumerate(kept, 1))
    return Recording(
        boxes_header(source), np.array(frames, np.intp), np.array(times), ((),) * len(frames), tracks
    )


def _track(number: int, seen: list[tuple[int, Array, float]]) -> Track:
    rows, xyxy, scores = zip(*seen, strict=True)
    corners = np.array(xyxy, np.float64)
    return Track(
        number,
        np.array(rows, np.intp),
        np.zeros((len(rows), 0, 3)),
        np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
        np.array(scores),
        ((),) * len(rows),
        np.zeros(len(rows), np.intp),
    )


def chosen_of(people: Recording, which: str, source: Source) -> Chosen:
    """The people of `which` (see `edit.choose`); raises PoseError for a result of another source."""
    size = people.header["source"]["width"], people.header["source"]["height"]
    if size != (source.width, source.height):
        raise PoseError(
            f"{source.name} is {source.width}x{source.height}, and the result whose people are meant is of pictures "
            f"of {size[0]}x{size[1]}."
        )
    numbers = list(dict.fromkeys(choose(people, which)))
    boxes: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    scores: dict[int, list[float]] = defaultdict(list)
    ids: dict[int, list[int | None]] = defaultdict(list)
    for number in numbers:
        track = people.track(number)
        for row, (x, y, width, height), score in zip(track.rows, track.boxes, track.scores, strict=True):
            index = int(people.frames[row])
            boxes[index].append((x, y, x + width, y + height))
            scores[index].append(float(score))
            ids[index].append(number)
    found = {i: Boxes(np.array(b, np.float32), np.array(scores[i], np.float32)) for i, b in boxes.items()}
    return Chosen(tuple(numbers), found, dict(ids))
