"""Where undecoded images lie: files in folders, or a column of a table."""

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
    """Images by row number, each opened when asked for; safe to read from several threads and processes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def open(self, row: int) -> Image.Image:
        """Open the image in `row`; fails as Pillow does where there is none."""

    @abstractmethod
    def name(self, row: int) -> str:
        """Say which image `row` is, for a message."""

    @abstractmethod
    def encoded(self, row: int) -> bytes:
        """Return the image in `row` as it is stored; nothing where it cannot be read."""

    @abstractmethod
    def sizes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of bytes of some images as they are stored, unread; −1 where that is unknown."""

    def relative_names(self) -> Sequence[str]:
        """Return a name of each image that does not depend on where the data lie; none where images have no names."""
        return ()


class FileImages(ImageStore):
    """Image files."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, row: int) -> Image.Image:
        """Open the file, reading all of it, so that no descriptor stays open."""
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
        # What the first and the last in the order of the alphabet share, all share.
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
        """Return the lengths that the table keeps; those of files that it names are not looked up."""
        from pyarrow import compute  # comes with datasets, which takes a second to load

        column = self.table.with_format("arrow")[:][self.column]
        held = compute.call_function("struct_field", [column], compute.StructFieldOptions(["bytes"]))
        lengths = compute.call_function("binary_length", [held]).fill_null(-1)
        return lengths.to_numpy().astype(np.int64)[rows]


def _read(path: str) -> bytes:
    with suppress(OSError, ValueError):
        return read_whole(path)
    return b""


def _size(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_size
    return -1
