"""Cuts people out of their photos once, and keeps them in memory or in one file.

A patch is the part of a photo that augmented crops of one person can reach. The boxes and keypoints of a store are
in patch pixels.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posecli.data.people import PeopleSet
from posecli.errors import PoseError
from posecli.files import replacing
from posecli.types import Image

MARGIN = 2.2  # patch side / longer box side; leaves room for a zoom of 0.75 and for rotation
PACK_FORMAT = 2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PatchStore:
    """N patches (h, w, 3) uint8 BGR, one for each person."""

    people: PeopleSet  # boxes, keypoints, areas and head sizes in patch pixels
    patches: list[Image]

    def __len__(self) -> int:
        return len(self.patches)

    def take(self, keep: np.ndarray[Any, Any]) -> PatchStore:
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep
        return PatchStore(self.people.take(rows), [self.patches[i] for i in rows])

    def checksum(self) -> str:
        """SHA-256 of the labels and the names of their photos."""
        digest = hashlib.sha256()
        for array in (self.people.boxes, self.people.keypoints, self.people.visible):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join(p.name for p in self.people.photos).encode())
        return digest.hexdigest()


def cut_patches(people: PeopleSet, box_pixels: int, progress: Progress | None = None) -> PatchStore:
    """Decode every photo once and cut its people out.

    box_pixels: maximum of the longer box side in pixels. Larger people are scaled down to it.
    Unreadable photos are left out, with a warning in the result. Raises PoseError if no photo can be read, or if the
    patches would not fit into memory.
    """
    _check_memory(people, box_pixels)
    of_photo: dict[Path, list[int]] = defaultdict(list)
    for row, photo in enumerate(people.photos):
        of_photo[photo].append(row)
    found: dict[int, tuple[Image, float, np.ndarray[Any, Any]]] = {}
    broken: list[Path] = []

    def cut_photo(item: tuple[Path, list[int]]) -> None:
        photo, rows = item
        image = cv2.imread(str(photo), cv2.IMREAD_COLOR)
        if image is None:
            broken.append(photo)
            return
        for row in rows:
            found[row] = _cut(image, people.boxes[row], box_pixels)  # type: ignore[arg-type]

    with ThreadPoolExecutor() as pool:
        for done, _ in enumerate(pool.map(cut_photo, of_photo.items()), 1):
            if progress is not None:
                progress(done, len(of_photo))
    if not found:
        raise PoseError(
            f"None of the {len(of_photo)} photos of {people.name} can be read, such as {broken[0]}."
        )
    rows = np.array(sorted(found))
    kept = people.take(rows)
    scale = np.array([found[r][1] for r in rows])
    origin = np.array([found[r][2] for r in rows])  # photo pixel at the patch's pixel (0, 0)
    if broken:
        told = f"{people.name}: {len(broken)} photos can't be read (left out), the first: {min(broken)}."
        kept = replace(kept, warnings=(*kept.warnings, told))
    moved = replace(
        kept,
        # Keypoints are pixel centres, so they need the shift by 0.5. Box edges do not.
        keypoints=(kept.keypoints - origin[:, None] + 0.5) * scale[:, None, None] - 0.5,
        boxes=(kept.boxes - np.tile(origin, 2)) * scale[:, None],
        areas=kept.areas * scale**2,
        head_sizes=kept.head_sizes * scale,
    )
    return PatchStore(moved, [found[r][0] for r in rows])


def _cut(image: Image, box: Any, box_pixels: int) -> tuple[Image, float, np.ndarray[Any, Any]]:
    """Cut out one person. Returns (patch, scale, origin). origin: (2,) photo pixel of the patch's pixel (0, 0)."""
    height, width = image.shape[:2]
    side = max(box[2] - box[0], box[3] - box[1], 1.0)
    centre = (box[:2] + box[2:]) / 2
    low = np.clip(np.floor(centre - MARGIN / 2 * side), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(centre + MARGIN / 2 * side), low + 1, [width, height]).astype(int)
    patch = image[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, box_pixels / side)
    if scale < 1:
        size = np.maximum(1, np.round((high - low) * scale)).astype(int)
        patch = cv2.resize(patch, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        scale = float((size / (high - low)).mean())
    return np.ascontiguousarray(patch), scale, low


def _check_memory(people: PeopleSet, box_pixels: int) -> None:
    import psutil

    sides = np.minimum((people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1), box_pixels) * MARGIN
    needed, free = float((sides**2).sum() * 3), float(psutil.virtual_memory().available)
    if needed > 0.8 * free:
        fits = max(16, int(box_pixels * (0.8 * free / needed) ** 0.5))
        raise PoseError(
            f"The patches of {len(people)} people need up to {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; keep people at {fits} pixels (--patch-pixels {fits})."
        )


def save_pack(store: PatchStore, path: Path, quality: int = 80) -> None:
    """Write a store to one file, with patches as WebP and all labels. `load_pack` reads it on any machine."""

    def encode(patch: Image) -> np.ndarray[Any, Any]:
        ok, data = cv2.imencode(".webp", patch, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if not ok:
            raise PoseError("A patch could not be encoded as WebP.")
        return data.ravel()

    with ThreadPoolExecutor() as pool:
        encoded = list(pool.map(encode, store.patches))
    people = store.people
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            format=PACK_FORMAT,
            name=people.name,
            joints=np.array(people.joints),
            photos=np.array([p.name for p in people.photos]),
            sources=np.array(people.sources),
            boxes=people.boxes.astype(np.float32),
            keypoints=people.keypoints.astype(np.float32),
            visible=people.visible,
            ids=people.ids,
            image_ids=people.image_ids,
            areas=people.areas.astype(np.float32),
            head_sizes=people.head_sizes.astype(np.float32),
            dev=people.dev,
            pictures=np.concatenate(encoded),
            ends=np.cumsum([len(e) for e in encoded]),
        )


def load_pack(path: Path) -> PatchStore:
    """Read a file of `save_pack`. It needs no photos or annotation files. Raises PoseError for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as pack:
            if int(pack["format"]) != PACK_FORMAT:
                raise PoseError(f"{path} is a pack of another format; make it again with --cache.")
            return _unpacked({name: pack[name] for name in pack.files})
    except PoseError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise PoseError(
            f"{path} is not a pack of patches that posecli wrote, or a damaged one ({error})."
        ) from error


def _unpacked(data: dict[str, np.ndarray[Any, Any]]) -> PatchStore:
    pieces = np.split(data["pictures"], data["ends"][:-1])
    with ThreadPoolExecutor() as pool:
        patches = list(pool.map(lambda piece: cv2.imdecode(piece, cv2.IMREAD_COLOR), pieces))
    people = PeopleSet(
        name=str(data["name"]),
        joints=tuple(str(j) for j in data["joints"]),
        photos=tuple(Path(str(p)) for p in data["photos"]),
        sources=tuple(str(s) for s in data["sources"]),
        boxes=data["boxes"].astype(np.float64),
        keypoints=data["keypoints"].astype(np.float64),
        visible=data["visible"],
        ids=data["ids"],
        image_ids=data["image_ids"],
        areas=data["areas"].astype(np.float64),
        head_sizes=data["head_sizes"].astype(np.float64),
        dev=data["dev"],
    )
    if any(patch is None for patch in patches) or len({len(patches), len(people), len(people.boxes)}) != 1:
        raise ValueError("some of its pictures are damaged or missing")
    return PatchStore(people, patches)  # type: ignore[arg-type]
