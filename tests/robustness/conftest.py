"""Counts what is tried and what holds, by kind, and prints the figures; `make robustness` writes them to the docs.

A test of this folder takes the fixture `tally`: `tally.share(ci, full)` is the number of its trials, few in every test
run and many under `make robustness`, and `tally(kind, held)` counts one of them.
"""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from _pytest.terminal import TerminalReporter

from wcord import __version__

FULL = os.environ.get("WCORD_ROBUSTNESS") == "full"
TABLE = os.environ.get("WCORD_ROBUSTNESS_TABLE")
PROPERTY = "robustness"

PAGE = """# Robustness

`make robustness` kills runs, flips bits, starves workers and passes invalid arguments to commands and functions, with
fixed seeds (except for the fuzzers), and writes this table. A trial passes if no data are lost, nothing hangs, and the
only output is one clear line with the right exit code. `make test` runs a small share of the same trials.

{table}

Measured with wcord {version} and PyTorch {torch}.
"""


class Tally:
    """Counts the trials of one test."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def __call__(self, kind: str, held: bool) -> bool:
        """Count one trial, and return whether it held."""
        self._properties.append((PROPERTY, [kind, bool(held)]))
        return held

    def share(self, ci: int, full: int) -> int:
        """Return how many trials to make."""
        return full if FULL else ci


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    counts = count(
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    )
    if not counts:
        return
    table = as_markdown(counts)
    terminalreporter.write_sep("=", "robustness")
    terminalreporter.write_line(table)
    if TABLE:
        Path(TABLE).write_text(PAGE.format(table=table, version=__version__, torch=torch.__version__), encoding="utf-8")


def count(trials: Iterable[tuple[str, bool]]) -> dict[str, tuple[int, int]]:
    """Return kind → how many were tried and how many held."""
    tried, held = Counter[str](), Counter[str]()
    for kind, good in trials:
        tried[kind] += 1
        held[kind] += good
    return {kind: (number, held[kind]) for kind, number in sorted(tried.items())}


def as_markdown(counts: dict[str, tuple[int, int]]) -> str:
    rows = [f"| {kind} | {tried:,} | {held:,} |" for kind, (tried, held) in counts.items()]
    return "\n".join(["| kind | trials | passed |", "| --- | ---: | ---: |", *rows])
