"""The help of a command, from the declarations of its settings and the docstrings below them."""

import ast
import dataclasses
import functools
import inspect
import shutil
import textwrap
import typing
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from wcord.cli.values import is_switch, leaves, option_name, takes_several
from wcord.scope import of_teacher, overlays, tables

Rows = Iterator[tuple[str, str]]
"""Options with what they do."""

PLACEHOLDERS = {int: "N", float: "X", str: "NAME", Path: "PATH"}
COLUMN = 26
"""Where the explanations begin."""
WIDEST = 110
"""Columns of a line that still reads well."""
NARROWEST = 50
"""Columns below which every word would have a line."""
fill = functools.partial(textwrap.fill, break_on_hyphens=False, break_long_words=False)
RECIPE = (
    "TOML file with any of these settings, flat or in tables such as [data]. Options override it; --no-NAME switches "
    "off what it switches on."
)


def help_text(kind: type, command: str, *, positional: str = "", note: str = "") -> str:
    """Return a command's help.

    Args:
        kind: the dataclass that declares its settings.
        command: what calls it, such as `train` or `train --resume RUN`.
        positional: the setting that takes the words without an option, if any.
        note: what follows the first sentence.
    """
    width = max(NARROWEST, min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST))
    rows = list(_rows(kind, positional))
    usage = [option for option, text in rows if option[0] != "-" or text.endswith("(required)")]
    usage = [option for option in usage if option.split()[0] not in command]
    paragraphs = [" ".join(["usage: wcord", command, *usage, "[OPTIONS]"]), *_doc(kind), *note.splitlines()]
    rows += [("--recipe PATH", RECIPE)] if tables(kind) else []
    sections = [("Options", [*rows, ("-h, --help", "Show this help.")])]
    sections += [(f"[{name}] {' '.join(_doc(table))}", list(_rows(table))) for name, table in tables(kind).items()]
    for name, table in overlays(kind).items():
        docs = field_docs(table)
        laid = [
            (_option(f"teacher_{of}", hint), f"Of the teacher: {docs[of]}") for of, hint in of_teacher(table).items()
        ]
        sections.append((f"[{name.replace('_', '.')}] {field_docs(kind)[name]}", laid))
    blocks = [*(fill(text, width) for text in paragraphs), *(_section(*one, width) for one in sections)]
    return "\n\n".join(blocks)


def field_docs(kind: type) -> dict[str, str]:
    """Return field → the docstring below it, in one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, doc in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
            docs[ast.unparse(field.target)] = " ".join(str(doc.value.value).split())
    return docs


def _doc(kind: type) -> list[str]:
    return [" ".join(part.split()) for part in (inspect.getdoc(kind) or "").split("\n\n")]


def _rows(kind: type, positional: str = "") -> Rows:
    """Yield the options of a dataclass, those of the tables in it left out."""
    hints, docs = typing.get_type_hints(kind, include_extras=True), field_docs(kind)
    for item in dataclasses.fields(kind):
        hint, doc = hints[item.name], docs.get(item.name, "")
        if item.name == positional:
            yield item.name.upper() + (" …" if takes_several(hint) else ""), doc
        elif item.name not in {**tables(kind), **overlays(kind)}:
            yield _option(item.name, hint), f"{doc}{_default(item, doc)}".strip()


def _option(name: str, hint: Any) -> str:
    """Return an option with what stands for its value."""
    option = option_name(name)
    if is_switch(hint):
        return option
    words: list[str] = []
    for leaf in leaves(hint):
        if typing.get_origin(leaf) is Literal:
            words += typing.get_args(leaf)
        elif leaf is not NoneType:
            words.append(PLACEHOLDERS[leaf])
    return f"{option} {'|'.join(words)}" + (" …" if takes_several(hint) else "")


def _default(item: "dataclasses.Field[Any]", doc: str) -> str:
    """Return the default in brackets, where the explanation does not state it."""
    value = item.default
    if value is item.default_factory is dataclasses.MISSING:
        return " (required)"
    if value is None or value is False or value in ((), "") or "efault" in doc:
        return ""
    values = value if isinstance(value, tuple) else (value,)
    return f" (default: {' '.join(f'{one:g}' if isinstance(one, float) else str(one) for one in values)})"


def _section(title: str, rows: list[tuple[str, str]], width: int) -> str:
    """Return a heading and a table of two columns."""
    lines = [fill(title, width)]
    for option, text in rows:
        first = f"  {option}".ljust(COLUMN)
        if not first.endswith("  "):  # too long for its column
            lines.append(first.rstrip())
            first = " " * COLUMN
        lines.append(fill(text, width, initial_indent=first, subsequent_indent=" " * COLUMN))
    return "\n".join(lines)
