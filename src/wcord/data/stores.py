"""Stores of undecoded images: files in folders, or a column of a table."""

import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wcord.data.formats import open_picture
from wcord.data.limits import read_whole

if TYPE_CHECKING:
    import datasets


class ImageStore(ABC):
    """Images by row number, opened on request; safe to read from several threads and processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def open(self, row: int) -> Image.Image:
        """Open the image in `row`; raises as Pillow does."""

    @abstractmethod
    def name(self, row: int) -> str:
        """Return the name of the image in `row`, for a message."""

    @abstractmethod
    def encoded(self, row: int) -> bytes:
        """Return the stored bytes of the image in `row`; empty if it cannot be read."""

    @abstractmethod
    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stored sizes of some images in bytes, without reading them; −1: unknown."""

    def relative_names(self) -> Sequence[str]:
        """Return names of the images that do not depend on the folder of the data; empty if images have no names."""
        return ()


class FileImages(ImageStore):
    """Image files."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, row: int) -> Image.Image:
        """Read the whole file, so that no descriptor stays open."""
        path = Path(self.paths[row])
        return open_picture(read_whole(path), path.name)

    def name(self, row: int) -> str:
        """Give the file's path."""
        return f"image {self.paths[row]!r}"

    def encoded(self, row: int) -> bytes:
        """Read the file."""
        return _read(self.paths[row])

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ask the file system."""
        return np.array([_size(self.paths[row]) for row in rows], np.int64)

    def relative_names(self) -> Sequence[str]:
        """Give the paths below the folder that holds all files, in one Unicode form, with `/` on every system."""
        # The common folder of the first and the last path in alphabetic order is common to all.
        shared = os.path.commonpath({os.path.dirname(end) for end in (min(self.paths), max(self.paths))})
        start = len(os.path.join(shared, ""))
        return [unicodedata.normalize("NFC", path[start:].replace(os.sep, "/")) for path in self.paths]


class ColumnImages(ImageStore):
    """The image column of a Hugging Face table, holding encoded bytes or paths (`datasets.Image(decode=False)`)."""

    def __init__(self, table: "datasets.Dataset", column: str, split: str) -> None:
        self.table = table.select_columns([column])
        self.column = column
        self.split = split

    def __len__(self) -> int:
        return len(self.table)

    def open(self, row: int) -> Image.Image:
        """Open the bytes in the table or, where there are none, the file that it names."""
        value: dict[str, Any] = self.table[row][self.column] or {}
        name, content = value.get("path") or "", value.get("bytes")
        if content is None and not name:
            raise ValueError("the row holds no image")
        return open_picture(read_whole(name) if content is None else content, Path(name).name)

    def name(self, row: int) -> str:
        """Give the row number in its split, which counts from 0."""
        return f"image in row {row} of the {self.split} split"

    def encoded(self, row: int) -> bytes:
        """Return the bytes in the table or those of the file that it names."""
        value: dict[str, Any] = self.table[row][self.column] or {}
        content = value.get("bytes")
        return _read(value.get("path") or "") if content is None else content

    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the lengths that the table keeps; the sizes of files that it names are unknown."""
        from pyarrow import compute  # comes with datasets, which takes a second to load

        column = self.table.with_format("arrow")[:][self.column]
        content = compute.call_function("struct_field", [column], compute.StructFieldOptions(["bytes"]))
        lengths = compute.call_function("binary_length", [content]).fill_null(-1)
        return lengths.to_numpy().astype(np.int64)[rows]


def _read(path: str) -> bytes:
    with suppress(OSError, ValueError):
        return read_whole(path)
    return b""


def _size(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_size
    return -1
