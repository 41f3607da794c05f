"""Reads labelled people from a data set given as `KIND:PATH`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from posecli.data.coco import read_coco
from posecli.data.flic import read_flic
from posecli.data.lsp import read_lsp, read_lspet
from posecli.data.mpii import read_mpii
from posecli.data.people import PeopleSet, check_sizes
from posecli.errors import PoseError

READERS: dict[str, Callable[[Path, Path | None], PeopleSet]] = {
    "coco": read_coco,
    "lsp": read_lsp,
    "lsp-train": partial(read_lsp, part="train"),
    "lsp-test": partial(read_lsp, part="test"),
    "lspet": read_lspet,
    "mpii": read_mpii,
    "flic": read_flic,
    "flic-train": partial(read_flic, part="train"),
    "flic-test": partial(read_flic, part="test"),
}


def read_people(spec: str, images: Path | None = None) -> PeopleSet:
    """Read `KIND:PATH`. PATH is an annotation file or the folder of the data set. Raises PoseError.

    LSP and FLIC have training and test data in one file. Published scores are for the test data.
    """
    kind, _, path = spec.partition(":")
    if kind not in READERS or not path:
        raise PoseError(
            f"{spec!r} is not KIND:PATH; KIND is one of {', '.join(READERS)}, "
            f"for example coco:annotations/person_keypoints_val2017.json."
        )
    people = READERS[kind](_annotations(kind, Path(path)), images)
    check_sizes(people)
    return people


def _annotations(kind: str, path: Path) -> Path:
    """For COCO, replace a folder by its only keypoint file. Raises PoseError if there are several or none."""
    if kind != "coco" or not path.is_dir():
        return path
    files = sorted(path.glob("annotations/person_keypoints_*.json")) or sorted(path.glob("*.json"))
    if len(files) == 1:
        return files[0]
    what = "no annotation file" if not files else f"{len(files)} annotation files"
    raise PoseError(f"{path} holds {what}; name the one to read.")
