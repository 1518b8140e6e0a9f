"""Records outside of any data set, in the form that a network wants: pictures, sounds, rows of tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from wcord.checks import UsageError
from wcord.data import audio, table
from wcord.data.augment import to_unit
from wcord.data.frame import Frame
from wcord.data.images import BadImageError, Form, decode, kind_of, open_upright
from wcord.data.memory import resize_all

PICTURES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN)
SUFFIXES = PICTURES | audio.SUFFIXES | table.READERS.keys()


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files that hold records among paths and below folders, each folder's in order of name.

    Raises:
        UsageError: where a path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
            if not inside:
                raise UsageError(f"folder {str(path)!r} holds no picture, sound or table: name another")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"file {str(path)!r} does not exist: check the path")
    return found


def read_records(
    path: Path,
    shape: tuple[int, int, int],
    columns: Sequence[str] = (),
    categories: Mapping[str, Sequence[str]] | None = None,
    *,
    fraction: float = 1.0,
    sounds: bool = False,
) -> dict[str, Tensor]:
    """Return the records of a file by name, 1×C×H×W each: one picture or sound, or each row of a table.

    Args:
        path: the file; one of unknown suffix is taken for a picture.
        shape: channels, height and width of a record; a picture keeps the channels that it has.
        columns: of a table, in the order that the network knows; none where it sees no table.
        categories: the values that its columns of text may have.
        fraction: share of a resized picture's side that is kept in its middle.
        sounds: whether the network was trained on sounds, so that one of another size is resized as they were.

    Raises:
        UsageError: a file that cannot be read, or that is not of the kind that the network was trained on.
    """
    suffix = path.suffix.lower()
    kind = "table" if suffix in table.READERS else "sound" if suffix in audio.SUFFIXES else "picture"
    # Only a row of a table is one number wide.
    if (kind == "table") != (shape[2] == 1):
        wanted = "rows of tables" if shape[2] == 1 else "pictures or sounds"
        raise UsageError(f"{kind} {str(path)!r} is not what the network was trained on: it is for {wanted}")
    if kind == "table":
        if not columns or shape[1] > 1:
            reason = "several visits of a subject" if shape[1] > 1 else "a table, but not of which columns"
            raise UsageError(f"the network sees {reason}: use wcord evaluate, which groups and names them")
        rows = table.read_rows(path, columns, categories or {})
        return {f"{path}, row {number}": row.unsqueeze(0) for number, row in enumerate(rows, start=1)}
    if kind == "sound":
        record = torch.from_numpy(audio.spectrogram(path)).unsqueeze(0)
        if sounds:
            record = resize_all(record, Frame(shape[1], shape[2], fraction))
        elif record.shape[1:] != shape:
            sizes = "×".join(map(str, record.shape[1:])), "×".join(map(str, shape))
            raise UsageError(f"sound {str(path)!r} becomes {sizes[0]}, but the network wants {sizes[1]}")
        return {str(path): to_unit(record)}
    return {str(path): read_picture(path, Frame(shape[1], shape[2], fraction))}


def read_picture(path: Path, frame: Frame) -> Tensor:
    """Return one picture as floats in [0, 1], fitted to a frame: 1×1×H×W of a grey one, 1×3×H×W of any other.

    Raises:
        UsageError: where the file is no picture, or is damaged.
    """
    name = f"picture {str(path)!r}"
    try:
        image = open_upright(lambda: Image.open(path), name)
        pixels = decode(image, Form(kind_of(image.mode), frame.height, frame.width, frame.fraction))
    except BadImageError as error:
        raise UsageError(f"{name} cannot be read ({error}): leave it out") from None
    return to_unit(torch.from_numpy(pixels.copy()).unsqueeze(0))
