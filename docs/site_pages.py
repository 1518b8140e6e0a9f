"""Hooks of the site: reference pages list the public names of a package, and no page loads anything from elsewhere."""

import importlib
import inspect
import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put a mkdocstrings entry in place of `<!-- public names of PACKAGE -->` for each name."""
    return re.sub(r"<!-- public names of ([\w.]+) -->", lambda match: "\n\n".join(entries(match[1])), markdown)


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Load the shim that lets search work from disk from the site itself."""
    return local(output, "../" * page.url.count("/"))


def on_post_template(output: str, **_: Any) -> str:
    """Do the same for the page that is shown where there is none."""
    return local(output, "")


def local(output: str, root: str) -> str:
    return re.sub(r"https://unpkg\.com/iframe-worker/shim", f"{root}iframe-worker.js", output)


def entries(package: str) -> list[str]:
    module = importlib.import_module(package)
    return [entry(package, name, getattr(module, name)) for name in module.__all__]


def entry(package: str, name: str, value: object) -> str:
    if inspect.ismodule(value):
        return f"- [`{package}.{name}`]({name}.md)"
    heading = f"## {name} {{ #{package}.{name} }}"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"{heading}\n\n{(inspect.getdoc(type(value)) or '').splitlines()[0]}"
    options = f"{{ heading: {name}, toc_label: {name} }}"
    return f"::: {value.__module__}.{value.__qualname__}\n    options: {options}"
