"""Each option's values are checked by their declaration, and what belongs to no option is named."""

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from wcord.bounds import Bounds, File, Name, OptionalName
from wcord.checks import UsageError
from wcord.cli.values import read_values


@dataclass(frozen=True)
class Several:
    runs: tuple[File, ...]
    out: File
    count: Annotated[int, Bounds(1, 9)] = 1
    rate: Annotated[float, Bounds(above=0)] | None = None
    shots: tuple[Annotated[int, Bounds(1)], ...] = ()
    side: int | str = 8
    kind: Literal["a", "b"] = "a"
    quick: bool = False
    no_labels: bool = False
    label: Name | None = None
    view: OptionalName | None = None


@dataclass(frozen=True)
class One:
    run: File
    out: Path | None = None


def read(kind: type, arguments: list[str], positional: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return read_values(arguments, hints, command="x", positional=positional)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        (
            ["r1", "r2", "--count", "9", "--rate", "1e-3", "--shots", "1", "2", "--kind=b", "--quick", "r3"],
            {"count": 9, "rate": 1e-3, "shots": (1, 2), "kind": "b", "quick": True, "runs": ("r1", "r2", "r3")},
        ),
        (["--rate", "None", "--side", "8x9"], {"rate": None, "side": "8x9"}),
        (["--side", "8x9", "--side=7"], {"side": 7}),
        (["--shots=1", "2", "--shots", "3"], {"shots": (1, 2, 3)}),
        (["--quick", "--no-quick", "--no-labels"], {"quick": False, "no_labels": True}),
        (["--no-labels", "--no_no_labels"], {"no_labels": False}),
        (
            ["-", "-1", "-.5", "-inf", "@a", "$x[b] é:smile:"],
            {"runs": ("-", "-1", "-.5", "-inf", "@a", "$x[b] é:smile:")},
        ),
        (["--label=--count", "--view="], {"label": "--count", "view": ""}),
        (["--view", "", "--shots"], {"view": "", "shots": ()}),
        ([], {}),
    ],
)
def test_right_values_are_read(arguments: list[str], values: dict[str, Any]) -> None:
    paths = tuple(Path(run) for run in values.get("runs", ()))
    assert read(Several, arguments, "runs") == {**values, "runs": paths}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count"], "--count needs a value; see wcord x --help"),
        (["--count", "1.5"], "--count must be a whole number between 1 and 9, received '1.5'"),
        (["--count", "-3"], "--count must be a whole number between 1 and 9, received -3"),
        (["--rate", "fast"], "--rate must be a finite number above 0, received 'fast'"),
        (["--rate=-inf"], "--rate must be a finite number above 0, received -inf"),
        (["--shots", "1", "x"], "--shots must be a whole number of at least 1, received 'x'"),
        (["--kind", "c"], "--kind must be one of a, b, received 'c'"),
        (["--quick=no"], "--quick takes no value, received 'no'"),
        (["--label", ""], "--label must not be empty: give a value, or leave it out"),
        (["a", ""], "RUNS must not be empty: give a value, or leave it out"),
        (
            ["-q"],
            "unknown option '-q': options begin with two dashes, and a file of this name is ./-q; see wcord x --help",
        ),
        (["--runs", "a"], "unknown option '--runs': see wcord x --help"),
        (["--"], "unknown option '--': see wcord x --help"),
    ],
)
def test_a_wrong_value_is_refused_by_its_option(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(Several, arguments, "runs")
    assert str(error.value).startswith(message)


def test_words_without_an_option() -> None:
    assert read(One, ["run", "--out", "x"], "run") == {"run": Path("run"), "out": Path("x")}
    assert read(One, ["--out", "x", "run"], "run") == {"run": Path("run"), "out": Path("x")}
    with pytest.raises(UsageError, match="'second' belongs to no option: leave it out; see wcord x --help"):
        read(One, ["run", "second"], "run")


@pytest.mark.parametrize(
    ("option", "offered"),
    [
        ("--learning-rate", "did you mean '--lr'? See wcord x --help"),
        ("--teacher-checkpoint", "did you mean '--teacher-weights'? See"),
        ("--batch", "did you mean '--batch-size'? See"),
        ("--epoch", "did you mean '--epochs'? See"),
        ("--dataset", "did you mean '--data'? See"),
        ("--no-compil", "did you mean '--no-compile' or '--compile'? See"),
        ("--teacher", "did you mean '--teacher-data' or '--teacher-label' or '--teacher-input'? See"),
        ("--num-epochs", "did you mean '--epochs'? See"),
        ("--output-dir", "did you mean '--out'? See"),
        ("--batch-size-eval", "did you mean '--batch-size'? See"),
        ("--zzz", "see wcord x --help"),
    ],
)
def test_options_near_an_unknown_one_are_offered(option: str, offered: str) -> None:
    names = ("lr", "batch_size", "epochs", "data", "out", "teacher_weights", "teacher_data", "teacher_label")
    hints: dict[str, Any] = {**dict.fromkeys((*names, "teacher_input"), Name), "compile": bool}
    with pytest.raises(UsageError) as error:
        read_values([option, "1"], hints, command="x")
    assert str(error.value).startswith(f"unknown option '{option}': {offered}")
