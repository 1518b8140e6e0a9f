"""Options of methods in the form of the command line: `wcord.epsilon=0.1`."""

import ast
from collections.abc import Iterable

from wcord.checks import UsageError


def parse_options(settings: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return method → option → value.

    >>> parse_options(["wcord.epsilon=0.1", "wcord.estimator=expected"])
    {'wcord': {'epsilon': 0.1, 'estimator': 'expected'}}

    Raises:
        UsageError: if a setting has another form.
    """
    options: dict[str, dict[str, object]] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        method, dot, option = name.strip().partition(".")
        if not (equals and dot and option):
            raise UsageError(f"option {setting!r} is not of the form METHOD.OPTION=VALUE, such as wcord.epsilon=0.1")
        options.setdefault(method, {})[option] = _literal(value.strip())
    return options


def _literal(text: str) -> object:
    """Return the number, True, False or None that a text spells, and other texts unchanged."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
