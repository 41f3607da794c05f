"""Photos: one by one, or a folder of them as one sequence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from posecli.errors import PoseError
from posecli.sources.video import Trouble
from posecli.types import Frame, Image

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif")
NOMINAL_RATE = Fraction(25)  # photos have no times: the sequence is shown at this rate


def read_photo(path: Path | str) -> Image:
    """An upright (H, W, 3) uint8 BGR picture: EXIF orientation applied, 16 bits and CMYK brought to 8-bit
    RGB. Raises PoseError for what is not a photo."""
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.exists():
        raise PoseError(f"There is no photo {path}.")
    if path.suffix.lower() in (".heic", ".heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    try:
        with Pillow.open(path) as photo:
            upright = ImageOps.exif_transpose(photo)
            if upright.mode.startswith("I") or upright.mode == "F":  # 16 or 32 bits of grey
                grey = np.asarray(upright, np.float64)
                top = 65535.0 if grey.max() > 255 else 255.0
                rgb = np.repeat((grey / top * 255).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
            else:
                rgb = np.asarray(upright.convert("RGB"))
    except Pillow.DecompressionBombError as error:
        raise PoseError(f"{path} claims to be too large a picture to read safely ({error}).") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, ImportError) as error:
        # ImportError: ultralytics, once imported, replaces Pillow's open and asks for a package of its own.
        raise PoseError(f"{path} is not a photo that can be read ({error}).") from error
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)  # type: ignore[return-value]


@dataclass
class PhotoSequence:
    """A folder or glob of photos as frames of one size; time = index / rate, nominal."""

    photos: list[Path]
    name: str
    width: int
    height: int
    rate: Fraction = NOMINAL_RATE
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
        sequence = PhotoSequence(photos, name, width, height, rate or NOMINAL_RATE)
        sequence.trouble.nominal = sequence.rate if len(photos) > 1 else None
        return sequence

    @property
    def time_base(self) -> Fraction:
        return 1 / self.rate

    @property
    def duration(self) -> float:
        return float(len(self.photos) / self.rate)

    @property
    def frame_count(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """Frames of the first photo's size; others are fitted into it, and unreadable ones are black and
        marked damaged, so that no place in the sequence is missing."""
        for index, photo in enumerate(self.photos):
            flags: tuple[str, ...] = ()
            try:
                image = self._fitted(read_photo(photo))
            except PoseError:
                image = np.zeros((self.height, self.width, 3), np.uint8)
                flags = ("damaged",)
                self.trouble.damaged += 1
            if index >= first:
                yield Frame(index, index / self.rate, image, flags)

    def _fitted(self, image: Image) -> Image:
        height, width = image.shape[:2]
        if (width, height) == (self.width, self.height):
            return image
        scale = min(self.width / width, self.height / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        fitted = np.zeros((self.height, self.width, 3), np.uint8)
        fitted[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return fitted

    def close(self) -> None:
        """Nothing is held open."""
