"""The tables as files."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from wcord.benchmark.entries import Entry
from wcord.benchmark.results import SuiteTable, tabulate
from wcord.benchmark.rows import Row
from wcord.benchmark.suite_file import read_suite
from wcord.benchmark.tables import csv_text, markdown, write_tables
from wcord.benchmark.wording import put_in_words


@pytest.fixture
def table(entry: Callable[..., Entry]) -> SuiteTable:
    suite = read_suite("crd13")
    pair = suite.pairs[2]
    found = [entry(suite, "crd", seed, 71.0 + seed, pair=pair) for seed in range(3)]
    found += [entry(suite, "wcord", seed, 72.0 + 2 * seed, pair=pair) for seed in range(2)]
    return tabulate(suite, [*found, Entry(Row(suite, pair, "at", 0), "not applicable", "a | b")])


def test_markdown_is_a_table_below_its_title(table: SuiteTable) -> None:
    lines = markdown(put_in_words(table), level=2).splitlines()
    assert lines[0] == "## CIFAR-100, the 13 pairs of the CRD benchmark"
    assert "### resnet56 → resnet20" in lines
    (row,) = [line for line in lines if line.startswith("| `wcord` |")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:6] == [
        "`wcord`", "73.00 ± 1.41 (2)", "71.56 †[6]", "+1.44 ± 1.00 (2)", "+1.50 ± 0.50 (2)", "0.2",
    ]  # fmt: skip
    assert "- at not applicable (seed 0): a \\| b" in lines
    rule = next(line for line in lines if line.startswith("| :---"))
    assert rule.count("|") == row.count("|")


def test_csv_has_every_cell_and_plain_numbers(table: SuiteTable) -> None:
    rows = list(csv.DictReader(csv_text(table).splitlines()))
    assert len(rows) == 13 * len(table.suite.methods)
    mine = {row["row"]: row for row in rows if row["teacher"] == "resnet56"}
    assert float(mine["crd"]["top1_mean"]) == 72.0
    assert float(mine["crd"]["top1_std"]) == 1.0
    assert (mine["crd"]["n"], mine["crd"]["seeds"], mine["crd"]["status"]) == ("3", "0 1 2", "done")
    assert float(mine["wcord"]["to_baseline"]) == 1.5
    assert float(mine["wcord"]["to_baseline_error"]) == pytest.approx(0.5)
    assert float(mine["wcord"]["published"]) == 71.56
    assert mine["wcord"]["published_doubt"].startswith("from memory")
    assert mine["wcord"]["commits"] == "0123456789abcdef"
    assert (mine["at"]["status"], mine["at"]["reason"], mine["at"]["top1_mean"]) == ("not applicable", "a | b", "")
    assert {row["status"] for row in rows if row["teacher"] != "resnet56"} == {"missing"}


def test_three_files_are_written(table: SuiteTable, tmp_path: Path) -> None:
    paths = write_tables(table, tmp_path / "crd13")
    assert [path.name for path in paths] == ["tables.md", "tables.csv", "tables.html"]
    assert all(path.read_text() for path in paths)
