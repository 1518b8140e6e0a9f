import os
import socket
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.formats import is_picture_by_content, open_picture
from wcord.data.images import BadImageError, Form, Frame, decode, open_upright
from wcord.data.limits import PIXELS, most_pixels, read_whole, require_memory
from wcord.data.opening import open_data
from wcord.data.records import read_picture
from wcord.data.samples import ReadRequest
from wcord.data.sources.folder import folder_source
from wcord.data.view import View


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that says it has so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(10_000, 9_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (1, PIXELS + 1)])
def test_a_picture_of_too_many_pixels_is_refused_by_name(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    with pytest.raises(UsageError, match=r"bomb.png' cannot be read \(.*pixels"):
        read_picture(tmp_path / "bomb.png", Frame(8, 8))
    (tmp_path / "bomb").write_bytes(bomb(*size))
    assert is_picture_by_content(tmp_path / "bomb")


def test_a_folder_with_a_bomb_names_it_and_can_go_on_without(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "a" / "bomb.png").write_bytes(bomb(20_000, 20_000))
    with pytest.raises(
        UsageError, match=r"bomb.png' cannot be read \(it has 20000×20000 pixels, more than the 89,478,485"
    ):
        open_data(DataConfig(data=f"imagefolder:{tmp_path}"))
    data = open_data(DataConfig(data=f"imagefolder:{tmp_path}", skip_bad_images=True))
    assert len(data.train) + len(data.test) == 8


def test_the_limit_is_one_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    monkeypatch.setenv("WCORD_MAX_PIXELS", "599")
    with pytest.raises(UsageError, match=r"30×20 pixels, more than the 599 .* WCORD_MAX_PIXELS"):
        open_picture(content, "a.png")
    with pytest.raises(UsageError, match="with this image_size, a picture would have 25×25"):
        Frame.of(25)
    with pytest.raises(UsageError, match="through the view 'resize=30x20'"):
        View.parse("gray,resize=30x20")
    monkeypatch.setenv("WCORD_MAX_PIXELS", "600")
    assert open_picture(content, "a.png").size == (30, 20)
    monkeypatch.delenv("WCORD_MAX_PIXELS")
    assert most_pixels() == PIXELS


@pytest.mark.parametrize("text", ["many", "0", "-5", "1e9", "9" * 30])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WCORD_MAX_PIXELS", text)
    with pytest.raises(UsageError, match="WCORD_MAX_PIXELS must be a whole number"):
        most_pixels()


def test_a_raised_limit_lets_more_pixels_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv("WCORD_MAX_PIXELS", str(10**9))
    assert open_picture(bomb(30_000, 30_000), "a.png").size == (30_000, 30_000)


@pytest.mark.parametrize("size", [(1, 80_000), (80_000, 1)])
def test_a_thin_picture_cannot_ask_for_memory(size: tuple[int, int]) -> None:
    image = open_upright(lambda: Image.new("L", size), "a")
    with pytest.raises(BadImageError, match="resized, it would have"):
        decode(image, Form("L", 224, 224))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_notes_that_unpack_to_much_are_refused_or_passed_over(kind: bytes) -> None:
    packed = zlib.compress(b"\0" * 200_000_000)
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    whole += chunk(kind, head + packed) + chunk(b"IDAT", zlib.compress(b"\0\1\2\0\3\4")) + chunk(b"IEND", b"")
    try:
        pixels = decode(open_upright(lambda: open_picture(whole, "a.png"), "a"), Form("L", 2, 2))
    except BadImageError:
        return
    assert pixels.shape == (1, 2, 2)


def special(folder: Path, kind: str) -> str:
    if kind == "pipe":
        os.mkfifo(folder / "a.png")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "a.png"))
    elif kind == "folder":
        (folder / "a.png").mkdir()
    else:
        (folder / "a.png").symlink_to(kind)
    return str(folder / "a.png")


KINDS = ["pipe", "socket", "folder", "/dev/zero", "/dev/stdin"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with pytest.raises((ValueError, OSError)):
        read_whole(special(Path(), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_folders_pass_it_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        Path(name).mkdir()
        Image.new("L", (2, 2)).save(f"{name}/b.png")
    special(Path("a"), kind)
    assert len(folder_source(".", ReadRequest()).train) == 2


def test_memory() -> None:
    require_memory(2**20, "a little")
    with pytest.raises(UsageError, match=r"all of it would take 1,048,576.0 GiB of memory, of which this machine has"):
        require_memory(2**50, "all of it")
    with pytest.raises(UsageError, match="1,438 pictures resized to 8192×8192 pixels would take"):
        open_data(DataConfig(image_size=8192))
