"""The table of sources: every row is complete, and what is derived from a name follows from its row."""

from importlib import import_module

import pytest

from wcord.data.sources.registry import KINDS, has_columns, is_table, kind_of, names_of_data, path_in


def test_each_row_names_a_reader_and_an_example() -> None:
    assert {source.partition(":")[0] for source in names_of_data()} == set(KINDS)
    for name, kind in KINDS.items():
        module, _, function = kind.reader.partition(":")
        assert callable(getattr(import_module(module), function))
        assert not kind.place or kind.example.startswith(f"{name}:")


def test_each_place_that_is_a_path_is_found_in_the_example() -> None:
    for kind in KINDS.values():
        path = path_in(kind.example)
        assert (path is not None) == ("DIR" in kind.place or "FILE" in kind.place), kind
        assert path is None or "".join(path) == kind.example


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ("torchvision:MNIST@sets", ("torchvision:MNIST@", "sets")),
        ("torchvision:MNIST", None),
        ("npz:a:b.npz", ("npz:", "a:b.npz")),
        ("table:", None),
        ("sklearn:iris", None),
        ("digits", None),
        ("unknown:a", None),
    ],
)
def test_the_path_in_a_name(data: str, path: tuple[str, str] | None) -> None:
    assert path_in(data) == path


def test_what_a_kind_has() -> None:
    assert kind_of("table:a.csv") == "table"
    assert [has_columns(data) for data in ("table:a.csv", "parquet:a", "npz:a", "unknown:a")] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_table(data) for data in ("table:a.csv", "sklearn:iris", "parquet:a")] == [True, True, False]
