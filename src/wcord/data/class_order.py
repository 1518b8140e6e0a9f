"""In which order classes are numbered, where their names decide."""

import re
from collections.abc import Iterable, Sequence

from wcord.checks import require_choice

ORDERS = ("auto", "name", "number")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def in_order(names: Iterable[str], order: str = "auto") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return class names in the order in which they are numbered, and a note where another order is as likely.

    Args:
        names: of the classes.
        order: "name" sorts them as text, "number" whole numbers as numbers and before any text; "auto" takes numbers
            where all names are whole numbers.

    >>> in_order(["10", "9", "2"])[0], in_order(["10", "9", "2"], "name")[0], in_order(["10", "9", "b"])[0]
    (('2', '9', '10'), ('10', '2', '9'), ('10', '9', 'b'))
    """
    require_choice("class_order", order, ORDERS)
    by_name = tuple(sorted(names))
    by_number = tuple(sorted(by_name, key=_as_number))
    whole = all(map(_WHOLE.fullmatch, by_name))
    chosen = by_number if order == "number" or (order == "auto" and whole) else by_name
    if order != "auto" or not whole or by_number == by_name:
        return chosen, ()
    return chosen, (
        f"classes are numbered in numeric order ({_begin(by_number)}); a network that was trained in the order of the "
        f"text ({_begin(by_name)}), as torchvision's ImageFolder does, needs --class-order name",
    )


def _as_number(name: str) -> tuple[bool, int, str]:
    whole = _WHOLE.fullmatch(name) is not None
    return not whole, int(name) if whole else 0, name


def _begin(names: Sequence[str]) -> str:
    """Return the first names up to where the two orders part, at least: `0, 1, 10, …`."""
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
