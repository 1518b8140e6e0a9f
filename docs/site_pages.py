"""Hooks of the site: reference pages list the public names of a package, and no page loads anything from elsewhere."""

import importlib
import inspect
import re
from typing import Any

import wcord


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
    return [entry(package, name, getattr(module, name)) for name in sorted(module.__all__, key=str.lower)]


def entry(package: str, name: str, value: object) -> str:
    """Return the description of a public name, or a link to the page of the package that describes it."""
    if inspect.ismodule(value):
        return f"- [`{package}.{name}`]({name}.md)"
    home = next((part for part in wcord.__all__ if package == "wcord" and name in public_names(part)), None)
    if home is not None:
        return f"- [`wcord.{name}`]({home}.md), the same as `wcord.{home}.{name}`"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"## {name}\n\n`{package}.{name}`, a {type(value).__name__}"
    options = f"{{ heading: {name}, toc_label: {name} }}"
    return f"::: {value.__module__}.{value.__qualname__}\n    options: {options}"


def public_names(part: str) -> list[str]:
    value = getattr(wcord, part)
    return value.__all__ if inspect.ismodule(value) else []
