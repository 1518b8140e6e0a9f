"""What follows each option of a command is checked before the parser sees it, so that a mistake names the option."""

import dataclasses
import re
import typing
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

import tyro

from wcord.bounds import convert
from wcord.checks import UsageError, shown
from wcord.training.config import declared_settings

Group = tuple[str | None, list[str], bool]
"""An option (None: none), the words behind it, and whether the first of them was joined to it by `=`."""

NEGATIVE = re.compile(r"-(\d|\.\d|inf|nan)")
_POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]


def require_values(kind: type, arguments: Sequence[str]) -> None:
    """Raise where an option has no value, one too many, or one of another type or out of bounds.

    Args:
        kind: the dataclass of the command.
        arguments: known options and their values, as the user wrote them.

    Raises:
        UsageError: naming the option, what it may be and what was received.
    """
    if "--help" in arguments or "-h" in arguments:
        return
    hints = declared_settings(kind)
    places = [name for name, hint in hints.items() if _POSITIONAL in typing.get_args(hint)]
    free: list[str] = []
    for flag, words, joined in _groups(arguments):
        if flag is None:
            free += words
            continue
        name = flag.removeprefix("--").replace("-", "_")
        free += _require(flag, name, hints[name], words, joined=joined)
    _require_free(places, hints, free)
    if places and not free and not _takes_several(hints[places[0]]) and places[0] in _required(kind):
        raise UsageError(f"missing {places[0].upper()}: name it; --help tells more")


def require_given(kind: type, arguments: Sequence[str]) -> None:
    """Raise where an option that has to be given is missing."""
    flags = {flag.replace("_", "-") for flag, _, _ in _groups(arguments) if flag is not None}
    if "--help" in flags or "-h" in arguments:
        return
    hints = declared_settings(kind)
    for name in _required(kind):
        flag = f"--{name.replace('_', '-')}"
        if _POSITIONAL not in typing.get_args(hints[name]) and flag not in flags:
            raise UsageError(f"missing {flag}: give it; --help tells more")


def _required(kind: type) -> list[str]:
    return [
        item.name for item in dataclasses.fields(kind) if item.default is item.default_factory is dataclasses.MISSING
    ]


def _groups(arguments: Sequence[str]) -> Iterator[Group]:
    group: Group = (None, [], False)
    for argument in arguments:
        if argument.startswith("--"):
            yield group
            flag, equals, value = argument.partition("=")
            group = (flag, [value] if equals else [], bool(equals))
        elif argument.startswith("-") and argument != "-" and not NEGATIVE.match(argument):
            raise UsageError(f"unknown option {argument!r}: options begin with two dashes; --help lists them")
        else:
            group[1].append(argument)
    yield group


def _require(flag: str, name: str, hint: Any, words: list[str], *, joined: bool) -> list[str]:
    """Check the words behind an option and return those that do not belong to it."""
    kinds = set(_leaves(hint))
    if kinds == {bool}:
        if joined:
            raise UsageError(f"{flag} takes no value, received {shown(words[0])}: leave the value out")
        return words
    if _takes_several(hint):
        for word in words:
            _require_one(name, word, hint, several=True)
        return []
    if not words:
        raise UsageError(f"{flag} needs a value; --help tells more")
    _require_one(name, words[0], hint)
    return words[1:]


def _require_free(places: Sequence[str], hints: dict[str, Any], words: list[str]) -> None:
    """Check the words that belong to no option: they are the command's own, where it takes any."""
    if places and _takes_several(hints[places[0]]):
        for word in words:
            _require_one(places[0], word, hints[places[0]], several=True)
    elif len(words) > len(places):
        raise UsageError(f"{words[len(places)]!r} belongs to no option: leave it out; --help lists the options")


def _require_one(name: str, word: str, hint: Any, *, several: bool = False) -> None:
    kinds = set(_leaves(hint))
    if word == "None" and NoneType in kinds:
        return
    value: object = word
    for kind in (int, float):
        if kind in kinds:
            try:
                value = kind(word)
                break
            except ValueError:
                pass
    convert(name, [value] if several else value, hint)


def _takes_several(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return True
    parts = typing.get_args(hint)[:1] if origin is Annotated else typing.get_args(hint)
    return origin in (Annotated, Union, UnionType) and any(_takes_several(part) for part in parts)


def _leaves(hint: Any) -> Iterator[Any]:
    """Give the types of the values that a setting takes, one by one."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        yield Literal
    elif origin is Annotated:
        yield from _leaves(parts[0])
    elif parts:
        for part in parts:
            if part is not Ellipsis:
                yield from _leaves(part)
    else:
        yield hint
