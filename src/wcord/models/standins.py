"""Harmless stand-ins for the classes that a pickle names, so that its tensors can be read and nothing in it is run."""

import sys
from collections import OrderedDict
from typing import Any

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
"""What a pickle may call by name beside classes of other libraries: data and no deeds."""


class Opaque(list[Any]):
    """Stands where an object stood that is of no interest; whatever it is told, it forgets.

    A list, since the reader appends to lists alone.
    """

    def __new__(cls, *args: object, **named: object) -> "Opaque":
        """Return an empty one, whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        """Forget the state."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it may be a key of a dictionary
        return id(self)


class _NotCalled(type):
    """Of a class that an object may be of, but that may not be called: a call could be meant to do something."""

    def __call__(cls, *args: object, **named: object) -> Any:
        raise CalledError(cls.__name__)


class CalledError(Exception):
    """A pickle calls what may not be called; its only argument is the name."""


def stand_in(name: str, *, mappings: bool) -> Any:
    """Return what takes the place of a class or function that a pickle names, or None where the file is refused.

    Classes of the standard library that only hold data, and those of any other library, get a stand-in; the named
    module is never imported. A function of another library may be named, but not called.

    Args:
        name: as the pickle says it, `argparse.Namespace`.
        mappings: whether objects become dictionaries, so that tensors in them are found, or are forgotten.

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
