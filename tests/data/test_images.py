"""One picture: its form, its orientation, and why it cannot be read."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.frame import Frame
from wcord.data.images import BadImageError, Form, decode, fit, kind_of, open_upright
from wcord.data.memory import resize_all
from wcord.data.sources import open_data


def test_fitting_covers_the_form_and_crops_the_centre() -> None:
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


def test_cameras_orientation_is_undone() -> None:
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[274] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert open_upright(lambda: Image.open(buffer), "x").size == (4, 8)


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
    with pytest.raises(BadImageError, match="the file is gone"):
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
    with pytest.raises(UsageError, match=r"crop_fraction must lie above 0 and be at most 1, received 1\.5"):
        open_data(DataConfig(crop_fraction=1.5, image_size=8))
    with pytest.raises(UsageError, match="give --image-size too"):
        open_data(DataConfig(crop_fraction=0.875))


def test_an_image_of_8_bits_is_the_same_numbers_among_images_of_16() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8))
    among = decode(image, Form("I;16", 12, 16, 0.875))
    assert np.array_equal(among, decode(image, Form("L", 12, 16, 0.875)).astype(np.float32) / 255)
