"""Records outside of any data set, in the form that a network wants: pictures, sounds, rows of tables."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from wcord.checks import UsageError, require_file
from wcord.data.augment import to_unit
from wcord.data.config import Known
from wcord.data.formats import open_picture, picture_endings
from wcord.data.images import BadImageError, Form, Frame, decode, kind_of, open_upright
from wcord.data.limits import read_whole
from wcord.data.memory import resize_all
from wcord.data.sources import audio, table
from wcord.data.sources.table_file import READERS
from wcord.data.walk import Kind, PassedOver, files_below, pictures

TABLES = Kind("table", frozenset(READERS), ".csv, .parquet")


def kind_of_records(shape: tuple[int, int, int], *, sounds: bool | None = None) -> Kind:
    """Return which files hold what a network was trained on.

    Args:
        shape: channels, height and width of a record.
        sounds: whether records are sounds; None where the network's file does not say it.
    """
    if shape[2] == 1:  # only a row of a table is one number wide
        return TABLES
    if sounds is None and shape == (1, audio.WINDOW // 2, audio.FRAMES):  # of spectrograms, or of pictures of that size
        both = pictures()
        return Kind(
            "image or sound", both.endings | audio.SOUNDS.endings, ".png, .wav",
            lambda path: both.by_content(path) or audio.SOUNDS.by_content(path),
        )  # fmt: skip
    return audio.SOUNDS if sounds else pictures()


def find_files(paths: Sequence[Path], kind: Kind, passed: PassedOver) -> list[Path]:
    """Return the files that are named, whatever they are, and those of a kind below folders, in order of name.

    Raises:
        UsageError: where a path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            here = PassedOver()
            inside = files_below(path, kind, here)
            if not inside:
                held = f" but other files ({here.by_ending})" if here.endings else ""
                raise UsageError(f"folder {str(path)!r} holds no {kind.noun}s{held}: name another")
            found += inside
            passed.add(here)
        else:
            found.append(require_file(path, "file"))
    return found


def require_single_records(shape: tuple[int, int, int], columns: Sequence[str]) -> None:
    """Raise unless a network sees one row of a table at a time, of columns that are known, or pictures or sounds."""
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
        path: the file; one of unknown suffix is taken for a picture.
        shape: channels, height and width of a record; a picture keeps the channels that it has.
        columns: of a table, in the order that the network knows; none where it sees no table.
        known: of a table, what the file of the network says of the one that it was trained on.
        fraction: share of a resized picture's side that is kept in its middle.
        sounds: whether the network was trained on sounds, so that one of another size is resized as they were; None
            where its file does not say it.

    Raises:
        UsageError: a file that cannot be read, or that is not of the kind that the network was trained on.
    """
    require_single_records(shape, columns)
    kind = _kind_of(path)
    wanted = kind_of_records(shape, sounds=sounds).noun
    if kind not in wanted and not (sounds is None and {kind, wanted} == {"sound", "image"}):  # its size will tell
        raise UsageError(f"{kind} {str(path)!r} is not what the network was trained on: it is for {wanted}s")
    if kind == "table":
        rows = table.read_rows(path, columns, known or Known())
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


def _kind_of(path: Path) -> str:
    """Return what a file holds; one that does not say it is taken for an image."""
    ending = path.suffix.lower()
    if ending in TABLES.endings:
        return TABLES.noun
    return audio.SOUNDS.noun if ending not in picture_endings() and audio.SOUNDS.counts(path) else "image"


def read_picture(path: Path, frame: Frame) -> Tensor:
    """Return one picture as floats in [0, 1], fitted to a frame: 1×1×H×W of a gray one, 1×3×H×W of any other.

    Raises:
        UsageError: where the file is no picture, or is damaged.
    """
    name = f"picture {str(path)!r}"
    try:
        image = open_upright(lambda: open_picture(read_whole(path), path.name), name)
        pixels = decode(image, Form(kind_of(image.mode), frame.height, frame.width, frame.fraction))
    except BadImageError as error:
        raise UsageError(f"{name} cannot be read ({error}): leave it out") from None
    return to_unit(torch.from_numpy(pixels.copy()).unsqueeze(0))
