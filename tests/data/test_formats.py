"""Which files are pictures: those that Pillow decodes, whatever they are called, and no programs."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from wcord.data.formats import formats, is_picture_by_content, open_picture, picture_endings
from wcord.data.images import open_upright

POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n"
    b"(MARK) (w) file closefile\nshowpage\n%%EOF\n"
)  # fmt: skip


def content(kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind, **settings)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (".jfif", "JPEG"), (".jpe", "JPEG"), (".avif", "AVIF"), (".jp2", "JPEG2000"), (".tga", "TGA"), (".mpo", "MPO"),
        (".apng", "PNG"), (".dib", "DIB"), (".webp", "WEBP"), (".pcx", "PCX"), (".qoi", "QOI"), (".sgi", "SGI"),
        (".ico", "ICO"),
    ],
)  # fmt: skip
def test_what_pillow_decodes_counts_and_opens(ending: str, kind: str) -> None:
    assert ending in picture_endings()
    opened = open_picture(content(kind), f"a{ending}")
    opened.load()
    assert opened.size == (8, 8)


def test_no_format_that_runs_programs_or_needs_another_is_read() -> None:
    assert not picture_endings() & {".eps", ".ps", ".pdf", ".wmf", ".emf", ".mpg", ".h5", ".fits", ".iim", ".pfm"}
    assert not set(formats()) & {"EPS", "WMF", "MPEG", "HDF5", "FITS", "IPTC", "GRIB", "BUFR"}


@pytest.mark.parametrize("name", ["evil.png", "evil.jpg", "evil", "evil.tif"])
def test_postscript_is_not_run_whatever_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnidentifiedImageError):
        open_picture(POSTSCRIPT, name)
    (tmp_path / name).write_bytes(POSTSCRIPT)
    assert not is_picture_by_content(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.eps", "a.svg", "a.jxl"])
def test_what_has_no_decoder_is_told_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"no decoder for .{name[2:]} files"):
        open_picture(b"anything", name)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF"])
@pytest.mark.parametrize("name", ["IMG_1", "subject01.happy", "picture.php", "scan.001"])
def test_content_decides_where_the_ending_says_nothing(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content(kind))
    assert is_picture_by_content(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nef", "a.part", "a.txt", "a.csv", "a.unknown", "README"])
def test_other_files_are_no_pictures(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content("TIFF") if name != "README" else b"BMW and P6 are words")
    assert not is_picture_by_content(tmp_path / name)


def test_a_wrong_ending_does_not_matter() -> None:
    for kind, name in (("PNG", "a.jpg"), ("JPEG", "a.png"), ("WEBP", "a.gif"), ("GIF", "a.tga")):
        assert open_picture(content(kind), name).format == kind


def test_notes_after_the_pixels_of_a_png_are_read() -> None:
    exif = Image.Exif()
    exif[274] = 6
    whole = content("PNG", exif=exif)
    place = whole.index(b"eXIf") - 4
    length = 12 + int.from_bytes(whole[place : place + 4])
    chunk, end = whole[place : place + length], whole.index(b"IEND") - 4
    late = whole[:place] + whole[place + length : end] + chunk + whole[end:]
    assert open_picture(late, "a.png").info["exif"] == open_picture(whole, "a.png").info["exif"]


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
KEY = b"XML:com.adobe.xmp\0"


@pytest.mark.parametrize(
    ("kind", "text"),
    [(b"iTXt", KEY + b"\0" * 4 + XMP), (b"iTXt", KEY + b"\1\0\0\0" + zlib.compress(XMP)),
     (b"zTXt", KEY + b"\0" + zlib.compress(XMP)), (b"tEXt", KEY + XMP)],
)  # fmt: skip
@pytest.mark.parametrize("late", [False, True])
def test_an_orientation_in_the_text_of_a_png_is_heeded_wherever_it_stands(kind: bytes, text: bytes, late: bool) -> None:
    written = io.BytesIO()
    Image.new("RGB", (20, 10)).save(written, "PNG")
    whole, place = written.getvalue(), len(written.getvalue()) - 12 if late else 33
    chunk = len(text).to_bytes(4) + kind + text + zlib.crc32(kind + text).to_bytes(4)
    content = whole[:place] + chunk + whole[place:]
    assert open_upright(lambda: open_picture(content, "a.png"), "a").size == (10, 20)
