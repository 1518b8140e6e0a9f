"""Recipes and suites are read as editors save them, and refused by what is wrong with the file."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.toml import read_toml


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("\ufeffepochs = 2\n", encoding="utf-8")
    assert read_toml(tmp_path / "a.toml", "recipe") == {"epochs": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"epochs = ", "recipe '.*' is not valid TOML: Invalid value"),
        ("epochs = 2\n".encode("utf-16"), "is not text in UTF-8, from byte 1 on: save it as UTF-8"),
        (b"a = '\xff'", "is not text in UTF-8, from byte 6 on"),
        (b"a = " + b"[" * 100_000, "is (nested too deeply|not valid TOML)"),
    ],
)
def test_what_is_no_recipe_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_toml(tmp_path / "a.toml", "recipe")
