"""Options of a method's summands as the command line says them: `wcord.epsilon=0.1`."""

import ast
from collections.abc import Iterable

from wcord.checks import UsageError


def parse_options(settings: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return summand → option → value.

    >>> parse_options(["wcord.epsilon=0.1", "wcord.estimator=expected"])
    {'wcord': {'epsilon': 0.1, 'estimator': 'expected'}}

    Raises:
        UsageError: where a setting has another form.
    """
    options: dict[str, dict[str, object]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        summand, dot, option = place.strip().partition(".")
        if not (equals and dot and option):
            raise UsageError(f"option {setting!r} is not of the form METHOD.OPTION=VALUE: write wcord.epsilon=0.1, say")
        options.setdefault(summand, {})[option] = _literal(value.strip())
    return options


def _literal(text: str) -> object:
    """Return a number, True, False or None as such, and anything else as the text that it is."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
