"""Griffe extension: shows the doctests of a docstring as code, also outside its "Examples" section."""

from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Fences each doctest before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return the text with a fence around each doctest that is not in a section of examples."""
    lines: list[str] = []
    in_examples = in_test = False
    for line in [*text.splitlines(), ""]:
        content = line.strip()
        if content and not line[0].isspace():
            in_examples = content in ("Example:", "Examples:")
        if content.startswith(">>>") and not in_examples and not in_test:
            lines.append("```pycon")
            in_test = True
        if in_test and not content:
            lines.append("```")
            in_test = False
        lines.append(line)
    return "\n".join(lines[:-1])
