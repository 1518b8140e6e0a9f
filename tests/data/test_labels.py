"""Class numbers by name, and maps from files as spreadsheets write them."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.labels import find_classes, in_order, names_in_map, number_by_name, number_labels, read_map


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.randoms())
def test_each_class_gets_the_number_of_its_name(own: list[str], draw) -> None:
    theirs = list("abcdef")
    draw.shuffle(theirs)
    numbers = number_by_name(own, theirs)
    assert numbers is not None
    assert [theirs[number] for number in numbers.tolist()] == own


def test_names_that_sort_otherwise_are_the_same_classes() -> None:
    numbers = number_by_name(("0", "1", "2", "10"), ("0", "1", "10", "2"))
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize(("own", "theirs"), [((), ("a",)), (("a",), ()), (("1", "2"), ("0", "1")), (("0",), ("a",))])
def test_numbers_and_nothing_say_nothing(own: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    assert number_by_name(own, theirs) is None


def test_a_class_that_the_network_does_not_know_is_named() -> None:
    with pytest.raises(UsageError, match="unknown class 'eel'"):
        number_by_name(("ant", "eel"), ("ant", "bee"))


def test_a_map_is_read_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes("oak,tree\r\nelm,tree\r\n\r\nfox,beast\r\n".encode("utf-8-sig"))
    assert read_map(path, ("elm", "fox", "oak"), ("beast", "tree")).tolist() == [1, 0, 1]
    path.write_bytes("chêne,tree\n".encode("latin-1"))
    with pytest.raises(UsageError, match="save it as csv in UTF-8"):
        read_map(path, ("chêne",), ("tree",))


@pytest.mark.parametrize("values", [["10", "9", "0"], ["-1", "-10", "1"], ["100", "99", "3"], [10, 9, 0]])
def test_whole_numbers_are_sorted_as_numbers_though_they_are_text(values: list[str] | list[int]) -> None:
    targets, classes = number_labels({"train": np.array(values)})
    assert list(classes) == [str(number) for number in sorted(map(int, values))]
    assert [classes[number] for number in targets["train"].tolist()] == [str(value) for value in values]


def test_text_beside_numbers_stays_in_the_order_of_text() -> None:
    assert number_labels({"train": np.array(["10", "9", "none"])})[1] == ("10", "9", "none")


class TestClassesOfManyMore:
    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            (("cat", "ant"), [1, -1, 0, -1]),
            (("cat", "crane"), [-1, -1, 0, 1]),
            (("cat", "dog"), None),
            ((), None),
            (("0", "1"), None),
            (("ant", "bee", "cat", "crane"), None),
        ],
    )
    def test_found_by_name(self, own, expected):
        found = find_classes(("ant", "bee", "cat", "crane"), own)
        assert (None if found is None else found.tolist()) == expected

    def test_a_map_may_leave_out_the_rest_when_it_says_so(self, tmp_path):
        file = tmp_path / "map.csv"
        file.write_text("ant,insect\nbee,insect\ncat,mammal\n*,\n")
        theirs = ("ant", "bee", "cat", "crane", "dog")
        assert read_map(file, theirs, ("insect", "mammal")).tolist() == [0, 0, 1, -1, -1]
        assert names_in_map(file)[:3] == ("ant", "bee", "cat")
        file.write_text("ant,insect\nbee,insect\ncat,mammal\n")
        with pytest.raises(UsageError, match=r"2 of the teacher's classes .*'crane', …: .* a line '\*,' leaves out"):
            read_map(file, theirs, ("insect", "mammal"))


def test_many_classes_are_matched_by_name_in_little_time() -> None:
    """Each name is looked up, where a search through all others would take minutes."""
    own = [f"n{number:08}" for number in range(21_841)]
    began = time.process_time()
    number = number_by_name(own, own[::-1])
    assert number is not None
    assert number.tolist() == list(range(21_841))[::-1]
    with pytest.raises(UsageError, match="unknown class 'a1'"):
        number_by_name(["a1", "a2"], own)
    assert time.process_time() - began < 5


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
