"""Draws a saved result into its video again. No network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from posecli.draw.renderer import Renderer
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.output.video import writing
from posecli.results.recording import Recording, poses_of
from posecli.sources.open import OpenedSource, open_source
from posecli.sources.photos import PhotoSequence, fitted
from posecli.types import FramePoses

TIME_SLACK = 0.002  # seconds; maximum difference between the times in a result and in its source


def reopened(recording: Recording, source: str) -> OpenedSource:
    """Open the source of a result again, with the same stream and frame rate. Raises PoseError."""
    told = recording.header["source"]
    opened = open_source(source, stream=told.get("stream"))
    if isinstance(opened, PhotoSequence) and told["rate"]:
        opened.rate = Fraction(told["rate"])
    return opened


def matched(recording: Recording, source: OpenedSource) -> Iterator[FramePoses]:
    """Yield the frames of the source that are in the result, with their people. Raises PoseError for a wrong video."""
    told = recording.header["source"]
    if (source.width, source.height) != (told["width"], told["height"]):
        raise PoseError(
            f"{source.name} is {source.width}x{source.height}, and the result is of {told['name']}, "
            f"{told['width']}x{told['height']}: give the video that it was made from."
        )
    if recording.header["options"].get("resample"):
        raise PoseError(
            "This result was resampled, so its rows are not the video's frames; draw the one before."
        )
    wanted = poses_of(recording)
    poses = next(wanted, None)
    for frame in source:
        if poses is None:
            return
        if frame.index < poses.frame.index:
            continue
        if frame.index != poses.frame.index or abs(float(frame.time) - float(poses.frame.time)) > TIME_SLACK:
            raise PoseError(
                f"{source.name} shows frame {frame.index} at {float(frame.time):.3f} s, and the result has frame "
                f"{poses.frame.index} at {float(poses.frame.time):.3f} s: give the video that it was made from."
            )
        if poses.frame.photo is not None and frame.photo != poses.frame.photo:
            raise PoseError(
                f"Photo {frame.index + 1} of {source.name} is not {poses.frame.photo.name}: give the photos that the "
                f"result was made from."
            )
        yield replace(poses, frame=frame)
        poses = next(wanted, None)
    if poses is not None:
        raise PoseError(
            f"{source.name} ends before frame {poses.frame.index} of the result: give the video that it was made from."
        )


def redraw(
    recording: Recording,
    source: OpenedSource,
    out: Path,
    drawing: Drawing,
    progress: Callable[[FramePoses], None] = lambda _: None,
) -> int:
    """Write the annotated video and return its number of frames.

    An interrupted write leaves no partial file. Raises PoseError.
    """
    renderer = Renderer(recording.skeleton, replace(drawing, names=recording.names))
    times = recording.times
    span = (float(times[0]), None if len(times) < 2 else float(times[-1] + np.median(np.diff(times))))
    count = 0
    with writing(
        out, (source.width, source.height), source.rate, source.time_base,
        sound=source.sound, span=span, origin=source.origin,
    ) as writer:  # fmt: skip
        for poses in matched(recording, source):
            writer.write(fitted(renderer.draw(poses), writer.size), poses.frame.time)
            progress(poses)
            count += 1
        if source.trouble.restarted:
            writer.sound = None
    return count
