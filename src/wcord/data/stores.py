"""Where undecoded images lie: files in folders, or a column of a table."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from wcord.data.formats import open_picture

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


class FileImages(ImageStore):
    """Image files."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = [str(path) for path in paths]

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, row: int) -> Image.Image:
        """Open the file, reading all of it, so that no descriptor stays open."""
        path = Path(self.paths[row])
        return open_picture(path.read_bytes(), path.name)

    def name(self, row: int) -> str:
        """Give the file's path."""
        return f"image {self.paths[row]!r}"


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
        value = self.table[row][self.column]
        if value is None:
            raise ValueError("the row holds no image")
        name = value["path"] or ""
        content = Path(name).read_bytes() if value["bytes"] is None else value["bytes"]
        return open_picture(content, Path(name).name)

    def name(self, row: int) -> str:
        """Give the row number in its split, which counts from 0."""
        return f"image in row {row} of the {self.split} split"
