"""Converts HDR frames (PQ and HLG, as recorded by phones) to SDR.

Sources: ITU-R BT.2100-2 for the transfer functions, BT.2390-11 section 5.4.1 for the tone curve, and BT.2408
for the reference white of 203 cd/m2. Light is in cd/m2.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from posecli.types import Image

PQ, HLG = 16, 18  # transfer characteristics, ITU-T H.273
BT2020 = 9  # matrix coefficients and primaries, ITU-T H.273
PEAK = 1000.0  # cd/m2; brighter light is clipped
WHITE = 203.0  # cd/m2, SDR white
STEPS = 4096  # entries in the lookup tables, for 12 bits
# Converts linear light from BT.2020 to BT.709 primaries (BT.2087).
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def is_hdr(raw: Any) -> bool:
    return raw.color_trc in (PQ, HLG)


def sdr_picture(raw: Any, color_range: int) -> Image:
    """Convert an HDR frame to (H, W, 3) uint8 BGR for a BT.709 screen."""
    # swscale converts YUV to RGB and does not change the transfer function.
    matrix = raw.colorspace if raw.colorspace not in (0, 2) else BT2020
    coded = raw.reformat(format="rgb48le", src_colorspace=matrix, src_color_range=color_range).to_ndarray()
    return to_sdr(coded >> 4, raw.color_trc)


def to_sdr(coded: npt.NDArray[np.uint16], transfer: int) -> Image:
    """Convert 12-bit RGB (H, W, 3) with BT.2020 primaries to uint8 BGR with BT.709 primaries."""
    light = _light(transfer)[coded]  # (H, W, 3)
    if transfer == HLG:  # scene light -> screen light: the OOTF of BT.2100 with gamma 1.2
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (PEAK * np.maximum(luminance, 1e-6) ** 0.2)[..., None]
    # The same factor for all channels keeps the hue. The largest channel sets it, so that no channel is clipped.
    largest = light.max(axis=2)
    place = (np.minimum(largest / PEAK, 1) ** 0.5 * (STEPS - 1)).astype(np.int32)
    light *= _tone_factors()[place][..., None]
    light = np.clip(light @ TO_BT709.T / WHITE, 0, 1)
    shown = _screen_code()[(light**0.5 * (STEPS - 1) + 0.5).astype(np.int32)]
    return np.ascontiguousarray(shown[..., ::-1])


def pq_light(code: Any) -> Any:
    """PQ code in [0, 1] -> light in cd/m2 (BT.2100, table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    powered = np.power(code, 1 / m2)
    return 10_000 * np.power(np.maximum(powered - c1, 0) / (c2 - c3 * powered), 1 / m1)


def pq_code(light: Any) -> Any:
    """The inverse of `pq_light`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    powered = np.power(np.asarray(light) / 10_000, m1)
    return np.power((c1 + c2 * powered) / (1 + c3 * powered), m2)


def hlg_light(code: Any) -> Any:
    """HLG code in [0, 1] -> scene light in [0, 1] (BT.2100, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(np.asarray(code) <= 0.5, np.square(code) / 3, (np.exp((code - c) / a) + b) / 12)


def tone_curve(light: Any) -> Any:
    """Compress light in cd/m2 from a maximum of PEAK to WHITE (EETF of BT.2390). Dark and mid tones do not change."""
    scale = pq_code(PEAK)
    code, top = pq_code(light) / scale, pq_code(WHITE) / scale
    knee = 1.5 * top - 0.5
    t = (np.maximum(code, knee) - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * top
    )
    return pq_light(np.where(code < knee, code, spline) * scale)


@cache
def _light(transfer: int) -> npt.NDArray[np.float32]:
    code = np.linspace(0, 1, STEPS)
    table: npt.NDArray[np.float32] = (pq_light(code) if transfer == PQ else hlg_light(code)).astype(
        np.float32
    )
    return table


@cache
def _tone_factors() -> npt.NDArray[np.float32]:
    """Table of the factors of the tone curve. The index is the square root of light / PEAK."""
    light = np.linspace(0, 1, STEPS) ** 2 * PEAK
    light[0] = light[1] / 4
    factors: npt.NDArray[np.float32] = (tone_curve(light) / light).astype(np.float32)
    return factors


@cache
def _screen_code() -> npt.NDArray[np.uint8]:
    """Table of 8-bit values for a BT.1886 screen (gamma 2.4). The index is the square root of light / WHITE."""
    light = np.linspace(0, 1, STEPS) ** 2
    return np.rint(255 * light ** (1 / 2.4)).astype(np.uint8)
