"""Single records for prediction, in the form of a network's input: pictures, sounds, rows of tables."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from wcord.checks import UsageError
from wcord.data.augment import to_unit
from wcord.data.config import Known
from wcord.data.formats import open_picture, picture_endings
from wcord.data.images import BadImageError, Form, Frame, decode, kind_of, open_upright
from wcord.data.limits import read_whole
from wcord.data.memory import resize_all
from wcord.data.sources import audio, table
from wcord.data.sources.table_file import READERS
from wcord.data.walk import FileKind, Skipped, files_below, pictures
from wcord.paths import require_file

TABLES = FileKind("table", frozenset(READERS), ".csv, .parquet")


def kind_of_records(shape: tuple[int, int, int], *, sounds: bool | None = None) -> FileKind:
    """Return the kind of files that a network was trained on.

    Args:
        shape: channels, height and width of a record.
        sounds: whether records are sounds; None where the weights file does not say.
    """
    if shape[2] == 1:  # only a row of a table is one number wide
        return TABLES
    if sounds is None and shape == (1, audio.WINDOW // 2, audio.FRAMES):  # spectrograms, or pictures of that size
        both = pictures()
        return FileKind(
            "image or sound", both.endings | audio.SOUNDS.endings, ".png, .wav",
            lambda path: both.by_content(path) or audio.SOUNDS.by_content(path),
        )  # fmt: skip
    return audio.SOUNDS if sounds else pictures()


def find_files(paths: Sequence[Path], kind: FileKind, total: Skipped) -> list[Path]:
    """Return all named files, and those of one kind below named folders, in order of name.

    Raises:
        UsageError: a path does not exist, or a folder holds no such file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            skipped = Skipped()
            inside = files_below(path, kind, skipped)
            if not inside:
                instead = f" but other files ({skipped.by_ending})" if skipped.endings else ""
                raise UsageError(f"folder {str(path)!r} holds no {kind.noun}s{instead}: name another")
            files += inside
            total.add(skipped)
        else:
            files.append(require_file(path, "file"))
    return files


def require_single_records(shape: tuple[int, int, int], columns: Sequence[str]) -> None:
    """Raise unless a network sees pictures, sounds or single rows of a table with known columns."""
    if shape[2] == 1 and (not columns or shape[1] > 1):
        reason = "several visits of a subject" if shape[1] > 1 else "a table, but not of which columns"
        raise UsageError(f"the network sees {reason}: use wcord evaluate, which groups and names them")


def read_records(
    path: Path,
    shape: tuple[int, int, int],
    columns: Sequence[str] = (),
    known: Known | None = None,
    *,
    fraction: float = 1.0,
    sounds: bool | None = None,
) -> dict[str, Tensor]:
    """Return the records of a file by name, 1×C×H×W each: one picture or sound, or each row of a table.

    Args:
        path: the file; one of unknown suffix is read as a picture.
        shape: channels, height and width of a record; a picture keeps the channels that it has.
        columns: of a table, in the order of the network's input; empty for other networks.
        known: what the weights file says about the training table.
        fraction: share of a resized picture's side that is kept in its center.
        sounds: whether the network was trained on sounds, which are then resized in the same way; None where its file
            does not say.

    Raises:
        UsageError: an unreadable file, or one of a kind that the network was not trained on.
    """
    require_single_records(shape, columns)
    kind = _kind_of(path)
    expected = kind_of_records(shape, sounds=sounds).noun
    if kind not in expected and not (sounds is None and {kind, expected} == {"sound", "image"}):  # its size decides
        raise UsageError(f"{kind} {str(path)!r} is not what the network was trained on: it is for {expected}s")
    if kind == "table":
        rows = table.read_rows(path, columns, known or Known())
        return {f"{path}, row {number}": row.unsqueeze(0) for number, row in enumerate(rows, start=1)}
    if kind == "sound":
        record = torch.from_numpy(audio.spectrogram(path)).unsqueeze(0)
        if sounds:
            record = resize_all(record, Frame(shape[1], shape[2], fraction))
        elif record.shape[1:] != shape:
            sizes = "×".join(map(str, record.shape[1:])), "×".join(map(str, shape))
            raise UsageError(f"sound {str(path)!r} becomes {sizes[0]}, but the network needs {sizes[1]}")
        return {str(path): to_unit(record)}
    return {str(path): read_picture(path, Frame(shape[1], shape[2], fraction))}


def _kind_of(path: Path) -> str:
    """Return the kind of a file; one of unknown kind is an image."""
    ending = path.suffix.lower()
    if ending in TABLES.endings:
        return TABLES.noun
    return audio.SOUNDS.noun if ending not in picture_endings() and audio.SOUNDS.matches(path) else "image"


def read_picture(path: Path, frame: Frame) -> Tensor:
    """Return one picture as floats in [0, 1], fitted to a frame: 1×1×H×W if gray, else 1×3×H×W.

    Raises:
        UsageError: the file is no picture, or is damaged.
    """
    name = f"picture {str(path)!r}"
    try:
        image = open_upright(lambda: open_picture(read_whole(path), path.name), name)
        pixels = decode(image, Form(kind_of(image.mode), frame.height, frame.width, frame.fraction))
    except BadImageError as error:
        raise UsageError(f"{name} cannot be read ({error}): leave it out") from None
    return to_unit(torch.from_numpy(pixels.copy()).unsqueeze(0))
