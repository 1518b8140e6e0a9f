"""The values that a command line gives to the settings of a command; a mistake names the option that it is in."""

import difflib
import functools
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal

from wcord.bounds import convert
from wcord.checks import UsageError, shown

Group = tuple[str, list[str], bool]
"""An option ("" before the first), the words behind it, and whether the first word is joined to it by `=`."""

NEGATIVE = re.compile(r"-(\d|\.\d|inf|nan)")
SYNONYMS = {
    "learning-rate": "lr",
    "dataset": "data",
    "output": "out",
    "network": "model",
    "checkpoint": "weights",
    "loss": "method",
    "gpu": "device",
}
"""Names of options in other programs → ours."""
OFFERED = 3
"""Most options that a message offers in place of an unknown one."""


def read_values(
    arguments: Sequence[str], hints: Mapping[str, Any], *, command: str, positional: str = ""
) -> dict[str, Any]:
    """Return setting → value for each setting in a command line.

    Args:
        arguments: what follows the command.
        hints: setting → its annotation.
        command: what calls it, for messages.
        positional: the setting that takes the words without an option, if any.

    Raises:
        UsageError: an unknown option, or one without a value, with one too many, or with a wrong one.
    """
    options = {option_name(f"no_{name}"): (name, False) for name in hints if is_switch(hints[name])}
    options |= {option_name(name): (name, True) for name in hints if name != positional}
    values: dict[str, Any] = {}
    free: list[str] = []
    for option, words, joined in _groups(arguments, command):
        if not option:
            free += words
            continue
        if option not in options:
            raise _unknown(option, options, command)
        name, on = options[option]
        if is_switch(hints[name]):
            if joined:
                raise UsageError(f"{option} takes no value, received {shown(words[0])}: leave the value out")
            values[name] = on
            free += words
        elif takes_several(hints[name]):
            values[name] = _converted(option, [*(values.get(name) or ()), *words], hints[name])
        elif words:
            values[name] = _converted(option, words[:1], hints[name])
            free += words[1:]
        else:
            raise UsageError(f"{option} needs a value; see wcord {command} --help")
    several = bool(positional) and takes_several(hints[positional])
    surplus = [] if several else free[1:] if positional else free
    if surplus:
        raise UsageError(f"{surplus[0]!r} belongs to no option: leave it out; see wcord {command} --help")
    if free or several:
        values[positional] = _converted(positional.upper(), free, hints[positional])
    return values


def option_name(setting: str) -> str:
    """Return the option of a setting."""
    return f"--{setting.replace('_', '-')}"


def takes_several(hint: Any) -> bool:
    """Tell whether a setting of this annotation is a list."""
    origin = typing.get_origin(hint)
    return origin is tuple or (origin is not Literal and any(map(takes_several, typing.get_args(hint))))


def is_switch(hint: Any) -> bool:
    """Tell whether the option of a setting takes no value."""
    return set(leaves(hint)) == {bool}


def leaves(hint: Any) -> Iterator[Any]:
    """Yield the types of the values that a setting takes; a `Literal` stays whole."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal or not parts:
        yield hint
        return
    for part in parts[:1] if origin is Annotated else parts:
        if part is not Ellipsis:
            yield from leaves(part)


def _groups(arguments: Sequence[str], command: str) -> Iterator[Group]:
    group: Group = ("", [], False)
    for argument in arguments:
        if argument.startswith("--"):
            yield group
            option, equals, value = argument.partition("=")
            group = (option.replace("_", "-"), [value] if equals else [], bool(equals))
        elif argument.startswith("-") and argument != "-" and not NEGATIVE.match(argument):
            raise UsageError(
                f"unknown option {argument!r}: options begin with two dashes, and a file of this name is ./{argument}; "
                f"see wcord {command} --help"
            )
        else:
            group[1].append(argument)
    yield group


def _unknown(option: str, options: Mapping[str, tuple[str, bool]], command: str) -> UsageError:
    """Return the error for an unknown option; it offers those that share its words, or else a similar spelling."""
    known = [name for name, (_, on) in options.items() if on or option.startswith("--no-")]
    target = functools.reduce(lambda name, synonym: name.replace(*synonym), SYNONYMS.items(), option)
    near = [name for name in known if f"{name}-".startswith(f"{target}-") or f"{name[1:]}-" in f"{target}-"]
    near = sorted(near, key=len) or difflib.get_close_matches(option, known, n=OFFERED, cutoff=0.7)
    near = [target] if target in near else near
    names = " or ".join(map(repr, near[:OFFERED]))
    hint = f"did you mean {names}? See" if near else "see"
    return UsageError(f"unknown option {shown(option)}: {hint} wcord {command} --help")


def _converted(option: str, words: Sequence[Any], hint: Any) -> Any:
    """Return the value of a setting from the words that its option has."""
    if list(words) == ["None"] and NoneType in leaves(hint):
        return None
    values = [_number_or_text(word, hint) for word in words]
    return convert(option, values if takes_several(hint) else values[0], hint)


def _number_or_text(word: Any, hint: Any) -> Any:
    """Return a word as a number where it is one and the setting takes numbers."""
    for kind in (int, float):
        if isinstance(word, str) and kind in leaves(hint):
            try:
                return kind(word)
            except ValueError:
                continue
    return word
