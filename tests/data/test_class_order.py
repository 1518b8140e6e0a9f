"""Class names in the order of numbers or of text, and names that are hardly different."""

import pytest

from wcord.checks import UsageError
from wcord.data.class_order import in_order


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["10", "9", "0"], ["0", "9", "10"]),
        (["-1", "1", "-10"], ["-10", "-1", "1"]),
        (["010", "9", "002"], ["002", "9", "010"]),
        (["class10", "class9"], ["class10", "class9"]),
        (["10", "9", "none"], ["10", "9", "none"]),
        (["1.5", "10.5", "9.5"], ["1.5", "10.5", "9.5"]),
    ],
)
def test_whole_numbers_are_ordered_as_numbers(names: list[str], wanted: list[str]) -> None:
    assert list(in_order(names)[0]) == wanted


def test_the_order_is_told_where_another_is_as_likely() -> None:
    (note,) = in_order(map(str, range(100)))[1]
    assert "numeric order (0, 1, 2, 3, …)" in note
    assert "(0, 1, 10, 11, …)" in note
    assert "--class-order name" in note
    for names, order in ((range(10), "auto"), (range(100), "name"), (range(100), "number")):
        assert in_order(map(str, names), order)[1] == ()
    assert in_order(["b", "a"])[1] == ()


def test_an_order_can_be_chosen() -> None:
    assert in_order(["10", "9", "b"], "number")[0] == ("9", "10", "b")
    assert in_order(["10", "9"], "name")[0] == ("10", "9")
    with pytest.raises(UsageError, match="unknown class_order 'nmae': did you mean 'name'"):
        in_order(["1"], "nmae")
