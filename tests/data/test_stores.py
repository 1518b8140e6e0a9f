"""Undecoded images in files and in the columns of tables, each opened by its row and told by its name."""

import io
from pathlib import Path

import datasets
import pytest
from PIL import Image, UnidentifiedImageError

from wcord.data.stores import ColumnImages, FileImages


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (2, 2), value).save(buffer, "PNG")
    return buffer.getvalue()


def test_files_are_read_whole_so_that_no_descriptor_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(7))
    store = FileImages([path])
    image = store.open(0)
    path.unlink()
    assert image.getpixel((0, 0)) == 7
    assert (len(store), store.name(0)) == (1, f"image {str(path)!r}")
    with pytest.raises(FileNotFoundError):
        store.open(0)


def test_a_column_holds_bytes_or_paths_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(9))
    features = datasets.Features({"image": datasets.Image(decode=False), "other": datasets.Value("int64")})
    rows = [{"bytes": png(5), "path": None}, {"bytes": None, "path": str(tmp_path / "b.png")}, None]
    table = datasets.Dataset.from_dict({"image": rows, "other": [1, 2, 3]}, features=features)
    store = ColumnImages(table, "image", "train")
    assert len(store) == 3
    assert [store.open(row).getpixel((0, 0)) for row in (0, 1)] == [5, 9]
    assert store.name(2) == "image in row 2 of the train split"
    with pytest.raises(ValueError, match="holds no image"):
        store.open(2)


def test_a_program_in_a_column_of_images_is_not_run() -> None:
    features = datasets.Features({"image": datasets.Image(decode=False)})
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n{} loop\n%%EOF\n"
    rows = [{"bytes": script, "path": path} for path in (None, "a.png", "a.eps")]
    store = ColumnImages(datasets.Dataset.from_dict({"image": rows}, features=features), "image", "train")
    for row in range(2):
        with pytest.raises(UnidentifiedImageError):
            store.open(row)
    with pytest.raises(ValueError, match=r"no decoder for \.eps"):
        store.open(2)
