"""One picture: its form, its orientation, and why it cannot be read."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.formats import open_picture
from wcord.data.images import BadImageError, Form, Frame, decode, fit, kind_of, open_upright
from wcord.data.memory import resize_all
from wcord.data.opening import open_data


def test_fitting_covers_the_form_and_crops_the_center() -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (10, 0, 30, 20))
    fitted = np.asarray(fit(image, Frame(10, 10)))
    assert fitted.shape == (10, 10, 3)
    assert (fitted[:, 1:-1, 0] > 250).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_every_usual_mode_becomes_the_form(mode: str) -> None:
    image = Image.new("RGB", (6, 6), (200, 200, 200)).convert(mode)
    assert decode(image, Form("RGB", 6, 6)).shape == (3, 6, 6)
    assert decode(image, Form("L", 6, 6)).shape == (1, 6, 6)


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 3), np.uint8)


def picture(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def upright(content: bytes) -> Image.Image:
    return open_upright(lambda: open_picture(content, "x"), "x")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "MPO", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_cameras_orientation_is_undone_in_every_format(kind: str, orientation: int) -> None:
    opened = upright(picture(kind, orientation))
    assert opened.size == ((4, 8) if orientation > 4 else (8, 4))
    plain = Image.open(io.BytesIO(picture(kind, 1))).convert("RGB")
    plain.getexif()[274] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(plain))
    assert np.array_equal(np.asarray(opened.convert("RGB")), wanted)


def test_a_note_in_xmp_is_heeded() -> None:
    buffer = io.BytesIO()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(PIXELS).save(buffer, "WEBP", xmp=xmp)
    assert upright(buffer.getvalue()).size == (4, 8)


def exif_with(tag: int, kind: int, count: int, payload: bytes) -> bytes:
    """Return notes of orientation 6 and another tag, of whatever type."""
    entries = sorted([(274, 3, 1, struct.pack("<H", 6)), (tag, kind, count, payload)])
    body, data, place = struct.pack("<H", 2), b"", 8 + 2 + 24 + 4
    for number, of_type, length, value in entries:
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", place + len(data))
        data += b"" if len(value) <= 4 else value
        body += struct.pack("<HHI", number, of_type, length) + field
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", 0) + data


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(
    ("tag", "of_type", "count", "payload"),
    [
        (0x011A, 2, 4, b"72\0\0"),  # the resolution as text
        (0x0131, 5, 1, struct.pack("<II", 1, 2)),  # the software as a fraction
        (0x011B, 5, 1, struct.pack("<II", 1, 0)),  # a fraction of zero
        (0x8769, 2, 3, b"no\0"),  # the place of more notes as text
        (0x8825, 4, 1, struct.pack("<I", 10**9)),  # a place beyond the file
    ],
)
def test_other_notes_may_be_damaged(kind: str, tag: int, of_type: int, count: int, payload: bytes) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, exif=exif_with(tag, of_type, count, payload))
    opened = upright(buffer.getvalue())
    assert opened.size == (4, 8)
    assert decode(opened, Form("RGB", 8, 4)).shape == (3, 8, 4)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["JPEG", "WEBP", "PNG", "TIFF"]),
    damages=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_random_damages_end_in_a_picture_or_a_reason(kind: str, damages: list[tuple[int, int]]) -> None:
    content = bytearray(picture(kind, 6))
    start = content.index(b"*\0") - 2 if b"*\0" in content else content.index(b"\0*") - 2
    for place, value in damages:
        content[min(len(content) - 1, start + place)] = value
    if kind == "PNG":  # whoever writes damaged notes writes their check sum, too
        place = content.index(b"eXIf")
        length = int.from_bytes(content[place - 4 : place])
        end = place + 4 + length
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place:end]))
    try:
        shape = decode(upright(bytes(content)), Form("RGB", 8, 8)).shape
    except BadImageError:
        return
    assert shape == (3, 8, 8)


@pytest.mark.parametrize(
    "error", [TypeError("a"), AttributeError(), ZeroDivisionError(), KeyError(1), IndexError(), OverflowError()]
)
def test_whatever_a_damaged_file_raises_is_a_reason(error: Exception) -> None:
    def fail() -> Image.Image:
        raise error

    with pytest.raises(BadImageError, match=str(error) or type(error).__name__):
        open_upright(fail, "x")
    broken = Image.new("RGB", (8, 8))
    broken.resize = lambda *given: fail()
    with pytest.raises(BadImageError):
        decode(broken, Form("RGB", 4, 4))


def test_sixteen_bits_become_fractions_without_losing_any() -> None:
    values = np.array([[0, 1, 1000], [4000, 65534, 65535]], np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    opened = open_upright(lambda: Image.open(buffer), "x")
    assert kind_of(opened.mode) == "I;16"
    pixels = decode(opened, Form("I;16", 2, 3))
    assert pixels.dtype == np.float32
    assert np.array_equal(np.rint(pixels[0] * 65535).astype(np.uint16), values)
    smooth = Image.fromarray(np.full((4, 4), 40001, np.uint16))
    assert decode(smooth, Form("I;16", 2, 2)) * 65535 == pytest.approx(40001, abs=0.01)
    bright = decode(Image.new("L", (3, 2), 255), Form("I;16", 2, 3))
    assert bright.tolist() == [[[1.0] * 3] * 2]


def test_what_does_not_fit_sixteen_bits_is_told() -> None:
    with pytest.raises(BadImageError, match="do not fit 16 bits"):
        decode(Image.fromarray(np.full((2, 2), 70000, np.int32)), Form("I;16", 2, 2))
    with pytest.raises(UsageError, match="x holds floating-point numbers of unknown scale"):
        open_upright(lambda: Image.fromarray(np.zeros((4, 4), np.float32)), "x")


def test_damage_is_told() -> None:
    with pytest.raises(BadImageError, match="not an image, or damaged"):
        open_upright(lambda: Image.open(io.BytesIO(b"nothing")), "x")
    with pytest.raises(BadImageError, match="the file is missing"):
        open_upright(lambda: Image.open("/none/none.png"), "x")
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    cut = io.BytesIO(buffer.getvalue()[:3000])
    with pytest.raises(BadImageError):
        decode(open_upright(lambda: Image.open(cut), "x"), Form("RGB", 64, 64))


def test_a_fraction_keeps_the_middle_of_the_resized_picture() -> None:
    """ImageNet's usual evaluation: the shorter side to 256 pixels, the 224 in the middle."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    image = Image.fromarray(pixels)
    found = decode(image, Form("RGB", 224, 224, 0.875))
    resized = np.asarray(image.resize((384, 256), Image.Resampling.BILINEAR))
    assert np.array_equal(found.transpose(1, 2, 0), resized[16:240, 80:304])
    square = Image.fromarray(pixels[:, :60])
    assert decode(square, Form("RGB", 60, 60, 0.5)).shape == (3, 60, 60)
    assert not np.array_equal(decode(square, Form("RGB", 60, 60, 0.5)), decode(square, Form("RGB", 60, 60)))
    decoded = resize_all(torch.from_numpy(pixels).permute(2, 0, 1)[None], Frame(224, 224, 0.875))[0]
    assert np.abs(decoded.numpy().astype(int) - found).max() <= 1


def test_a_fraction_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"crop_fraction must be a finite number above 0 and at most 1, received 1\.5"):
        open_data(DataConfig(crop_fraction=1.5, image_size=8))
    with pytest.raises(UsageError, match="--crop-fraction needs --image-size"):
        open_data(DataConfig(crop_fraction=0.875))


def test_an_image_of_8_bits_is_the_same_numbers_among_images_of_16() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8))
    among = decode(image, Form("I;16", 12, 16, 0.875))
    assert np.array_equal(among, decode(image, Form("L", 12, 16, 0.875)).astype(np.float32) / 255)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_16_bits_among_8_are_scaled_and_not_cut_off(mode: Literal["L", "RGB"]) -> None:
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    found = decode(Image.fromarray(values), Form(mode, 8, 8))
    assert found.dtype == np.uint8
    assert found.shape == (3 if mode == "RGB" else 1, 8, 8)
    np.testing.assert_array_equal(found[-1], (values / 65535 * 255).round())


def test_odd_notes_of_a_camera_are_no_news_to_a_user(tmp_path: Path) -> None:
    notes = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\x06\0\0\0\0\0"  # tag 274 of two values
    Image.new("RGB", (20, 10)).save(tmp_path / "a.jpg", exif=notes)
    code = (
        "from PIL import Image; from wcord.data.images import open_upright; "
        f"print(open_upright(lambda: Image.open({str(tmp_path / 'a.jpg')!r}), 'a').size)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(10, 20)\n", "")


@pytest.mark.parametrize(
    ("said", "frame"),
    [(64, Frame(64, 64)), ("64", Frame(64, 64)), ("150x200", Frame(150, 200)), (None, None)],
)
def test_a_size_is_a_number_or_height_and_width(said: int | str | None, frame: Frame | None) -> None:
    assert Frame.of(said) == frame
    if frame is not None:
        assert Frame.of(frame.image_size, 0.5) == Frame(frame.height, frame.width, 0.5)


@pytest.mark.parametrize("said", ["", "64px", "x64", "64x", "1x2x3", "6.5", "64X64", "½"])
def test_what_is_no_size_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match=r"image_size takes pixels a side, such as 64, or height×width"):
        Frame.of(said)


@pytest.mark.parametrize("said", [0, -3, "0", "8x0", "-1x8"])
def test_a_size_below_a_pixel_is_refused(said: int | str) -> None:
    with pytest.raises(UsageError, match="image_size must be a whole number between 1 and"):
        Frame.of(said)


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="crop_fraction must be a finite number above 0 and at most 1"):
        Frame.of(8, fraction)


@pytest.mark.parametrize("picture", [(1, 1), (1, 500), (31, 7), (64, 64), (333, 128)])
@pytest.mark.parametrize("frame", [Frame(8, 8), Frame(5, 20, 0.875), Frame(33, 2, 0.3)])
def test_a_picture_covers_its_frame_and_keeps_its_proportions(frame: Frame, picture: tuple[int, int]) -> None:
    (tall, wide), (top, left) = frame.cover(*picture)
    assert tall >= frame.height
    assert wide >= frame.width
    assert 0 <= top <= tall - frame.height
    assert 0 <= left <= wide - frame.width
    scale = max(frame.height / picture[0], frame.width / picture[1]) / frame.fraction
    assert (tall, wide) == pytest.approx((picture[0] * scale, picture[1] * scale), abs=1)
