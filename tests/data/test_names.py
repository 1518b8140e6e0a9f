"""Endings, the names that pairs are found by, and rows that contradict them."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.data.names import NO_COMMON_NAMES, compare_rows, ending_of, key_of


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("a.JPG", ".jpg"),
        ("a.tar.gz", ".gz"),
        ("x.mp3", ".mp3"),
        ("IMG_0001", ""),
        ("scan.001", ""),
        ("depth_0.5", ""),
        ("Mr. Smith", ""),
        (".hidden", ""),
        ("picture.jpg?width=200", ""),
    ],
)
def test_an_ending_holds_a_letter_and_no_more_than_a_word(name: str, ending: str) -> None:
    assert ending_of(name) == ending


@pytest.mark.parametrize("name", ["é", "ñandú", "Åse/ガ", "각"])
def test_a_name_is_one_in_both_forms_of_unicode(name: str) -> None:
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    assert len(forms) == 2
    assert len({key_of(Path("root", f"{form}.png"), Path("root")) for form in forms}) == 1


def test_only_endings_are_cut_off() -> None:
    root = Path("root")
    assert key_of(root / "a" / "depth_0.5.png", root) == "a/depth_0.5"
    assert key_of(root / "depth_0.5", root) == "depth_0.5"
    assert key_of(root / "v1.2" / "x", root) == "v1.2/x"


def test_rows_are_compared_by_the_names_of_files() -> None:
    assert compare_rows("train", ["a/1", "b/2"], ["x/1", "y/2"], "mend it") == ()
    assert compare_rows("train", ["rgb1", "rgb2"], ["depth1", "depth2"], "mend it") == (NO_COMMON_NAMES,)
    assert compare_rows("train", ["a"], [], "mend it") == ()
    for theirs in (["2", "1"], ["1", "3"], ["0", "1"]):
        with pytest.raises(UsageError, match=r"contradicts the names of the test files: row \d is .*; mend it"):
            compare_rows("test", ["1", "2"], theirs, "mend it")


def numbered(pattern: str, numbers: Iterable[int]) -> list[str]:
    """Names in the order of their text."""
    return sorted(f"x/{pattern.format(number)}" for number in numbers)


@pytest.mark.parametrize(
    ("own", "theirs", "row"),
    [
        (numbered("rgb{}", range(1, 12)), numbered("dep{:02}", range(1, 12)), "row 1 is 'rgb10' .* 'dep02'"),
        (numbered("rgb{}", range(12)), numbered("dep{:03}", range(100, 112)), "row 2 is 'rgb10' .* 'dep102'"),
        (numbered("{}_left", range(8, 11)), numbered("{:02}_right", range(8, 11)), "row 0 is '10_left'"),
        (["cat/i1", "cat/i2", "dog/i3"], ["hund/k3", "katze/k1", "katze/k2"], "row 0 is 'i1' .* 'k3'"),
    ],
)
def test_numbers_in_names_that_contradict_rows_are_refused(own: list[str], theirs: list[str], row: str) -> None:
    with pytest.raises(UsageError, match=f"contradicts the numbers in the names .*{row}"):
        compare_rows("train", own, theirs, "name them alike")


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (numbered("rgb{:02}", range(1, 12)), numbered("dep{:02}", range(1, 12))),
        (numbered("rgb{}", range(1, 12)), numbered("dep{}", range(1, 12))),
        (numbered("IMG_{}", range(3000, 3011)), numbered("DSC{:03}", range(20, 31))),
        (["one", "two9", "ten10"], ["a", "b10", "c9"]),  # not numbers alone
        (["a/x1", "a/x2", "b/x1", "b/x2"], ["c/y1", "c/y2", "d/y1", "d/y2"]),
    ],
)
def test_numbers_in_names_that_agree_with_rows_or_say_nothing_pass(own: list[str], theirs: list[str]) -> None:
    assert compare_rows("train", own, theirs, "") == (NO_COMMON_NAMES,)
