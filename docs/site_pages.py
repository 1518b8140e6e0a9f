"""Fills the reference pages of the site: each public name of a package, in the order of its `__all__`."""

import importlib
import inspect
import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put a mkdocstrings entry in place of `<!-- public names of PACKAGE -->` for each name."""
    return re.sub(r"<!-- public names of ([\w.]+) -->", lambda match: "\n\n".join(entries(match[1])), markdown)


def entries(package: str) -> list[str]:
    module = importlib.import_module(package)
    return [entry(package, name, getattr(module, name)) for name in module.__all__]


def entry(package: str, name: str, value: object) -> str:
    if inspect.ismodule(value):
        return f"- [`{package}.{name}`]({name}.md)"
    heading = f"## {name} {{ #{package}.{name} }}"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"{heading}\n\n{(inspect.getdoc(type(value)) or '').splitlines()[0]}"
    options = "{ show_root_heading: false, heading_level: 3, show_root_toc_entry: false }"
    return f"{heading}\n\n::: {value.__module__}.{value.__qualname__}\n    options: {options}"
