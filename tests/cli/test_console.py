"""Results go to stdout, everything else to stderr, and brackets in a text are no markup."""

from pathlib import Path

import pytest

from wcord.cli.console import complain, print_path, say


def test_texts_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("set [bold] = 3")
    assert complain(ValueError("two\n  lines [red]"), 2) == 2
    print_path("report", Path("a [b]/c.html"))
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["set [bold] = 3", "wcord: two lines [red]"]
    assert captured.out == "report   a [b]/c.html\n"
