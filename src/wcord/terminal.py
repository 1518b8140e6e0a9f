"""Text of files and users, safe for a terminal: no markup, no escape sequences, nothing that cannot be encoded."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

Reporter = Callable[[str], None]
"""Takes a line that reports what happens."""


def printable(text: str) -> str:
    r"""Return a text without characters that a terminal would execute or could not show.

    Control characters are escaped. Bytes of a file name that are not UTF-8, which Python holds as lone surrogates,
    become the replacement character. Line breaks and tabs stay.

    >>> printable("a\x1b[2Jb\udce9c")
    'a\\x1b[2Jb\ufffdc'
    """
    if text.isprintable():
        return text
    return "".join(character if character in "\n\t" else _shown(character) for character in text)


def plain(text: str, style: str = "") -> Text:
    """Return a text that any rich console shows unchanged."""
    return Text(printable(text), style=style)


def markdown_cell(text: str) -> str:
    r"""Return a text that Markdown shows unchanged, in a table cell and elsewhere.

    >>> markdown_cell("a|b <i> $x$ :smile: [y]"), markdown_cell("wcord+kd_1: 70.0 ± 1.0 (3)")
    ('a\\|b \\<i> \\$x\\$ \\:smile: \\[y]', 'wcord+kd_1: 70.0 ± 1.0 (3)')
    """
    return re.sub(r"[\\|<$*`\[&]|:(?=\w+:)", r"\\\g<0>", " ".join(printable(text).split()))


def json_text(value: object, indent: int | None = None) -> str:
    r"""Return a value as JSON, with control characters and lone surrogates escaped.

    >>> json_text(["caf\udce9", "\x9b2J", "é"])
    '["caf\\udce9", "\\u009b2J", "é"]'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def tell(line: str) -> None:
    """Print a line, in a notebook or a script, without control characters."""
    sys.stdout.write(f"{printable(line)}\n")


class Terminal(Console):
    """A console that shows each string unchanged: brackets are not markup and `:smile:` is not an emoji.

    Args:
        **options: options of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as rich's `Text`; cells and titles of tables pass through here too."""
        return super().render_str(printable(text), **options)


def _shown(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\\x{code:02x}" if code < 0x20 or 0x7F <= code < 0xA0 else character
