"""Photos: one by one, or a folder of them as one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posecli.errors import PoseError
from posecli.files import readable_name
from posecli.sources.video import Trouble
from posecli.types import Array, Frame, Image, Photo

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif")
MANY_PAGES = (".tif", ".tiff", ".webp", ".png")  # files that may hold several pictures
RANGES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # white in floats, and in 8, 10, 12, 14 and 16 bits
NOMINAL_RATE = Fraction(25)  # photos have no times: the sequence is shown at this rate


def read_photo(path: Path | str, page: int = 0) -> Image:
    """An upright (H, W, 3) uint8 BGR picture: EXIF orientation applied, more than 8 bits, CMYK and transparency brought
    to 8-bit RGB (on white). page: of a file that holds several. Raises PoseError for what is not a photo."""
    from PIL import ImageOps

    with _opened(Path(path)) as photo:
        photo.seek(page)
        rgb = _eight_bits(ImageOps.exif_transpose(photo))
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)  # type: ignore[return-value]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A photo as Pillow has it; raises PoseError for what is none, also while it is read."""
    from PIL import Image as Pillow

    if not path.exists():
        raise PoseError(f"There is no photo {path}.")
    if path.suffix.lower() in (".heic", ".heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        with Pillow.open(path) as photo:
            yield photo
    except PoseError:
        raise
    except Pillow.DecompressionBombError as error:
        raise PoseError(f"{path} claims to be too large a picture to read safely ({error}).") from error
    except Exception as error:  # damaged files make Pillow stumble in every way
        raise PoseError(f"{path} is not a photo that can be read ({error}).") from error


def _eight_bits(photo: Any) -> Image:
    """(H, W, 3) uint8 RGB."""
    from PIL import Image as Pillow

    if photo.mode.startswith("I") or photo.mode == "F":
        return np.repeat(_in_8_bits(np.asarray(photo, np.float64))[..., None], 3, axis=2)
    if photo.has_transparency_data:
        white = Pillow.new("RGBA", photo.size, "white")
        photo = Pillow.alpha_composite(white, photo.convert("RGBA"))
    rgb: Image = np.asarray(photo.convert("RGB"))
    return rgb


def _in_8_bits(grey: Array) -> Image:
    """Grey of 10, 12 or 16 bits, signed or with a decimal point, by its real range."""
    known = np.isfinite(grey)
    low, high = (float(grey[known].min()), float(grey[known].max())) if known.any() else (0.0, 1.0)
    if low >= 0:  # from black to the white of so many bits
        low = 0.0
        whole = bool((grey[known] == np.floor(grey[known])).all())
        high = next((top for top in RANGES if top >= high and (whole or top == 1.0)), high)
    scaled = (np.where(known, grey, low) - low) / max(high - low, 1e-9) * 255
    eight: Image = scaled.clip(0, 255).round().astype(np.uint8)
    return eight


def photo_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of the upright photo, from the file's head; None for what can't be read."""
    try:
        with _opened(path) as photo:
            turned = photo.getexif().get(0x0112, 1) >= 5  # EXIF's orientation: a quarter turn
            width, height = photo.size
            return (height, width) if turned else (width, height)
    except PoseError:
        return None


def pages_of(path: Path) -> list[Fraction | None]:
    """One entry for each picture in a file: the seconds that it is shown, None where the file does not say.

    Pages of a TIFF and frames of an animation are pictures; the small previews beside a phone's photo are not.
    """
    if path.suffix.lower() not in MANY_PAGES:
        return [None]
    try:
        with _opened(path) as photo:
            shown: list[Fraction | None] = []
            count = getattr(photo, "n_frames", 1)
            for page in range(count):
                photo.seek(page)
                if count > 1 and photo.format == "WEBP":  # only then it knows how long a frame is shown
                    photo.load()
                milliseconds = photo.info.get("duration")
                shown.append(Fraction(round(milliseconds), 1000) if milliseconds else None)
            return shown
    except (PoseError, EOFError):
        return [None]  # reading it will say what is wrong


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """A picture in the upper left corner of one of another size (width, height), as large as it fits."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    framed = np.zeros((size[1], size[0], 3), np.uint8)
    framed[:down, :across] = cv2.resize(image, (across, down), interpolation=cv2.INTER_AREA)
    return framed


@dataclass
class PhotoSequence:
    """Photos, or the pages of some, as frames, each in its own size; width and height are the first one's. An
    animation alone has times of its own; else time = index / rate, nominal."""

    photos: list[tuple[Path, int]]  # (file, page)
    name: str
    width: int
    height: int
    rate: Fraction = NOMINAL_RATE
    times: list[Fraction] | None = None
    trouble: Trouble = field(default_factory=Trouble)

    path = None
    live = False
    paced = False
    still = True  # photos need not have to do with each other
    rotation = 0
    stream = None
    origin = Fraction(0)
    sound = None

    @staticmethod
    def open(photos: list[Path], name: str, rate: Fraction | None = None) -> PhotoSequence:
        if not photos:
            raise PoseError(f"{name} holds no photos; it needs files such as .jpg, .png or .webp.")
        height, width = read_photo(photos[0]).shape[:2]
        shown = [(photo, page, seconds) for photo in photos for page, seconds in enumerate(pages_of(photo))]
        pages = [(photo, page) for photo, page, _ in shown]
        times = None
        if len(photos) == 1 and rate is None and all(seconds is not None for *_, seconds in shown):
            times = [Fraction(0), *accumulate(seconds for *_, seconds in shown if seconds is not None)]
            rate = len(pages) / times[-1]
        sequence = PhotoSequence(pages, name, width, height, rate or NOMINAL_RATE, times)
        sequence.trouble.nominal = sequence.rate if len(pages) > 1 and times is None else None
        return sequence

    @property
    def time_base(self) -> Fraction:
        return 1 / self.rate if self.times is None else Fraction(1, 1000)

    @property
    def duration(self) -> float:
        return float(len(self.photos) / self.rate)

    @property
    def frame_count(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Unreadable photos are black and marked damaged, so that no place in the sequence is missing."""
        for index, (path, page) in enumerate(self.photos):
            flags: tuple[str, ...] = ()
            try:
                image = read_photo(path, page)
            except PoseError:
                image = np.zeros((self.height, self.width, 3), np.uint8)
                flags = ("damaged",)
                self.trouble.damaged += 1
            if index >= first:
                several = sum(p == path for p, _ in self.photos[max(0, index - 1) : index + 2]) > 1
                name = readable_name(path) + (f"#{page + 1}" if several else "")
                time = index / self.rate if self.times is None else self.times[index]
                yield Frame(index, time, image, flags, Photo(name, image.shape[1], image.shape[0]))

    def close(self) -> None:
        """Nothing is held open."""
