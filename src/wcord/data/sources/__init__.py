"""Data sources, one file each: `registry` is the table that names them, and each reader returns a `samples.Source`.

`arrays` reads npz files and digits; `folder` class folders of pictures, whose places `layout` finds, and `audio` those
of sounds; `huggingface` the hub and parquet folders, whose files `parquet_files` sorts into splits; `torchvision_sets`
the data sets of torchvision; `table` tables of numbers. A table is read in this order: `table_file` (encoding,
separator, header), `number_formats` (decimal commas, percent signs), `identifiers` (columns to leave out) and
`table_columns` (numbers, gaps and categories).
"""

import warnings
from importlib import import_module


def __getattr__(name: str) -> object:
    """Return a name that earlier versions had here, with a warning."""
    if name not in ("from_arrays", "open_data"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"import {name} from wcord.data", DeprecationWarning, stacklevel=2)
    return getattr(import_module("wcord.data"), name)
