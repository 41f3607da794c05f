"""The steps of each frame: source -> detector -> people -> crops -> network -> joints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from posecli import defaults
from posecli.pipeline.choices import Choices
from posecli.pipeline.contracts import Detector, Estimator, Source
from posecli.pipeline.interpolation import Looks, found_in_all
from posecli.pipeline.people import People
from posecli.pipeline.tracker import least_confidence
from posecli.prefetch import ahead, room
from posecli.skeletons import SKELETONS, convert_keypoints
from posecli.stages import Timer, each_timed, untimed
from posecli.types import Boxes, Chosen, Frame, FramePoses, Image, Person, Seen

TOGETHER = 4  # frames whose people go through the network in one batch

T = TypeVar("T")


def poses(
    source: Source,
    detector: Detector,
    estimator: Estimator,
    choices: Choices,
    before: Iterable[Seen] = (),
    chosen: Chosen | None = None,
    timer: Timer = untimed,
) -> Iterator[FramePoses]:
    """Everybody in every frame of a source, in order.

    chosen: people who were looked for and followed before; nobody else is looked at.

    before: what was seen in the first frames by a run that ended early; this one goes on after them and
    gives what the unbroken run would have given.
    """
    people = People(choices, chosen, source.still)
    done, span = 0, None
    for seen in before:
        people.replay(seen)
        done, span = done + 1, (span[0] if span else seen.index, seen.index)
    frames = fetched(source, each_timed(chosen_frames(source, choices, span), "decode", timer))
    looked = looked_at(source, frames, detector, choices, done, chosen, timer)
    for group in groups(looked, 1 if source.paced else TOGETHER, done):
        with timer("track"):
            followed = [people.follow(frame, boxes) for frame, boxes in group]
        joints = estimator.estimate_with_maps(
            [f.frame.image for f in followed], [f.boxes.xyxy for f in followed], choices.keep_heatmaps, timer
        )
        for one, (keypoints, maps) in zip(followed, joints, strict=True):
            with timer("track"):
                shown, rows, seen = people.show(one, keypoints)
            shown_maps = tuple(maps[i] for i in rows) if maps else ()
            yield FramePoses(one.frame, in_skeleton(shown, estimator, choices), shown_maps, seen)


def looked_at(
    source: Source,
    frames: Iterable[Frame],
    detector: Detector,
    choices: Choices,
    done: int = 0,
    chosen: Chosen | None = None,
    timer: Timer = untimed,
) -> Iterator[tuple[Frame, Boxes | None]]:
    """Frames with what the detector finds in them, also what it is not sure of. done: frames that came before.

    None in frames of a live source between two looks, which wait for nothing.
    """
    if chosen is not None:
        return ((f, chosen.boxes_at(f.index)) for f in frames)
    low = least_confidence(choices.box_confidence) if choices.tracking else choices.box_confidence

    def find(image: Image) -> Boxes:
        with timer("detect"):
            return detector.find(image, low)

    looks = Looks(choices.detect_every or (1 if source.still else None))
    if source.paced:  # there is no looking ahead: between looks, boxes follow the last poses
        return ((f, find(f.image) if looks.due(n, f.time) else None) for n, f in enumerate(frames, done))
    return ahead(
        found_in_all(frames, find, looks, choices.box_confidence, done), room(source.width, source.height)
    )


def groups(items: Iterable[T], size: int, first: int) -> Iterator[list[T]]:
    """Items in lists of `size`, never across a segment; first: the first item's number."""
    group: list[T] = []
    for number, item in enumerate(items, first):
        if len(group) == size or (group and number % defaults.SEGMENT_FRAMES == 0):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def in_skeleton(people: tuple[Person, ...], estimator: Estimator, choices: Choices) -> tuple[Person, ...]:
    """People with the joints that were asked for."""
    own = estimator.spec.bones
    if choices.skeleton is None or choices.skeleton == own.name:
        return people
    target = SKELETONS[choices.skeleton]
    return tuple(replace(p, keypoints=convert_keypoints(p.keypoints, own, target)) for p in people)


def chosen_frames(source: Source, choices: Choices, done: tuple[int, int] | None = None) -> Iterator[Frame]:
    """Frames from `start` to before `end`, every `stride`-th of them.

    done: the indices of the first and the last frame that were given before; those after come.
    """
    number = 0 if done is None else done[1] + 1 - done[0]
    began: float | None = None
    for frame in source.frames(0 if done is None else done[1] + 1):
        # As floats: 0.2 means the frame at 1/5 s, though the nearest float lies above it.
        if choices.end is not None and float(frame.time) >= choices.end:
            return
        if choices.start is not None and float(frame.time) < choices.start:
            continue
        began = float(frame.time) if began is None else began
        if choices.duration is not None and float(frame.time) - began >= choices.duration:
            return
        if number % choices.stride == 0:
            yield frame
        number += 1


def fetched(source: Source, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames read ahead by a thread; of a source that comes in real time, the newest."""
    if not source.paced:
        return ahead(frames, room(source.width, source.height))

    def drop() -> None:
        source.trouble.dropped += 1

    return ahead(frames, 1, drop)
