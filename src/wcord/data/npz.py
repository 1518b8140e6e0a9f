"""Arrays of a NumPy archive, of which no header may promise more than the file holds."""

import zipfile
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


SINGLE = b"\x93NUMPY"
"""Begins a file of one array."""


class DamagedError(ValueError):
    """An archive that cannot be read; the text is the reason."""


def read_npz(path: Path) -> Arrays:
    """Return all arrays of an archive by name; nothing in it is run.

    Raises:
        DamagedError: it is no archive, is damaged, holds objects, or needs more memory than there is.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(SINGLE)) == SINGLE:
                raise DamagedError("it holds one array without a name")
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            for entry in entries:
                _require_honest(archive, entry)
        if not entries:
            raise DamagedError("it holds no arrays")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except DamagedError:
        raise
    except MemoryError:
        raise DamagedError("its arrays do not fit into memory") from None
    except Exception as error:  # damaged archives raise nearly anything: of zipfile, zlib, NumPy's parser of headers
        raise DamagedError((str(error).splitlines() or [type(error).__name__])[0][:200]) from None


def _require_honest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Raise where an array's header speaks of more bytes than follow it: NumPy makes room for all of them first."""
    form = np.lib.format
    with archive.open(entry) as opened:
        file = cast("IO[bytes]", opened)
        version = form.read_magic(file)
        header = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, _, kind = header(file)
        size = kind.itemsize
        for length in shape:
            size *= length
        if size > entry.file_size:
            raise DamagedError(f"{entry.filename} says that it is {size:,} bytes, and is {entry.file_size:,}")
