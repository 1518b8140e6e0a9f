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

Fact = Literal[
    "fixed", "unsaved", "code", "source", "file", "output", "holdout", "teacher", "teacher outputs", "opened data"
]  # fmt: skip
"""fixed: a run keeps the value to its end, although no result depends on it. unsaved: no saved configuration holds it.
code: a network, which may be the user's code. source: a data source. file: a file that is read. output: a path that is
written. holdout: selects the held-out samples. teacher: the teacher may have another value. teacher outputs: changes
the teacher's outputs for a batch. opened data: also applies where a `DataSet` is passed in place of a data source."""


class Affects:
    """What a setting affects, and facts about it.

    Args:
        scope: what changes with the setting.
        *facts: answers to further questions, see `Fact`.
    """

    def __init__(self, scope: Scope, *facts: Fact) -> None:
        self.scope: Scope = scope
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
        for name in [name for table in overlays(kind) for name in members(kind)[table]]:
            facts = found[name].facts - {"teacher", "opened data"}
            found[name] = Affects(found[name].scope, *facts)
    return found


def declared_settings(kind: type) -> dict[str, Any]:
    """Return the annotation of each setting by its flat name, those in its tables and overlays included."""
    hints, groups = typing.get_type_hints(kind, include_extras=True), tables(kind) | overlays(kind)
    settings = {name: hint for name, hint in hints.items() if name not in groups}
    for table, names in members(kind).items():
        of_table = typing.get_type_hints(groups[table], include_extras=True)
        optional = table in overlays(kind)
        settings |= {name: of_table[of] | None if optional else of_table[of] for name, of in names.items()}
    return settings


def members(kind: type) -> dict[str, dict[str, str]]:
    """Return table → flat name of each of its settings → name in the table; they differ in an overlay."""
    names = {table: {name: name for name in typing.get_type_hints(of)} for table, of in tables(kind).items()}
    return names | {name: {f"teacher_{of}": of for of in of_teacher(table)} for name, table in overlays(kind).items()}


def overlays(kind: type) -> dict[str, type]:
    """Return the overlays of a configuration by name: `teacher_data` has what the teacher sees other than in `data`."""
    names = typing.get_type_hints(kind)
    return {f"teacher_{name}": table for name, table in tables(kind).items() if f"teacher_{name}" in names}


def of_teacher(kind: type) -> dict[str, Any]:
    """Return the annotation of each setting that the teacher may have otherwise."""
    affects = scopes(kind)
    return {name: hint for name, hint in declared_settings(kind).items() if "teacher" in affects[name].facts}


def tables(kind: type) -> dict[str, type]:
    """Return the tables of a configuration by name: its fields that are configurations themselves."""
    return {name: hint for name, hint in typing.get_type_hints(kind).items() if _is_table(hint)}


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _find(hint: Any) -> Affects | None:
    if isinstance(hint, Affects):
        return hint
    return next((found for part in typing.get_args(hint) if (found := _find(part)) is not None), None)
