"""Text of files and users as a terminal may show it: no markup, no orders to it, nothing that cannot be encoded."""

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
    r"""Return a text without what a terminal would obey or could not show.

    Control characters, of which escape sequences are made, are written out. Bytes of a file name that are no UTF-8,
    which Python keeps as lone surrogates, become the replacement character. Line breaks and tabs stay.

    >>> printable("a\x1b[2Jb\udce9c")
    'a\\x1b[2Jb\ufffdc'
    """
    if text.isprintable():
        return text
    return "".join(character if character in "\n\t" else _shown(character) for character in text)


def plain(text: str, style: str = "") -> Text:
    """Return a text that any console of rich shows as it is."""
    return Text(printable(text), style=style)


def markdown_cell(text: str) -> str:
    r"""Return a text that Markdown shows as it is, in a cell of a table and elsewhere.

    >>> markdown_cell("a|b <i> $x$ :smile: [y]"), markdown_cell("wcord+kd_1: 70.0 ± 1.0 (3)")
    ('a\\|b \\<i> \\$x\\$ \\:smile: \\[y]', 'wcord+kd_1: 70.0 ± 1.0 (3)')
    """
    return re.sub(r"[\\|<$*`\[&]|:(?=\w+:)", r"\\\g<0>", " ".join(printable(text).split()))


def json_text(value: object, indent: int | None = None) -> str:
    r"""Return a value as JSON, in which what no terminal should get and no file can hold is escaped.

    >>> json_text(["caf\udce9", "\x9b2J", "é"])
    '["caf\\udce9", "\\u009b2J", "é"]'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub("[\x7f-\x9f\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def tell(line: str) -> None:
    """Print a line, in a notebook or a script, without what a terminal would obey."""
    sys.stdout.write(f"{printable(line)}\n")


class Terminal(Console):
    """A console that shows each string as it is: brackets are no markup and `:smile:` is no picture.

    Args:
        **options: as those of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as rich lays it out; cells and titles of tables come here, too."""
        return super().render_str(printable(text), **options)


def _shown(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\\x{code:02x}" if code < 0x20 or 0x7F <= code < 0xA0 else character
