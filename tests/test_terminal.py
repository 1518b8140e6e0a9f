"""What files and users write reaches a terminal as it is, and never as an order to it."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from wcord.terminal import Terminal, plain, printable

NASTY = 'kd[t=4] [/] $x{$ :smile: <b>&"'


def shown(*objects: object) -> str:
    file = io.StringIO()
    Terminal(file=file, width=200, force_terminal=True).print(*objects)
    return file.getvalue()


@pytest.mark.parametrize("text", [NASTY, "[bold]x[/bold]", ":b: and :thumbs_up:", "[link=a]b[/link]", "[/nothing]"])
def test_brackets_and_colons_are_shown_as_they_are(text: str) -> None:
    assert text in shown(text)
    table = Table("name", text, title=text, caption=text)
    table.add_row("a", text)
    assert shown(table).count(text) == 4


@pytest.mark.parametrize("text", ["a\x1b]0;title\x07b", "a\x1b[2Jb", "a\x9b2Jb", "a\rb", "a\x08b", "a\x7fb"])
def test_no_order_reaches_the_terminal(text: str) -> None:
    for told in (shown(text), shown(Table(text)), shown(plain(text))):
        # Without colours, a terminal gets nothing of ours but the text.
        assert not any(order in told for order in ("\x1b]", "\x1b[2J", "\x9b", "\r", "\x08", "\x7f", "\x07")), told
    assert printable(text).isprintable()


def test_what_is_no_text_becomes_the_replacement_character() -> None:
    assert "caf\ufffd.png" in shown("caf\udce9.png")
    assert shown("caf\udce9.png").encode()
    assert printable("naïve 犬 🐕\n\tend") == "naïve 犬 🐕\n\tend"


def test_plain_text_is_plain_on_any_console() -> None:
    file = io.StringIO()
    Console(file=file, width=200).print(plain(NASTY))
    assert NASTY in file.getvalue()
