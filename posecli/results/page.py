"""Writes one HTML page for a result: the video, a timeline of the people, and curves of every joint and angle.

The page works offline. It contains its script, data, images and video.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from posecli.draw.skeleton import track_colour
from posecli.errors import PoseError
from posecli.files import local, replacing
from posecli.output.video import shift_of
from posecli.results.check import check
from posecli.results.events import Event, asked_events, counted, title
from posecli.results.measure import ANGLES, Column, measure
from posecli.results.recording import Recording, Track, stretches
from posecli.types import IMPLAUSIBLE, Array, Flags, Image
from posecli.version import __version__

LIMB_JOINTS = ("elbow", "wrist", "knee", "ankle", "heel", "big_toe")  # implausible ones show in the timeline
EMBEDDED_MB = 60  # larger videos are linked instead of embedded
UNSURE = 0.5  # below this mean confidence of a person's joints, the timeline marks the frame
PIXEL_STEP = 0.1  # resolution of coordinates in the page, if 16 bits are enough
DEGREE_STEP = 0.1  # resolution of angles in the page
MISSING = -32768  # marks a missing value in the page's columns
THUMBNAIL = 96  # height in pixels
THUMBNAILS = 60  # maximum number of people with a thumbnail


@dataclass(frozen=True)
class Page:
    """The written page."""

    path: Path
    megabytes: float
    embedded: bool  # whether the page contains the video


def write_report(
    recording: Recording,
    out: Path,
    video: Path | None,
    *,
    link: bool = False,
    events: str = "",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Page:
    """Write the page.

    video: the annotated video of the result. It is embedded, or linked if it is large or `link` is set.
    events: kinds to mark, such as "steps,jumps".
    Raises PoseError for untracked results, for a video that does not belong to the result, and for events that
    the skeleton has no joints for.
    """
    tracks = [t for t in recording.tracks if t.number is not None]
    if len(tracks) != len(recording.tracks):
        raise PoseError(
            "This result was made with --no-tracking: nobody can be followed, so there is nothing to show over time."
        )
    happened = counted(asked_events(recording, events))
    pictures = {} if video is None else thumbnails(video, recording, tracks)
    people = []
    tracks = list(check(recording)[0].tracks)
    for done, track in enumerate(tracks):
        progress(done, len(tracks))
        person = _person(recording, track, pictures.get(track.number or 0))
        people.append(person | {"events": _events(recording, happened, track)})
    embedded = video is not None and not link and video.stat().st_size <= EMBEDDED_MB << 20
    data = {
        "name": recording.header["source"]["name"],
        "width": recording.header["source"]["width"],
        "height": recording.header["source"]["height"],
        "joints": recording.joints,
        "times": _packed([(np.round(recording.times * 1e6).astype(np.int64), 8)]),
        "frames": len(recording.frames),
        "numbers": _packed([(recording.frames.astype(np.int64), 4)]),
        "damaged": [i for i, flags in enumerate(recording.flags) if "damaged" in flags],
        "people": people,
        "video": None if video is None or embedded else _relative(video, out),
        "late": _time_offset(recording),
        "embedded": None if video is None or not embedded else base64.b64encode(video.read_bytes()).decode(),
        "kind": "" if video is None else f"video/{'mp4' if video.suffix != '.mkv' else 'x-matroska'}",
    }
    text = _page(recording, data)
    with replacing(out) as part:
        part.write_text(text, encoding="utf-8")
    return Page(out, out.stat().st_size / 1e6, embedded)


def _page(recording: Recording, data: dict[str, Any]) -> str:
    template = resources.files("posecli.results").joinpath("page.html").read_text(encoding="utf-8")
    pieces = {
        "TITLE": escape(data["name"]),
        "SUMMARY": escape(_summary(recording)),
        "FOOT": _foot(recording),
        # Escape "<", so that a file name with "</script>" can't end the element.
        "DATA": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda found: pieces[found[1]], template)


# ---------------------------------------------------------------- people


def _person(recording: Recording, track: Track, picture: str | None) -> dict[str, Any]:
    times = recording.times[track.rows]
    sure = track.keypoints[:, :, 2].mean(axis=1)
    angles = _angles(recording, track)
    wrong = track.marks.get(IMPLAUSIBLE, np.zeros(track.keypoints.shape[:2], bool))
    limbs = [k for k, joint in enumerate(recording.joints) if joint.endswith(LIMB_JOINTS)]
    step = max(PIXEL_STEP, float(np.nan_to_num(np.abs(track.keypoints[:, :, :2])).max(initial=0)) / 32000)
    columns: list[tuple[npt.NDArray[Any], int]] = [(track.rows.astype(np.int64), 4)]
    for axis in (0, 1):
        columns += [(_whole(column / step), 2) for column in track.keypoints[:, :, axis].T]
    columns += [
        (np.round(column * 255).clip(0, 255).astype(np.int64), 1) for column in track.keypoints[:, :, 2].T
    ]
    for angle in angles:
        columns.append((_whole(angle.values / DEGREE_STEP), 2))
    red, green, blue = reversed(track_colour(track.number))
    return {
        "number": track.number,
        "name": recording.names.get(track.number or 0, f"Person {track.number}"),
        "colour": f"rgb({red},{green},{blue})",
        "picture": picture,
        "rows": len(track),
        "start": float(times[0]),
        "end": float(times[-1]),
        "sure": round(float(sure.mean()), 3),
        "seen": _stretches(track.rows, np.ones(len(track), bool)),
        "unsure": _stretches(track.rows, sure < UNSURE),
        "flagged": _stretches(track.rows, np.array([bool(f) for f in track.flags], bool)),
        "wrong": _stretches(track.rows, np.asarray(wrong[:, limbs].any(axis=1))),
        "implausible": {
            name: _stretches(track.rows, flags)
            for name, flags in _implausible(recording, track, wrong).items()
            if bool(flags.any())
        },
        "angles": [a.name for a in angles],
        "pixel_step": step,
        "degree_step": DEGREE_STEP,
        "data": _packed(columns),
    }


def _events(recording: Recording, happened: Sequence[tuple[Event, int]], track: Track) -> list[list[Any]]:
    """The events of one person as [first frame, last frame, seconds, text]."""
    found = []
    for event, count in happened:
        if event.track == track.number:
            first, last = np.searchsorted(recording.times, [event.start - 1e-6, event.end + 1e-6])
            text = title(event, count) + (f", {event.side}" if event.side else "")
            found.append([int(first), max(int(first), int(last) - 1), event.start, text])
    return found


def _angles(recording: Recording, track: Track) -> list[Column]:
    """All angles that the skeleton allows."""
    found = []
    for name in ANGLES:
        try:
            found += measure(recording, track, angles=[name])
        except PoseError:
            continue
    return found


def _implausible(recording: Recording, track: Track, wrong: Flags) -> dict[str, Flags]:
    """For each joint and each angle, the frames (N,) in which it is implausible.

    An angle is implausible if one of its joints is.
    """
    told = track.keypoints.copy()
    told[..., 2] = ~wrong  # an angle gets the lowest confidence of its joints
    angles = _angles(recording, replace(track, keypoints=told))
    return {
        **{joint: wrong[:, k] for k, joint in enumerate(recording.joints)},
        **{a.name: a.confidence == 0 for a in angles},
    }


def _stretches(rows: npt.NDArray[np.intp], chosen: npt.NDArray[np.bool_]) -> list[list[int]]:
    """[first, last] frame of each run of consecutive chosen rows."""
    picked = rows[chosen]
    return [[int(picked[part][0]), int(picked[part][-1])] for part in stretches(picked)]


def _whole(values: Array) -> npt.NDArray[np.int64]:
    """Round to 16-bit integers. NaN becomes MISSING."""
    return np.where(np.isnan(values), MISSING, np.nan_to_num(np.round(values)).clip(-32767, 32767)).astype(
        np.int64
    )


def _packed(columns: list[tuple[npt.NDArray[Any], int]]) -> str:
    """Pack columns of integers as base64 text. columns: (values, bytes per value).

    Each column is stored as differences in little-endian order, then compressed with deflate. Differences may
    overflow. This is no loss, because their sums overflow in the same way.
    """
    parts = []
    for column, size in columns:
        differences = np.diff(column, prepend=0).astype("<i8")
        parts.append(differences.view(np.uint8).reshape(-1, 8)[:, :size].tobytes())
    return base64.b64encode(zlib.compress(b"".join(parts), 6)).decode()


# ---------------------------------------------------------------- pictures


def thumbnails(video: Path, recording: Recording, tracks: list[Track]) -> dict[int, str]:
    """Thumbnails {track ID: data URL} of the people in the most frames, cut out where their box is largest.

    Raises PoseError if the video can't be read or has another size than the result.
    """
    wanted = sorted(tracks, key=len, reverse=True)[:THUMBNAILS]
    moments = {t.number or 0: int(np.argmax(t.boxes[:, 2] * t.boxes[:, 3] * (t.scores > 0))) for t in wanted}
    found: dict[int, str] = {}
    width = recording.header["source"]["width"]
    try:
        with av.open(local(video)) as container:
            stream = container.streams.video[0]
            if stream.width != width or stream.height != recording.header["source"]["height"]:
                raise PoseError(
                    f"{video} is {stream.width}x{stream.height} and the result is of another size: give the video that "
                    f"was written with it."
                )
            for track in wanted:
                row = moments[track.number or 0]
                picture = _picture_at(
                    container, stream, float(recording.times[track.rows[row]]) - _time_offset(recording)
                )
                if picture is not None:
                    found[track.number or 0] = _cut_out(picture, track.boxes[row])
    except (av.FFmpegError, IndexError) as error:
        raise PoseError(
            f"{video} can't be read as a video; give the one that was written with it."
        ) from error
    return found


def _time_offset(recording: Recording) -> float:
    """Offset in seconds between the times of the result and of the written video."""
    return float(shift_of(Fraction(recording.header["source"].get("origin", 0))))


def _picture_at(container: Any, stream: Any, time: float) -> Image | None:
    container.seek(int(time / stream.time_base), stream=stream)
    picture = None
    for frame in container.decode(stream):
        picture = frame
        if frame.time is not None and frame.time >= time - 1e-3:
            break
    return None if picture is None else picture.to_ndarray(format="bgr24")


def _cut_out(picture: Image, box: Array) -> str:
    x, y, width, height = box
    left, right = (int(np.clip(v, 0, picture.shape[1])) for v in (x, x + width))
    top, bottom = (int(np.clip(v, 0, picture.shape[0])) for v in (y, y + height))
    part = picture[top : max(bottom, top + 1), left : max(right, left + 1)]
    share = THUMBNAIL / part.shape[0]
    small = cv2.resize(part, (max(1, round(part.shape[1] * share)), THUMBNAIL), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


# ---------------------------------------------------------------- words


def _summary(recording: Recording) -> str:
    times, people = recording.times, len(recording.tracks)
    damaged = sum("damaged" in flags for flags in recording.flags)
    text = f"{len(times)} frames, {times[0]:.2f} to {times[-1]:.2f} s, {people} {'person' if people == 1 else 'people'}"
    return text + (f", {damaged} frames damaged" if damaged else "")


def _foot(recording: Recording) -> str:
    header = recording.header
    rows = [
        ("made by", f"posecli {header['posecli']}; this page by posecli {__version__}"),
        ("model", f"{header['model']['name']} (sha256 {header['model']['sha256'][:12]}…)"),
        ("detector", f"{header['detector']['name']} (sha256 {header['detector']['sha256'][:12]}…)"),
        ("tracker", str(header["tracker"])),
        ("skeleton", header["skeleton"]["name"]),
        *(("message", m) for m in header["summary"].get("messages", [])),
        *((f"option {k}", json.dumps(v)) for k, v in header["options"].items() if v is not None),
    ]
    return "".join(f"<tr><th scope='row'>{escape(a)}<td>{escape(b)}" for a, b in rows)


def _relative(video: Path, out: Path) -> str:
    from urllib.parse import quote

    return quote(os.path.relpath(video.resolve(), out.resolve().parent).replace(os.sep, "/"))
