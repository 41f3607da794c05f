"""Converts results to the formats of other tools, and results of other tools to posecli."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posecli.errors import PoseError
from posecli.formats import json_files, motion, opensim, tables
from posecli.formats.common import uneven
from posecli.formats.json_files import Found
from posecli.output.document import FORMAT, FileHeader, Header, skeleton_record
from posecli.results.measure import Scale
from posecli.results.recording import Recording, Track
from posecli.skeletons import COCO17, Skeleton
from posecli.sources.open import open_source
from posecli.version import __version__

BOX_MARGIN = 0.1  # share of the longer side of the joints' extent, for files without boxes
IMPORTED = "imported"


@dataclass(frozen=True)
class Format:
    """An output format, and what it can hold."""

    suffix: str  # "" for a folder
    write: Callable[[Recording, Path, Scale | None], list[Path]]
    joints: tuple[str, ...] | None = None  # the joints that it can hold; None: all
    times: bool = True  # whether it keeps the time of each frame
    flags: bool = False  # whether it keeps flags
    zeros: bool = False  # whether missing joints have to be written as 0, 0


def _unscaled(
    write: Callable[[Recording, Path], list[Path]],
) -> Callable[[Recording, Path, Scale | None], list[Path]]:
    return lambda recording, out, _: write(recording, out)


_BODY25 = tuple(j for j in json_files.BODY25_JOINTS if j != "neck")
FORMATS = {
    "coco": Format(".coco.json", _unscaled(json_files.write_coco), COCO17.joints),
    "openpose": Format("", _unscaled(json_files.write_openpose), _BODY25, times=False),
    "alphapose": Format(".alphapose.json", _unscaled(json_files.write_alphapose), COCO17.joints, times=False),
    "halpe26": Format(
        ".halpe26.json", _unscaled(json_files.write_halpe26), json_files.HALPE26_JOINTS, times=False
    ),
    "mmpose": Format(".mmpose.json", _unscaled(json_files.write_mmpose), times=False, zeros=True),
    "dlc-csv": Format(".dlc.csv", _unscaled(tables.write_dlc_csv), times=False),
    "dlc-h5": Format(".h5", _unscaled(tables.write_dlc_h5), times=False),
    "trc": Format(".trc", motion.write_trc),
    "opensim": Format("", opensim.write_opensim),
    "mot": Format(".mot", _unscaled(motion.write_mot)),
    "c3d": Format(".c3d", motion.write_c3d),
    "parquet": Format(".parquet", _unscaled(tables.write_parquet), flags=True),
    "npz": Format(".npz", _unscaled(tables.write_npz)),
}  # fmt: skip


PER_PERSON = ("trc", "mot", "c3d")


def find_format(name: str) -> Format:
    """The format of this name. Raises PoseError for an unknown name, and for BVH with an explanation."""
    if name == "bvh":
        raise PoseError(
            "posecli does not write BVH: it holds rotations of bones in 3-D, and one camera does not show them. Use trc or "
            "c3d, which hold positions in the picture."
        )
    if name not in FORMATS:
        raise PoseError(f"There is no format {name!r}; choose from {', '.join(FORMATS)}.")
    return FORMATS[name]


def target_of(result: Path, name: str) -> Path:
    """Default path for a format: next to the result."""
    form = find_format(name)
    return result.with_name(f"{result.stem}{form.suffix or '.' + name}")


def endings(name: str) -> list[str]:
    """The allowed file endings of a format. Empty for a folder."""
    suffix = find_format(name).suffix
    return [Path(suffix).suffix or suffix] if suffix else []


def losses(recording: Recording, form: Format) -> list[str]:
    """The parts of this result that the format can't hold, as text."""
    lost = []
    if form.joints is not None and recording.tracks:
        lost_joints = [j for j in recording.joints if j not in form.joints]
        if lost_joints:
            lost.append(f"the joints {', '.join(lost_joints)}")
    if not form.times and uneven(recording):
        lost.append("the frames' own times, which are uneven")
    if not form.flags:
        told = {f for t in recording.tracks for flags in t.flags for f in flags}
        told |= {f for flags in recording.flags for f in flags}
        if told:
            lost.append(f"which rows are {', '.join(sorted(told))}")
    if form.zeros and any(t.missing.any() for t in recording.tracks):
        lost.append("which joints are missing (they are written at 0, 0)")
    return lost


def convert(
    recording: Recording, name: str, out: Path, *, scale: Scale | None = None, lossy: bool = False
) -> list[Path]:
    """Write a result in a format and return the written files.

    Raises PoseError if data would be lost and `lossy` is not set.
    """
    if not lossy:
        refuse_losses(recording, [name])
    return find_format(name).write(recording, out, scale)


def refuse_losses(recording: Recording, names: Sequence[str]) -> None:
    """Raise one PoseError that lists what each of these formats would lose."""
    lost = {name: losses(recording, find_format(name)) for name in names}
    told = [f"{name} would lose {' and '.join(parts)}" for name, parts in lost.items() if parts]
    if told:
        raise PoseError(f"{'; '.join(told)}; add --lossy to convert anyway.")


# ---------------------------------------------------------------- from other tools


def read_foreign(
    path: Path, video: str | None = None, rate: float | None = None, size: tuple[int, int] | None = None
) -> Recording:
    """Read COCO results, a folder of OpenPose JSON or a DeepLabCut table as a posecli result.

    video: the source video, which gives the frame times and the image size. Without it, give `rate` (frames per second)
    and `size` (width, height in pixels). Raises PoseError.
    """
    skeleton, found, count, own_times = _foreign(path)
    told_rate: str | None
    if video is not None:
        name, size, times, told_rate = _video(video)
        if count > len(times):
            raise PoseError(
                f"{path} has {count} frames and {name} {len(times)}: give the source video of this file."
            )
    else:
        name = path.name
        if rate is None and not own_times:
            raise PoseError(f"{path} has no frame times: give --source VIDEO, or --rate.")
        if size is None:
            raise PoseError(f"{path} has no picture size: give --source VIDEO, or --size.")
        times = np.arange(count) / rate if rate is not None else _known_times(path, own_times, count)
        told_rate = None if rate is None else _fraction(rate)
    kind: FileHeader = {"name": IMPORTED, "sha256": _sha256(path)}
    header: Header = {
        "posecli": __version__,
        "format": FORMAT,
        "source": {
            "name": name, "width": size[0], "height": size[1], "rate": told_rate, "duration": None, "rotation": 0,
        },
        "model": kind,
        "detector": kind,
        "tracker": None,
        "skeleton": skeleton_record(skeleton, {}),
        "options": {"imported": path.name},
        "summary": {"frames": len(times), "people": len(found), "tracks": 0, "damaged": 0, "messages": []},
    }  # fmt: skip
    return Recording(header, np.arange(len(times)), times, ((),) * len(times), tuple(_tracks(found, size)))


def _foreign(path: Path) -> tuple[Skeleton, list[Found], int, dict[int, float]]:
    """Returns (skeleton, people, number of frames, times in seconds by frame if the file has them)."""
    if path.is_dir():
        skeleton, found, count = json_files.read_openpose(path)
        return skeleton, found, count, {}
    if not path.is_file():
        raise PoseError(f"There is no {path}.")
    if path.suffix in (".csv", ".h5"):
        skeleton, found, count = tables.read_dlc(path)
        return skeleton, found, count, {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "frames" in document:
            raise PoseError(f"{path} is a result of posecli already.")
        skeleton, found, times = json_files.read_coco(path, document)
    except (ValueError, KeyError, TypeError) as error:
        raise PoseError(
            f"{path} can't be read; posecli reads COCO keypoint results, a folder of OpenPose JSON, DeepLabCut's CSV "
            f"or HDF5."
        ) from error
    return skeleton, found, max((f.frame for f in found), default=-1) + 1, times


def _tracks(found: list[Found], size: tuple[int, int]) -> list[Track]:
    by_track: dict[int | None, list[Found]] = {}
    seen: set[tuple[int, int | None]] = set()
    for person in sorted(found, key=lambda f: f.frame):
        if person.track is not None and (person.frame, person.track) in seen:
            raise PoseError(f"Person {person.track} is in frame {person.frame} twice.")
        seen.add((person.frame, person.track))
        by_track.setdefault(person.track, []).append(person)
    places: dict[int, int] = {}
    tracks = []
    for number in sorted(by_track, key=lambda n: n or 0):
        people = by_track[number]
        order = []
        for person in people:
            order.append(places.setdefault(person.frame, 0))
            places[person.frame] += 1
        tracks.append(
            Track(
                number,
                np.array([p.frame for p in people], np.intp),
                np.stack([p.keypoints for p in people]),
                np.stack([_box(p, size) for p in people]),
                np.clip([p.score for p in people], 0.0, 1.0),
                ((),) * len(people),
                np.array(order, np.intp),
            )
        )
    return tracks


def _box(person: Found, size: tuple[int, int]) -> Any:
    if person.box is not None:
        return person.box
    points = person.keypoints[person.keypoints[:, 2] > 0, :2]
    if not len(points):
        return np.array([0.0, 0.0, *size])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * (high - low).max()
    return np.concatenate([low - margin, high - low + 2 * margin])


def _video(video: str) -> tuple[str, tuple[int, int], Any, str]:
    source = open_source(video)
    try:
        times = np.array([float(frame.time) for frame in source])
        rate = f"{source.rate.numerator}/{source.rate.denominator}"
        return source.name, (source.width, source.height), times, rate
    finally:
        source.close()


def _known_times(path: Path, times: dict[int, float], count: int) -> Any:
    """Times of all frames. The file only has the times of frames with people, so the others are interpolated."""
    known = sorted(times)
    if len(known) < 2:
        raise PoseError(f"{path} has too few times: give --source VIDEO, or --rate.")
    found = np.interp(np.arange(count), known, [times[k] for k in known])
    step = (times[known[-1]] - times[known[0]]) / (known[-1] - known[0])
    before = np.arange(known[0])
    found[before] = times[known[0]] - step * (known[0] - before)
    return found


def _fraction(rate: float) -> str:
    from fractions import Fraction

    exact = Fraction(rate).limit_denominator(1001)
    return f"{exact.numerator}/{exact.denominator}"


def _sha256(path: Path) -> str:
    files = sorted(path.glob("*_keypoints.json")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
