"""Reads the tensors in any weights file without running code from the file.

Where a pickle names classes, harmless stand-ins take their place.
"""

import pickle
import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wcord.checks import UsageError
from wcord.paths import require_file
from wcord.seal import damage_of_tensors

PLAIN = frozenset(
    f"{module}.{name}"
    for module, names in {
        "_codecs": ("encode",),
        "argparse": ("Namespace",),
        "builtins": ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "object", "slice", "str", "tuple"),
        "collections": ("Counter", "OrderedDict", "defaultdict", "deque"),
        "copyreg": ("_reconstructor",),
        "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
        "decimal": ("Decimal",),
        "fractions": ("Fraction",),
        "numpy": ("dtype", "ndarray"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.numeric": ("_frombuffer",),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy.core.numeric": ("_frombuffer",),
        "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
        "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
        "pathlib._local": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
        "types": ("SimpleNamespace",),
        "uuid": ("UUID",),
    }.items()
    for name in names
)
"""Names that a pickle may call, in addition to classes of other libraries: they only hold data."""


class Opaque(list[Any]):
    """Takes the place of an irrelevant object and ignores all data.

    A list, since the reader only appends to lists.
    """

    def __new__(cls, *args: object, **named: object) -> "Opaque":
        """Return an empty one for any arguments."""
        return super().__new__(cls)

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it may be a key of a dictionary
        return id(self)


class _NotCalled(type):
    """Type of stand-ins that may be named but not called, since a call could have an effect."""

    def __call__(cls, *args: object, **named: object) -> Any:
        raise CalledError(cls.__name__)


class CalledError(Exception):
    """A pickle calls a forbidden name, which is the only argument."""


def stand_in(name: str, *, mappings: bool) -> Any:
    """Return a stand-in for a class or function that a pickle names, or None if the file is refused.

    Data classes of the standard library, and all classes of other libraries, get a stand-in; the named module is never
    imported. A function of another library may be named, but not called.

    Args:
        name: as in the pickle, `argparse.Namespace`.
        mappings: turn objects into dictionaries, so that tensors in them are found; else they are ignored.

    >>> stand_in("argparse.Namespace", mappings=True)(lr=0.1)
    OrderedDict()
    >>> stand_in("os.system", mappings=True) is None
    True
    """
    module, _, attribute = name.rpartition(".")
    if name in PLAIN or (module == "numpy.dtypes" and attribute.endswith("DType")):
        inert = module.startswith("numpy") or not mappings
    elif module.partition(".")[0] in sys.stdlib_module_names or not module:
        return None
    else:
        inert = not mappings
    kind = type if name in PLAIN or attribute[:1].isupper() else _NotCalled
    if inert:
        return kind(name, (Opaque,), {})
    return kind(name, (), {"__new__": lambda cls, *args, **named: OrderedDict()})


DEPTH = 4
"""Depth of nested dictionaries in which state dicts are searched."""
KINDS = 200
"""Largest number of classes that a checkpoint may name."""
SPARE = 2**20
"""Bytes that the content of a file may take beyond its size."""


def read_states(path: str | Path) -> dict[str, dict[str, Tensor]]:
    """Return all state dicts in a file, on the CPU, by their place in it ("" for the whole file).

    Reads safetensors (by the file's suffix) and files of `torch.save`: a state dict, alone or in a checkpoint with
    other content (arguments, NumPy's numbers, objects of other libraries), which is ignored.

    Raises:
        UsageError: the file is missing, empty, damaged, holds no weights, or can only be read by running its code.
    """
    file = require_file(path, "weights file")
    if file.stat().st_size == 0:
        raise UsageError(f"weights file {str(path)!r} is empty: copy or download it again")
    if file.suffix == ".safetensors":
        return {"": read_safetensors(file)}
    _require_stored(file)
    content, replaced = _read_pickle(file)
    states = dict(_states(content, ""))
    for place, state in states.items():
        for key, value in state.items():
            _require_plain(file, f"{place}.{key}" if place else key, value)
    if states:
        return states
    if replaced:  # a network as an object, most likely
        raise _refused(file, replaced[0])
    raise UsageError(
        f"weights file {str(path)!r} holds no state dict: save one with torch.save(model.state_dict(), path)"
    )


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, checked against their digest if it has one.

    Raises:
        UsageError: the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata, state = file.metadata(), file.get_tensors()
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    damage = damage_of_tensors(metadata, state)
    if damage is not None:
        raise damaged(path, ValueError(damage))
    return state


def damaged(path: Path, error: Exception) -> UsageError:
    """Return the error for a truncated or damaged file."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UsageError(
        f"weights file {str(path)!r} is truncated, damaged or no weights file ({reason}): copy or download it again"
    )


def _states(content: object, place: str, depth: int = DEPTH) -> "list[tuple[str, dict[str, Tensor]]]":
    """Return (place, tensors) of each dictionary from names to tensors, outer ones first."""
    if not isinstance(content, Mapping):
        return []
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    states = [(place, tensors)] if tensors else []
    if depth:
        for key, value in named.items():
            states += _states(value, f"{place}.{key}" if place else key, depth - 1)
    return states


def _require_stored(path: Path) -> None:
    """Raise if a file of torch.save is compressed, which it never is, and would take far more memory than disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # old format, or damaged, which is reported later
    if size > path.stat().st_size + SPARE:
        raise damaged(path, ValueError(f"it would take {size:,} bytes of memory"))


def _require_plain(path: Path, key: str, tensor: Tensor) -> None:
    """Raise if a tensor cannot be copied into a network, or is far larger than the file."""
    kind = None
    if tensor.is_meta:
        kind = "without its values (on the meta device)"
    elif tensor.is_quantized:
        kind = "quantized"
    elif tensor.is_nested or tensor.layout != torch.strided:
        kind = "sparse or nested"
    elif tensor.numel() * tensor.element_size() > path.stat().st_size + SPARE:
        kind = f"as one value repeated to shape {tuple(tensor.shape)}"
    if kind is not None:
        raise UsageError(
            f"weights file {str(path)!r} holds {key!r} {kind}: save a state dict of ordinary tensors with "
            "torch.save(model.state_dict(), path)"
        )


def _read_pickle(path: Path) -> tuple[object, list[str]]:
    """Return the content of a file of torch.save, and the classes that were replaced by stand-ins."""
    try:
        return _load(path, mappings=True)
    except _UnsuitedError:
        return _load(path, mappings=False)


class _UnsuitedError(Exception):
    """An object is no dictionary, so that it needs another stand-in."""


def _load(path: Path, *, mappings: bool) -> tuple[object, list[str]]:
    replaced: dict[str, Any] = {}
    while True:
        try:
            known: list[Any] = [(standin, name) for name, standin in replaced.items()]
            with torch.serialization.safe_globals(known), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch warns about old files
                return torch.load(path, map_location="cpu", weights_only=True), list(replaced)
        except pickle.UnpicklingError as error:
            name = _named(error)
            if name is None and replaced and mappings:
                raise _UnsuitedError from error
            whole = "persistent_load" in str(error)  # an old file of a network as an object
            if name is None and not whole and not zipfile.is_zipfile(path):
                raise damaged(path, ValueError("not what torch.save writes")) from error
            standin = None if name is None or name in replaced else stand_in(name, mappings=mappings)
            if name is None or standin is None or len(replaced) == KINDS:
                raise _refused(path, name or "more than tensors") from error
            replaced[name] = standin
        except CalledError as error:
            raise _refused(path, str(error)) from error
        except Exception as error:  # damaged pickles raise nearly anything
            if mappings and replaced and isinstance(error, (AttributeError, TypeError, ValueError)):
                raise _UnsuitedError from error
            if "TorchScript" in str(error) or ".tar format" in str(error):
                raise _refused(path, "TorchScript or a very old format") from error
            if isinstance(error, (KeyError, IndexError, AttributeError, TypeError)):  # the reader itself stumbled
                raise damaged(path, ValueError("not what torch.save writes")) from error
            # After the first sentence, PyTorch's reason gives advice on its internals.
            reason = str(error).split(". ")[0] or "not what torch.save writes"
            raise damaged(path, ValueError(reason)) from error


def _named(error: pickle.UnpicklingError) -> str | None:
    """Return the class or function at which PyTorch's reader stopped; it omits the module of builtins."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error))
    if match is None:
        return None
    return match[1] if "." in match[1] else f"builtins.{match[1]}"


def _refused(path: Path, what: str) -> UsageError:
    return UsageError(
        f"weights file {str(path)!r} is refused: reading it would run code that it names ({what}); where you trust it, "
        "load it in Python yourself and save its state dict with torch.save(model.state_dict(), path)"
    )
