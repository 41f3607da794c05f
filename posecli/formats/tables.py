"""Writes Parquet, NumPy arrays and DeepLabCut files. Reads DeepLabCut files."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from posecli.errors import PoseError
from posecli.formats.common import followed, name_of, put, whole
from posecli.formats.json_files import Found
from posecli.optional import library
from posecli.results.recording import Recording
from posecli.skeletons import BLAZEPOSE_NAMES, BODY23, Skeleton

SCORER = "posecli"
_DLC_KEY = "df_with_missing"  # the key of DeepLabCut's table in an HDF5 file


def write_parquet(recording: Recording, out: Path) -> list[Path]:
    """The table of `Recording.to_frame`, with the header of the result as metadata."""
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    table = arrow.Table.from_pandas(recording.to_frame(), preserve_index=False)
    head = json.dumps(recording.header).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), b"posecli": head})
    return [put(out, lambda path: _in_file(path, lambda file: parquet.write_table(table, file)))]


def _in_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write through a Python file object. pyarrow does not accept file names that are not UTF-8."""
    with path.open("wb") as file:
        write(file)


def write_npz(recording: Recording, out: Path) -> list[Path]:
    """A NumPy archive with these arrays.

    frames (F,), times (F,) seconds, tracks (P,) track IDs, joints (K,) names, keypoints (F, P, K, 3) x, y in pixels and
    confidence, boxes (F, P, 4) x, y, width, height in pixels, scores (F, P), and head: the header as JSON.
    Values of a person who is not in a frame are NaN.
    """
    tracks = followed(recording)
    boxes = np.full((len(recording.frames), len(tracks), 4), np.nan)
    scores = np.full((len(recording.frames), len(tracks)), np.nan)
    for p, track in enumerate(tracks):
        boxes[track.rows, p], scores[track.rows, p] = track.boxes, track.scores
    arrays: dict[str, Any] = {
        "frames": recording.frames,
        "times": recording.times,
        "tracks": np.array([t.number for t in tracks]),
        "joints": np.array(recording.joints),
        "keypoints": np.stack([whole(recording, t) for t in tracks], axis=1),
        "boxes": boxes,
        "scores": scores,
        "head": np.array(json.dumps(recording.header)),
    }
    return [put(out, lambda path: np.savez_compressed(path, **arrays))]


# ---------------------------------------------------------------- DeepLabCut


def _dlc_table(recording: Recording) -> Any:
    pandas = library("pandas")
    tracks = followed(recording)
    names = [name_of(recording, t) for t in tracks]
    if len(set(names)) != len(names):
        raise PoseError("Two people have one name, which DeepLabCut can't tell apart; rename one of them.")
    columns = pandas.MultiIndex.from_product(
        [[SCORER], names, recording.joints, ["x", "y", "likelihood"]],
        names=["scorer", "individuals", "bodyparts", "coords"],
    )
    values = np.concatenate([whole(recording, t).reshape(len(recording.frames), -1) for t in tracks], axis=1)
    return pandas.DataFrame(values, index=recording.frames, columns=columns)


def write_dlc_csv(recording: Recording, out: Path) -> list[Path]:
    """DeepLabCut's multi-animal CSV: four header rows, then one row per frame."""
    table = _dlc_table(recording)
    return [put(out, table.to_csv)]


def write_dlc_h5(recording: Recording, out: Path) -> list[Path]:
    """The same table as HDF5, as DeepLabCut writes it."""
    library("tables")
    table = _dlc_table(recording)

    def write(path: Path) -> None:
        # HDF5 does not accept file names that are not UTF-8, so write to a temporary file first.
        with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
            made = Path(folder) / "table.h5"
            table.to_hdf(made, key=_DLC_KEY, mode="w")
            shutil.copyfile(made, path)

    return [put(out, write)]


def read_dlc(path: Path) -> tuple[Skeleton, list[Found], int]:
    """Read a DeepLabCut CSV or HDF5 with one or several individuals.

    Returns (skeleton, people, number of frames). Raises PoseError for a damaged or foreign file.
    """
    pandas = library("pandas")
    try:
        if path.suffix == ".h5":
            library("tables")
            table = pandas.read_hdf(path)
        else:
            head = path.open(encoding="utf-8").read(4096).splitlines()
            levels = 4 if len(head) > 1 and head[1].startswith("individuals") else 3
            _check_rows(path)
            table = pandas.read_csv(path, header=list(range(levels)), index_col=0)
        names = [str(n) for n in table.columns.names]
        several = table.columns.nlevels == 4
        bodyparts = list(dict.fromkeys(table.columns.get_level_values(-2)))
        people = list(dict.fromkeys(table.columns.get_level_values(1))) if several else [""]
        found = []
        for number, person in enumerate(people, 1):
            part = table.xs(person, level=1, axis=1) if several else table
            values = np.stack(
                [
                    np.stack([_column(part, joint, what, path) for what in ("x", "y", "likelihood")], axis=1)
                    for joint in bodyparts
                ],
                axis=1,
            )  # (F, K, 3)
            for row, frame in enumerate(table.index):
                seen = np.isfinite(values[row]).all(axis=1)
                if seen.any():
                    points = values[row].copy()
                    points[~seen] = (np.nan, np.nan, 0.0)
                    found.append(Found(int(frame), number, float(points[seen, 2].mean()), points, None))
    except PoseError:
        raise
    except Exception as error:  # pandas raises many kinds of errors
        raise PoseError(f"{path} is not what DeepLabCut writes, or it is damaged.") from error
    if "bodyparts" not in names:
        raise PoseError(f"{path} is not what DeepLabCut writes: it has no row of bodyparts.")
    joints = tuple(b if BLAZEPOSE_NAMES.get(b) in bodyparts else BLAZEPOSE_NAMES.get(b, b) for b in bodyparts)
    bones = tuple((a, b) for a, b in BODY23.bones if a in joints and b in joints)
    return Skeleton("deeplabcut", joints, bones), found, int(max(table.index, default=-1)) + 1


def _check_rows(path: Path) -> None:
    """Raise PoseError for a row that is too short. pandas would read its missing cells as missing joints."""
    with path.open(encoding="utf-8", newline="") as file:
        widths = [len(row) for row in csv.reader(file) if row]
    for number, width in enumerate(widths, 1):
        if width != widths[0]:
            raise PoseError(
                f"{path}: row {number} has {width} cells, the first row {widths[0]}; it is damaged."
            )


def _column(part: Any, joint: str, what: str, path: Path) -> Any:
    """One column as numbers (F,). Raises PoseError for a cell that is not a number."""
    cells = part.xs((joint, what), level=(-2, -1), axis=1).iloc[:, 0]
    numbers = library("pandas").to_numeric(cells, errors="coerce")
    wrong = cells[numbers.isna() & cells.notna()]
    if len(wrong):
        raise PoseError(
            f"{path}: {what} of {joint} in frame {wrong.index[0]} is {wrong.iloc[0]!r}, not a number."
        )
    return numbers.to_numpy(float)
