"""HDR to SDR: numbers from the standards, and clips with known colours."""

import numpy as np
import pytest

from posecli.sources.hdr import HLG, PEAK, PQ, WHITE, hlg_light, pq_code, pq_light, to_sdr, tone_curve
from posecli.sources.open import open_source
from tests.support.media import ffmpeg

COLOURS = np.array(
    [[0.58, 0.58, 0.58], [0.5, 0.3, 0.2], [0.2, 0.45, 0.3], [0.3, 0.3, 0.6], [0.75, 0.75, 0.75]]
)


def test_transfer_functions_have_the_standards_values() -> None:
    # BT.2408 table 1: 203 cd/m2 is 58 % of PQ and 75 % of HLG; BT.2100: 10,000 cd/m2 is the top of PQ.
    assert pq_light(1.0) == pytest.approx(10_000)
    assert pq_light(0.58) == pytest.approx(203, rel=0.02)
    assert pq_code(100.0) == pytest.approx(0.508, abs=1e-3)
    assert pq_code(pq_light(np.linspace(0.01, 1, 50))) == pytest.approx(np.linspace(0.01, 1, 50))
    assert hlg_light(np.array([0.5, 1.0])) == pytest.approx([1 / 12, 1.0], abs=1e-5)
    assert PEAK * hlg_light(np.array(0.75)) ** 1.2 == pytest.approx(203, rel=0.01)


def test_the_tone_curve_keeps_dark_tones_and_ends_at_white() -> None:
    light = np.linspace(0.1, PEAK, 500)
    curve = tone_curve(light)
    assert curve[-1] == pytest.approx(WHITE, rel=1e-3)
    assert (np.diff(curve) > 0).all()
    assert tone_curve(np.array([1.0, 20, 60])) == pytest.approx([1.0, 20, 60], rel=1e-6)


def exact_sdr(coded: np.ndarray, transfer: int) -> np.ndarray:
    """The result of `to_sdr`, computed for each colour without tables."""
    shown = []
    for colour in coded:
        light = pq_light(colour) if transfer == PQ else hlg_light(colour)
        if transfer == HLG:
            light = PEAK * (light @ [0.2627, 0.6780, 0.0593]) ** 0.2 * light
        light = light * tone_curve(min(light.max(), PEAK)) / light.max()
        # BT.2020 -> XYZ -> BT.709, from the primaries.
        to_xyz = [[0.636958, 0.144617, 0.168881], [0.262700, 0.677998, 0.059302], [0.0, 0.028073, 1.060985]]
        from_xyz = [
            [3.240970, -1.537383, -0.498611],
            [-0.969244, 1.875968, 0.041555],
            [0.055630, -0.203977, 1.056972],
        ]
        light = np.array(from_xyz) @ np.array(to_xyz) @ light
        shown.append(255 * np.clip(light / WHITE, 0, 1) ** (1 / 2.4))
    return np.array(shown)[:, ::-1]  # BGR


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tables_agree_with_the_formulas(transfer) -> None:
    coded = np.round(COLOURS * 4095).astype(np.uint16)
    mine = to_sdr(coded[None], transfer)[0]
    assert np.abs(mine - exact_sdr(coded / 4095, transfer)).max() <= 1.5


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "smpte2084"), (HLG, "arib-std-b67")])
def test_bars_of_an_hdr_clip_are_within_3_levels_and_it_is_told(tmp_path, transfer, name) -> None:
    # BT.2020 non-constant luminance, narrow range, 10 bits.
    y = COLOURS @ [0.2627, 0.6780, 0.0593]
    u, v = (COLOURS[:, 2] - y) / 1.8814, (COLOURS[:, 0] - y) / 1.4746
    planes = [np.round(64 + 876 * y), np.round(512 + 896 * u), np.round(512 + 896 * v)]
    picture = [np.tile(np.repeat(p, 32), (96, 1)) for p in planes]  # five bars, 160x96
    raw = tmp_path / "bars.yuv"
    raw.write_bytes(b"".join(p.astype("<u2").tobytes() for p in picture) * 3)
    clip = tmp_path / "bars.mp4"
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "yuv444p10le", "-s", "160x96", "-i", raw, "-c:v", "libx265", "-pix_fmt",
        "yuv444p10le", "-x265-params", "log-level=error:lossless=1", "-vf",
        f"setparams=range=tv:color_primaries=bt2020:color_trc={name}:colorspace=bt2020nc", clip,
    )  # fmt: skip
    source = open_source(str(clip))
    frame = next(iter(source))
    expected = exact_sdr(COLOURS, transfer)
    for k in range(5):
        assert np.abs(frame.image[48, 32 * k + 16] - expected[k]).max() <= 3
    assert any("HDR" in told for told in source.trouble.sentences())
