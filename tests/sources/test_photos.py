"""Photos of all formats are read as image viewers show them."""

import csv
import json
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from posecli.errors import PoseError
from posecli.sources.open import open_source
from posecli.sources.photos import read_photo
from tests.support.stand_ins import run

REPORTS = Path(__file__).parents[1] / "data" / "reports"
BARS = np.zeros((48, 96, 3), np.uint8)  # RGB
for _k, _colour in enumerate([(200, 30, 30), (30, 180, 40), (40, 40, 190), (120, 120, 120)]):
    BARS[:, 24 * _k : 24 * (_k + 1)] = _colour


def middles(image) -> np.ndarray:
    """RGB values (4, 3) in the middle of each bar of a BGR image."""
    return image[24, 12::24, ::-1].astype(int)


@pytest.mark.parametrize(
    ("suffix", "mode", "options", "off"),
    [
        (".png", "RGB", {}, 0), (".png", "RGBA", {}, 0), (".png", "P", {}, 3), (".bmp", "RGB", {}, 0),
        (".tif", "RGB", {}, 0), (".tiff", "RGB", {"compression": "tiff_lzw"}, 0), (".webp", "RGB", {"lossless": True}, 0),
        (".jpg", "RGB", {"quality": 95, "subsampling": 0}, 4), (".jpg", "CMYK", {"quality": 95}, 6),
        (".heic", "RGB", {"quality": 95}, 6),
    ],
)  # fmt: skip
def test_every_format_keeps_its_colours(tmp_path, suffix, mode, options, off) -> None:
    if suffix == ".heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    path = tmp_path / f"Übung 1{suffix}"
    photo = Pillow.fromarray(BARS)
    (photo.quantize(16) if mode == "P" else photo.convert(mode)).save(path, **options)
    image = read_photo(path)
    assert image.shape == (48, 96, 3)
    assert np.abs(middles(image) - BARS[24, 12::24]).max() <= off


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_brought_to_eight(tmp_path, suffix) -> None:
    colour, grey = tmp_path / f"colour{suffix}", tmp_path / f"grey{suffix}"
    cv2.imwrite(str(colour), BARS[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(grey), BARS[..., 0].astype(np.uint16) * 257)
    assert np.abs(middles(read_photo(colour)) - BARS[24, 12::24]).max() <= 1
    assert np.abs(middles(read_photo(grey)) - BARS[24, 12::24, :1]).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_stands_it_upright(tmp_path, orientation) -> None:
    back = {1: None, 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}[orientation]  # fmt: skip
    photo = Pillow.fromarray(BARS)
    stored = photo if back is None else photo.transpose(getattr(Pillow.Transpose, back))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.abs(middles(read_photo(tmp_path / "a.png")) - BARS[24, 12::24]).max() == 0


def test_a_bomb_is_refused_in_a_sentence(tmp_path) -> None:
    chunks = (
        b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0",
        b"IDAT" + zlib.compress(b"\0" * 100),
    )
    data = [(len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
    with pytest.raises(PoseError, match="too large a picture"):
        read_photo(tmp_path / "a.png")


def test_a_folder_is_a_sequence_at_a_nominal_rate_and_it_is_said(tmp_path) -> None:
    for k in (10, 2, 1):
        Pillow.fromarray(BARS).save(tmp_path / f"{k}.png")
    (tmp_path / "3.png").write_bytes(b"broken")
    source = open_source(str(tmp_path), Fraction(10))
    frames = list(source)
    assert [p.stem for p, _ in source.photos] == ["1", "2", "3", "10"]
    assert [f.time for f in frames] == [Fraction(k, 10) for k in range(4)]
    assert [f.flags for f in frames] == [(), (), ("damaged",), ()]
    assert any("10 a second" in told for told in source.trouble.sentences())
    assert [f.time for f in open_source(str(tmp_path))][1] == Fraction(1, 25)


def test_a_rate_with_a_video_is_one_sentence(clips) -> None:
    with pytest.raises(PoseError, match=r"--rate is for photos; plain.mp4 has its own frame times"):
        open_source(str(clips / "plain.mp4"), Fraction(10))


@pytest.mark.parametrize("top", [1023, 4095, 65535], ids=["10 bits", "12 bits", "16 bits"])
def test_grey_of_many_bits_has_its_real_range(tmp_path, top) -> None:
    ramp = np.linspace(0, top, 96).astype(np.uint16)[None].repeat(48, 0)
    Pillow.fromarray(ramp).save(tmp_path / "grey.tif")
    image = read_photo(tmp_path / "grey.tif")
    assert (image[24, 0].tolist(), image[24, -1].tolist()) == ([0] * 3, [255] * 3)
    assert abs(int(image[24, 48, 0]) - 128) <= 3


@pytest.mark.parametrize(
    ("values", "kind"), [((0.0, 1.0), np.float32), ((-300, 300), np.int32), ((0, 250_000), np.int32), ((0.0, 3e9), np.float32)]
)  # fmt: skip
def test_grey_in_floats_and_signed_grey_are_seen(tmp_path, values, kind) -> None:
    ramp = np.linspace(*values, 96).astype(kind)[None].repeat(48, 0)
    Pillow.fromarray(ramp).save(tmp_path / "grey.tif")
    image = read_photo(tmp_path / "grey.tif")
    assert image[24, 0, 0] == 0
    assert image[24, -1, 0] == 255


def test_a_dark_photo_of_8_bits_stays_dark(tmp_path) -> None:
    Pillow.fromarray(np.full((8, 8), 20, np.uint8)).save(tmp_path / "dark.png")
    assert (read_photo(tmp_path / "dark.png") == 20).all()


def test_what_shines_through_is_white(tmp_path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4] = (200, 30, 30, 255)
    Pillow.fromarray(rgba).save(tmp_path / "cut.png")
    image = read_photo(tmp_path / "cut.png")
    assert image[0, 0].tolist() == [30, 30, 200]
    assert image[-1, 0].tolist() == [255, 255, 255]


def test_pages_of_a_tiff_are_frames() -> None:
    frames = list(open_source(str(REPORTS / "three_pages.tiff")))
    assert [f.photo.name for f in frames] == [f"three_pages.tiff#{n}" for n in (1, 2, 3)]
    assert not np.array_equal(frames[0].image, frames[1].image)


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
def test_frames_of_an_animation_have_its_times(tmp_path, suffix) -> None:
    pictures = [Pillow.fromarray(np.roll(BARS, 8 * n, axis=1)) for n in range(4)]
    path = tmp_path / f"moving{suffix}"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100, 200, 100, 300], lossless=True
    )
    frames = list(open_source(str(path)))
    assert [float(f.time) for f in frames] == [0.0, 0.1, 0.3, 0.4]
    assert np.abs(middles(frames[2].image) - np.roll(BARS, 16, axis=1)[24, 12::24]).max() <= 6


def test_photos_of_several_sizes_keep_their_own_pixels_and_names(tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("a 1.jpg", (160, 120)), ("b.jpg", (80, 200)), ("c.jpg", (320, 240))):
        Pillow.new("RGB", size, "grey").save(folder / name)
    summary = run(folder, tmp_path / "o.mp4")
    document = json.loads((tmp_path / "o.json").read_text())
    told = [(f["photo"]["name"], f["photo"]["width"], f["photo"]["height"]) for f in document["frames"]]
    assert told == [("a 1.jpg", 160, 120), ("b.jpg", 80, 200), ("c.jpg", 320, 240)]
    with (tmp_path / "o.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["photo"] for r in rows if r["frame"] == "1"} == {"b.jpg"}
    video = list(open_source(str(tmp_path / "o.mp4")))
    assert [f.image.shape for f in video] == [(120, 160, 3)] * 3
    assert summary.frames == 3
