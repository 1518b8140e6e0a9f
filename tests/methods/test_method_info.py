"""What the catalogue says of each method is complete, so that lists and tables can print it."""

import pytest

from wcord.methods.catalogue import METHODS


@pytest.mark.parametrize("name", METHODS)
def test_a_row_says_what_lists_and_tables_print(name: str) -> None:
    info = METHODS[name]
    assert all((info.title, info.paper, info.needs, info.checked))
    assert not info.title.endswith(".")
    assert 2000 < info.year < 2100
    assert bool(info.term) != bool(info.terms), "a method has a term of its name, or several"
    assert info.weight > 0
