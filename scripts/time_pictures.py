"""Times the two steps that change whole pictures: into the encoder's colours, and into the detector's size.

    python scripts/time_pictures.py clip.mp4

Each is compared with the way that it replaced. Medians in milliseconds of the clip's first picture.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from posecli.engines.detector import SIZE, _scaled
from posecli.output.video import _yuv420p
from posecli.sources.open import open_source

ROUNDS = 100


def median(work: Callable[[], object]) -> float:
    work()
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took))


def main(clip: str) -> None:
    source = open_source(clip)
    image = next(iter(source)).image
    source.close()
    swscale = VideoReformatter()

    def before() -> av.VideoFrame:
        return swscale.reformat(
            av.VideoFrame.from_numpy_buffer(image, format="bgr24"), format="yuv420p",
            dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
        )  # fmt: skip

    height, width = image.shape[:2]
    ratio = SIZE / max(height, width)
    small = round(ratio * width), round(ratio * height)
    gap = _yuv420p(image).to_ndarray().astype(int) - before().to_ndarray()
    print(f"{width}x{height} pixels; the colours differ by {gap.mean():.2f} of 255 on average")
    print(f"colours: swscale {median(before):.2f} ms, now {median(lambda: _yuv420p(image)):.2f} ms")
    in_one_step = median(lambda: cv2.resize(image, small, interpolation=cv2.INTER_AREA))
    print(
        f"detector's size: in one step {in_one_step:.2f} ms, now {median(lambda: _scaled(image, SIZE)):.2f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1])
