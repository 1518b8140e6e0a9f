"""What each setting affects, declared on its field; lists of settings derive from it.

A field of a configuration reads `workers: Annotated[Workers, Affects("machine")] = 2`. Whoever needs "the settings that
may change on resume" or "the settings that name files" filters `scopes(kind)`. Imports no torch.
"""

import dataclasses
import typing
from typing import Any, Literal

Scope = Literal["result", "machine", "place", "call"]
"""result: what a run computes. machine: how a machine computes it, which changes the last bits of a number at most.
place: where a file or folder is. call: the present call of a command."""

Fact = Literal["fixed", "unsaved", "code", "source", "file", "output", "holdout", "teacher outputs", "opened data"]
"""fixed: a run keeps the value to its end, although no result depends on it. unsaved: no saved configuration holds it.
code: a network, which may be the user's code. source: a data source. file: a file that is read. output: a path that is
written. holdout: selects the held-out samples. teacher outputs: changes the teacher's outputs for a batch. opened data:
also applies where a `DataSet` is passed in place of a data source."""


class Affects:
    """What a setting affects, and facts about it.

    Args:
        scope: what changes with the setting.
        *facts: answers to further questions, see `Fact`.
    """

    def __init__(self, scope: Scope, *facts: Fact) -> None:
        self.scope = scope
        self.facts = frozenset(facts)

    @property
    def may_change(self) -> bool:
        """Whether the setting may differ when a run is resumed, and between runs of one configuration."""
        return self.scope in ("machine", "call") and "fixed" not in self.facts


def scopes(*kinds: type) -> dict[str, Affects]:
    """Return what each setting of configurations affects, by its name; settings in tables included.

    Raises:
        TypeError: a field does not declare what it affects.
    """
    found: dict[str, Affects] = {}
    for kind in kinds:
        for name, hint in declared_settings(kind).items():
            affects = _find(hint)
            if affects is None:
                raise TypeError(f"the setting {name} of {kind.__name__} does not declare what it affects")
            found[name] = affects
    return found


def declared_settings(kind: type) -> dict[str, Any]:
    """Return the annotation of each setting by its name, those in its tables included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    settings = {name: hint for name, hint in hints.items() if not _is_table(hint)}
    for hint in hints.values():
        settings |= typing.get_type_hints(hint, include_extras=True) if _is_table(hint) else {}
    return settings


def tables(kind: type) -> dict[str, type]:
    """Return the tables of a configuration by name: its fields that are configurations themselves."""
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if _is_table(hint)}


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _find(hint: Any) -> Affects | None:
    if isinstance(hint, Affects):
        return hint
    return next((found for part in typing.get_args(hint) if (found := _find(part)) is not None), None)
