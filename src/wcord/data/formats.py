"""Which picture files are read: raster formats that Pillow can decode here, and no others."""

import importlib
import mimetypes
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image, UnidentifiedImageError, features

from wcord.checks import UsageError
from wcord.data.limits import most_pixels, require_pixels
from wcord.data.names import ending_of

# Pillow tries every format that it knows, and hands PostScript to Ghostscript, which runs it.
_RASTER = (
    *("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", "HEIF", "DIB", "PCX", "SGI", "QOI"),
    *("PSD", "DDS", "ICO", "ICNS", "SUN", "XBM", "MSP"),
)
_NO_SIGNATURE = ("TGA",)
"""Formats without a signature, which only the ending identifies."""
_CODECS = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000", "JPEG": "jpg"}
_BY_CONTENT = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "AVIF", "JPEG2000", "HEIF")
WITHOUT_DECODER = frozenset(
    {".heic", ".heif", ".hif", ".avif", ".webp", ".jxl", ".jp2", ".svg", ".exr", ".hdr", ".pfm", ".xcf"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".svs", ".ndpi", ".mrxs", ".dcm", ".nii"}
    | {".eps", ".ps", ".pdf", ".wmf", ".emf", ".fit", ".fits"}
)
"""Endings of pictures that are not read, or only where Pillow has a codec for them."""
_NOTES = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Names of the text in a PNG that may hold the orientation of the camera."""
_LEFT_BEHIND = frozenset({".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".bak", ".orig", ".old"})


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that are read here and can be recognized by their content."""
    Image.init()
    with suppress(ImportError):  # Pillow itself has no decoder for what iPhones write
        importlib.import_module("pillow_heif").register_heif_opener()
    codecs = {name: name not in _CODECS or features.check(_CODECS[name]) for name in _RASTER}
    return tuple(name for name in _RASTER if name in Image.OPEN and codecs[name])


@cache
def picture_endings() -> frozenset[str]:
    """Return the endings of the picture files that are read here."""
    known = {*formats(), *_NO_SIGNATURE, "MPO"}  # MPO, several JPEGs in one file, is opened as JPEG
    registered = Image.registered_extensions()
    return frozenset(ending for ending, name in registered.items() if name in known) - {".pfm"}  # floating point


def open_picture(content: bytes, name: str) -> Image.Image:
    """Open a picture by its content; its name decides only for formats that have no signature.

    Raises:
        UnidentifiedImageError: it is no picture, or of an unsupported format.
        ValueError: its ending names an unsupported format, or it has too many pixels.
        Exception: whatever else Pillow raises for damaged files.
    """
    try:
        image = _open(BytesIO(content), formats())
    except UnidentifiedImageError:
        ending = ending_of(name)
        if Image.registered_extensions().get(ending) in _NO_SIGNATURE:
            return _open(BytesIO(content), _NO_SIGNATURE)
        if ending in WITHOUT_DECODER:
            raise ValueError(f"there is no decoder for {ending} files") from None
        raise
    if image.format == "PNG" and _has_late_notes(content):
        image.load()  # Pillow finds them only after decoding
    return image


def _open(file: IO[bytes], names: Sequence[str]) -> Image.Image:
    """Open a picture as `Image.open` does, of the named formats alone, and refuse one of too many pixels.

    Pillow itself only warns up to twice its limit, which is set for the whole process.
    """
    if Image.MAX_IMAGE_PIXELS is not None:  # PIL checks it again where parts of pictures are cut out
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, most_pixels())
    begin = file.read(16)
    for name in names:
        factory, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(begin)
        if not accepted or isinstance(accepted, str):  # text says that there is no codec for it here
            continue
        file.seek(0)
        try:
            image = factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # what a plugin raises where a picture is not of its format
        require_pixels(image.height, image.width)
        return image
    raise UnidentifiedImageError("cannot identify image file")


def _has_late_notes(content: bytes) -> bool:
    """Return whether a PNG has notes, of which its orientation may be one, after its pixels."""
    place, pixels = 8, False
    while place + 8 <= len(content):
        length, name = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        if pixels and (name == b"eXIf" or (name[1:] in (b"TXt", b"EXt") and content.startswith(_NOTES, place + 8))):
            return True
        pixels |= name == b"IDAT"
        place += 12 + length
    return False


def is_picture_by_content(path: Path) -> bool:
    """Return whether a file without an informative ending holds a picture."""
    ending = ending_of(path.name)
    if ending in WITHOUT_DECODER or ending in _LEFT_BEHIND or ending in mimetypes.types_map:
        return False
    names = _BY_CONTENT if ending else (*_BY_CONTENT, "TIFF")  # raw files of cameras begin as TIFF does
    try:
        with path.open("rb") as file:
            _open(file, [name for name in formats() if name in names])
    except UsageError:
        return True  # a picture, but too large
    except Exception:  # whatever Pillow raises: it is no picture then
        return False
    return True
