"""Reads photos, one by one or as a sequence from a folder."""

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
MANY_PAGES = (".tif", ".tiff", ".webp", ".png")  # files that may contain several images
RANGES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # white as float, and with 8, 10, 12, 14 and 16 bits
NOMINAL_RATE = Fraction(25)  # frames per second; photos have no times


def read_photo(path: Path | str, page: int = 0) -> Image:
    """Read a photo as an upright image (H, W, 3) uint8 BGR.

    Applies the EXIF orientation. Converts higher bit depths and CMYK to 8 bits, and puts transparent images on
    white. page: index in a file with several images. Raises PoseError if the file is not a readable photo.
    """
    from PIL import ImageOps

    with _opened(Path(path)) as photo:
        photo.seek(page)
        rgb = _eight_bits(ImageOps.exif_transpose(photo))
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)  # type: ignore[return-value]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a photo with Pillow. Any error, also while reading it, becomes a PoseError."""
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
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise PoseError(f"{path} is not a photo that can be read ({error}).") from error


def _eight_bits(photo: Any) -> Image:
    """Convert a Pillow image to (H, W, 3) uint8 RGB."""
    from PIL import Image as Pillow

    if photo.mode.startswith("I") or photo.mode == "F":
        return np.repeat(_in_8_bits(np.asarray(photo, np.float64))[..., None], 3, axis=2)
    if photo.has_transparency_data:
        white = Pillow.new("RGBA", photo.size, "white")
        photo = Pillow.alpha_composite(white, photo.convert("RGBA"))
    rgb: Image = np.asarray(photo.convert("RGB"))
    return rgb


def _in_8_bits(grey: Array) -> Image:
    """Scale a greyscale image (integers of any depth, signed or float) to 8 bits, by the range of its values."""
    known = np.isfinite(grey)
    low, high = (float(grey[known].min()), float(grey[known].max())) if known.any() else (0.0, 1.0)
    if low >= 0:  # unsigned: use the smallest bit depth that holds all values
        low = 0.0
        whole = bool((grey[known] == np.floor(grey[known])).all())
        high = next((top for top in RANGES if top >= high and (whole or top == 1.0)), high)
    scaled = (np.where(known, grey, low) - low) / max(high - low, 1e-9) * 255
    eight: Image = scaled.clip(0, 255).round().astype(np.uint8)
    return eight


def photo_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of the upright photo in pixels, from the file header. None if it can't be read."""
    try:
        with _opened(path) as photo:
            turned = photo.getexif().get(0x0112, 1) >= 5  # EXIF orientation: rotated by 90 degrees
            width, height = photo.size
            return (height, width) if turned else (width, height)
    except PoseError:
        return None


def pages_of(path: Path) -> list[Fraction | None]:
    """The display time in seconds of each image in a file. None if the file does not give it.

    Pages of a TIFF and frames of an animation count as images. Preview images in a phone's photo do not.
    """
    if path.suffix.lower() not in MANY_PAGES:
        return [None]
    try:
        with _opened(path) as photo:
            shown: list[Fraction | None] = []
            count = getattr(photo, "n_frames", 1)
            for page in range(count):
                photo.seek(page)
                if (
                    count > 1 and photo.format == "WEBP"
                ):  # Pillow gives the duration of a WebP frame only after load()
                    photo.load()
                milliseconds = photo.info.get("duration")
                shown.append(Fraction(round(milliseconds), 1000) if milliseconds else None)
            return shown
    except (PoseError, EOFError):
        return [None]  # the error is reported when the photo is read


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """Scale an image to fit into `size` (width, height), in the upper left corner. The rest is black."""
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
    """A sequence of photos, or of pages in photo files, as frames.

    Each frame has its own size. `width` and `height` are those of the first photo. A single animation has real
    times. Otherwise the time is index / rate.
    """

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
    still = True  # consecutive photos may be unrelated
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
        """Frames from index `first` on. An unreadable photo becomes a black frame with the flag "damaged"."""
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
        """Do nothing: no file is kept open."""
