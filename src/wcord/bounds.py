"""Allowed values of a field: declared in its annotation, and checked by one schema layer for all sources.

A field of a configuration reads `epochs: Annotated[int, Bounds(1)] = 240`. `read` builds any dataclass from TOML
and JSON values: cards, records, suites; `checked` does the same for an instance, and `convert` for one value.

Libraries for this coerce (cattrs reads "no" as true and "abc" as three names) or word their own messages (pydantic), so
that each type would need a hook, and each error a translation: more code than `convert`. Imports no torch.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast

from wcord.checks import LARGEST_SIDE, LEAST_STD, UsageError, require_number, shown, unknown
from wcord.paths import require_short_names

Configuration = TypeVar("Configuration")

KINDS = {str: "text", Path: "a path", bool: "true or false", dict: "a table"}
"""Names of types in messages."""


@dataclass(frozen=True)
class Bounds:
    """The interval of a number. NaN and infinity are always refused.

    Attributes:
        low: least value.
        high: largest value, or the name of a setting with that value.
        above: lower limit, not itself allowed.
        below: upper limit, not itself allowed.
    """

    low: float | None = None
    high: float | str | None = None
    above: float | None = None
    below: float | None = None

    def check(self, name: str, value: Any, others: Mapping[str, Any], *, whole: bool) -> None:
        """Raise unless the value is a number, or a whole number, in the interval."""
        high = None if isinstance(self.high, str) else self.high
        require_number(name, value, low=self.low, high=high, above=self.above, below=self.below, whole=whole)
        if isinstance(self.high, str) and value > others.get(self.high, value):
            raise UsageError(
                f"{name} must be at most {self.high}, which is {shown(others[self.high])}, received {shown(value)}"
            )


@dataclass(frozen=True)
class Ascending:
    """A list of increasing numbers."""

    def check(self, name: str, value: Any, others: Mapping[str, Any]) -> None:
        """Raise if a number is not larger than the one before it."""
        if any(first >= second for first, second in pairwise(value)):
            raise UsageError(f"{name} must rise from each number to the next, received {shown(value)}")


@dataclass(frozen=True)
class Text:
    """Text or a path that is not empty.

    Attributes:
        pattern: regular expression for the whole text.
        expected: the same in words, for the message.
        may_be_empty: whether "" is allowed.
    """

    pattern: str | None = None
    expected: str = ""
    may_be_empty: bool = False

    def check(self, name: str, value: Any, others: Mapping[str, Any]) -> None:
        """Raise on empty text, a null character, or text that does not match."""
        text = str(value)
        if not text.strip() and not self.may_be_empty:
            raise UsageError(f"{name} must not be empty: give a value, or leave it out")
        if "\0" in text:
            raise UsageError(f"{name} must not hold a null character, received {shown(text)}")
        if self.pattern is not None and not re.fullmatch(self.pattern, text):
            raise UsageError(f"{name} must be {self.expected}, received {shown(text)}")


@dataclass(frozen=True)
class SameLength:
    """A list with as many numbers as another setting, if both are set."""

    other: str

    def check(self, name: str, value: Any, others: Mapping[str, Any]) -> None:
        """Raise if the lengths differ."""
        partner = others.get(self.other)
        if partner is not None and len(partner) != len(value):
            raise UsageError(
                f"{self.other} and {name} must have one number a channel each, received {len(partner)} and {len(value)}"
            )


@dataclass(frozen=True)
class OnlyWith:
    """A setting that has an effect only with a certain value of another.

    Attributes:
        other: name of the other setting.
        value: its required value.
        default: the default of the setting itself.
    """

    other: str
    value: object
    default: object

    def check(self, name: str, value: Any, others: Mapping[str, Any]) -> None:
        """Raise if the setting differs from its default but has no effect."""
        if value != self.default and others.get(self.other, self.value) != self.value:
            raise UsageError(
                f"{name} has no effect with {self.other} = {others[self.other]}, received {shown(value)}: "
                f"leave it out, or use {self.other} = {self.value}"
            )


@dataclass(frozen=True)
class Check:
    """A rule of a single field: a function that takes its name and value, and may raise."""

    function: Callable[[str, Any], None]

    def check(self, name: str, value: Any, others: Mapping[str, Any]) -> None:
        """Raise if the function does."""
        self.function(name, value)


Device = Annotated[str, Text(r"auto|cpu|mps|cuda(:\d{1,4})?", "auto, cpu, cuda, cuda:1 (the second GPU) or mps")]
Minutes = Annotated[float, Bounds(above=0)]
Name = Annotated[str, Text()]
OptionalName = Annotated[str, Text(may_be_empty=True)]
"""A name, or "" to override another place's name by none."""
File = Annotated[Path, Text()]
Seed = Annotated[int, Bounds(-(2**63), 2**63 - 1)]
"""A signed integer of 64 bits, as TOML and PyTorch's generators take it."""
Side = Annotated[int, Bounds(1, LARGEST_SIDE)]
SideOrSides = Side | Annotated[str, Text(r"[1-9]\d{0,3}(x[1-9]\d{0,3})?", "a number of pixels, or HEIGHTxWIDTH")]
Workers = Annotated[int, Bounds(0, 1024)]
Mean = tuple[Annotated[float, Bounds()], ...]
"""Any finite numbers: columns of a table have all kinds of units."""
Deviation = tuple[Annotated[float, Bounds(LEAST_STD)], ...]


def checked(settings: Configuration) -> Configuration:
    """Return a configuration with every field, also nested ones, converted to its type and checked.

    Args:
        settings: an instance of a dataclass whose fields declare bounds.

    Raises:
        UsageError: a value is wrong; the message names the field, the allowed values and the value received.

    >>> @dataclass(frozen=True)
    ... class Course:
    ...     epochs: Annotated[int, Bounds(1)] = 240
    ...     warmup_epochs: Annotated[float, Bounds(0, "epochs")] = 0.0
    >>> checked(Course(epochs=2, warmup_epochs=1))
    Course(epochs=2, warmup_epochs=1.0)
    >>> checked(Course(epochs=2, warmup_epochs=3))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: warmup_epochs must be at most epochs, which is 2, received 3.0
    """
    return dataclasses.replace(cast(Any, settings), **_fields(type(settings), vars(settings)))


def read(kind: type[Configuration], values: object, what: str, *, newer: bool = False) -> Configuration:
    """Return a dataclass from a table of plain TOML or JSON values.

    Args:
        kind: the dataclass, with types and bounds in its annotations.
        values: field name → value.
        what: description of the table, for messages.
        newer: whether to ignore unknown names, which a newer version may have written.

    Raises:
        UsageError: the table has an unknown name, lacks one, or holds a value of a wrong type or out of bounds.

    >>> @dataclass(frozen=True)
    ... class Course:
    ...     epochs: Annotated[int, Bounds(1)]
    ...     stages: tuple[str, ...] = ()
    >>> read(Course, {"epochs": 2, "stages": ["a", "b"]}, "course")
    Course(epochs=2, stages=('a', 'b'))
    >>> read(Course, {"epochs": 2, "stage": "a"}, "course")
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: unknown entry of course 'stage': did you mean 'stages'? Known: epochs, stages
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{what} must be a table, received {shown(values)}")
    fields = {item.name: item for item in dataclasses.fields(cast(Any, kind))}
    strange = [name for name in values if name not in fields]
    if strange and not newer:
        raise unknown(f"entry of {what}", strange[0], fields)
    required = [name for name, item in fields.items() if item.default is item.default_factory is dataclasses.MISSING]
    if missing := [name for name in required if name not in values]:
        raise UsageError(f"{what} lacks {', '.join(missing)}")
    return kind(**_fields(kind, {name: values[name] for name in fields if name in values}))


def _fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of fields, converted and checked, also against each other."""
    hints = typing.get_type_hints(kind, include_extras=True)
    converted = {name: convert(name, value, hints[name]) for name, value in values.items()}
    for name, value in converted.items():
        convert(name, value, hints[name], converted)
    return converted


def convert(name: str, value: Any, hint: Any, others: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return one value, converted to its setting's type and checked.

    Args:
        name: name of the setting, for messages.
        value: value from a recipe, the command line or a caller.
        hint: the annotation of the setting.
        others: the other settings by name; a rule whose setting is missing is skipped.

    Raises:
        UsageError: the value is wrong; the message names the setting, the allowed values and the value received.

    >>> convert("shots", [5, 10], tuple[Annotated[int, Bounds(1)], ...])
    (5, 10)
    """
    options = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is Annotated:
        for rule in options[1:]:
            if isinstance(rule, Bounds):
                rule.check(name, value, others, whole=options[0] is int)
        converted = convert(name, value, options[0], others)
        for rule in options[1:]:
            if isinstance(rule, Text | Ascending | SameLength | OnlyWith | Check):
                # Path("") is the current folder, no longer empty.
                rule.check(name, value if isinstance(converted, Path) else converted, others)
        return converted
    if origin is Literal:
        if value not in options:
            raise UsageError(f"{name} must be one of {', '.join(map(str, options))}, received {shown(value)}")
        return value
    if origin in (tuple, list):
        return origin(_items(name, value, options, others))
    if origin in (dict, Mapping):
        return {key: convert(f"{name}.{key}", item, options[1]) for key, item in _as_type(name, value, dict).items()}
    if origin in (Union, UnionType):
        kinds = [option for option in options if option is not NoneType]
        if value is None and len(kinds) < len(options):
            return None
        return convert(name, value, next((kind for kind in kinds if _plain(kind) is type(value)), kinds[0]), others)
    return _as_type(name, value, hint)


def _items(name: str, value: Any, options: Sequence[Any], others: Mapping[str, Any]) -> list[Any]:
    """Return the items of a list, converted: all of one type, or each of the type at its place."""
    fixed = Ellipsis not in options and len(options) > 1
    if not isinstance(value, list | tuple) or (fixed and len(value) != len(options)):
        raise UsageError(f"{name} must be a list{f' of {len(options)}' if fixed else ''}, received {shown(value)}")
    kinds = options if fixed else [options[0]] * len(value)
    return [convert(name, item, kind, others) for item, kind in zip(value, kinds, strict=True)]


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _as_type(name: str, value: Any, kind: Any) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return checked(value) if isinstance(value, cast(type, kind)) else read(cast(type, kind), value, name)
    if kind is Path and isinstance(value, str | Path):
        require_short_names(name, value)
        return Path(value)
    if kind in (int, float):
        require_number(name, value, whole=kind is int)
        return kind(value)
    if not isinstance(value, kind):
        raise UsageError(f"{name} must be {KINDS.get(kind, kind.__name__)}, received {shown(value)}")
    return value
