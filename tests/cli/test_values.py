"""Each option's values are checked by their declaration, and what belongs to no option is named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from wcord.bounds import Bounds, File
from wcord.checks import UsageError
from wcord.cli.values import require_given, require_values


@dataclass(frozen=True)
class Asked:
    runs: tyro.conf.Positional[tuple[File, ...]]
    out: File
    count: Annotated[int, Bounds(1, 9)] = 1
    rate: Annotated[float, Bounds(above=0)] | None = None
    shots: tuple[Annotated[int, Bounds(1)], ...] = ()
    side: int | str = 8
    kind: Literal["a", "b"] = "a"
    quick: bool = False


@dataclass(frozen=True)
class One:
    run: tyro.conf.Positional[File]
    out: Path | None = None


@pytest.mark.parametrize(
    "arguments",
    [
        ["r1", "r2", "--count", "9", "--rate", "1e-3", "--shots", "1", "2", "--kind=b", "--quick", "r3"],
        ["--rate", "None", "--side", "8x9", "--side=7"],
        ["--help", "--count"],
        [],
    ],
)
def test_right_values_pass(arguments: list[str]) -> None:
    require_values(Asked, arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count"], "--count needs a value"),
        (["--count", "1.5"], "count must be a whole number between 1 and 9, received '1.5'"),
        (["--count", "-3"], "count must be a whole number between 1 and 9, received -3"),
        (["--rate", "fast"], "rate must be a finite number above 0, received 'fast'"),
        (["--rate=-inf"], "rate must be a finite number above 0, received -inf"),
        (["--shots", "1", "x"], "shots must be a whole number of at least 1, received 'x'"),
        (["--kind", "c"], "kind must be one of a, b, received 'c'"),
        (["--quick=no"], "--quick takes no value, received 'no'"),
        (["-q"], "unknown option '-q': options begin with two dashes"),
    ],
)
def test_a_wrong_value_is_refused_by_its_option(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        require_values(Asked, arguments)


def test_words_without_an_option() -> None:
    require_values(One, ["run", "--out", "x"])
    with pytest.raises(UsageError, match="'second' belongs to no option"):
        require_values(One, ["run", "second"])
    with pytest.raises(UsageError, match="missing RUN: name it"):
        require_values(One, ["--out", "x"])


def test_what_has_to_be_given() -> None:
    require_given(Asked, ["--out=x"])
    require_given(Asked, ["--help"])
    with pytest.raises(UsageError, match="missing --out: give it"):
        require_given(Asked, ["r"])
