"""`wcord list` names what there is, whole at any width."""

import io

import pytest
from rich.console import Console

from wcord.cli import main
from wcord.cli.listing import _methods  # at a width of one's own
from wcord.methods.catalogue import METHODS


def test_list_shows_methods_networks_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("wcord-a", "ShuffleV2", "timm:", "imagefolder:DIR"))
    assert main(["list", "--methods"]) == 0
    assert "ShuffleV2" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 120])
def test_methods_are_listed_whole_at_any_width(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    for table in _methods(width):
        console.print(table)
    shown = console.export_text()
    assert "…" not in shown
    assert len(shown.splitlines()) < 4 * len(METHODS)
    words = {word for line in shown.splitlines() for word in line.split()}
    assert set(METHODS) <= words


@pytest.mark.parametrize("width", [80, 120])
def test_reconstructions_stand_in_a_table_of_their_own(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    for table in _methods(width):
        console.print(table)
    methods, title, reconstructions = console.export_text().partition("Reconstructions:")
    assert title
    for name, info in METHODS.items():
        place = reconstructions if info.reconstruction else methods
        assert any(line.strip(" │").startswith(f"{name} ") for line in place.splitlines()), name
