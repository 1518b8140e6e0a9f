"""The tables as files."""

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wcord.benchmark.entries import Entry
from wcord.benchmark.results import SuiteTable, tabulate
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.suite import Suite, read_suite
from wcord.benchmark.tables import csv_text, describe, markdown, page, write_tables
from wcord.report.record import Record


@pytest.fixture
def table(entry: Callable[..., Entry]) -> SuiteTable:
    suite = read_suite("crd13")
    pair = suite.pairs[2]
    found = [entry(suite, "crd", seed, 71.0 + seed, pair=pair) for seed in range(3)]
    found += [entry(suite, "wcord", seed, 72.0 + 2 * seed, pair=pair) for seed in range(2)]
    return tabulate(suite, [*found, Entry(Row(suite, pair, "at", 0), "not applicable", "a | b")])


def test_markdown_is_a_table_below_its_title(table: SuiteTable) -> None:
    lines = markdown(table, level=2).splitlines()
    assert lines[0] == "## CIFAR-100, the 13 pairs of the CRD benchmark"
    assert "### resnet56 → resnet20" in lines
    (row,) = [line for line in lines if line.startswith("| `wcord` |")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:6] == [
        "`wcord`", "73.00 ± 1.41 (2)", "71.56 †[2]", "+1.44 ± 1.00 (2)", "+1.50 ± 0.50 (2)", "0.2",
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


Make = Callable[..., Entry]


def rows(table: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of a pair's table, row by row."""
    return [*table["cells"].itertuples(index=False, name=None)]


def test_published_numbers_bear_their_sources_and_doubts(entry: Make) -> None:
    suite = read_suite("crd13")
    pair = suite.pairs[2]
    found = [entry(suite, "crd", 0, 71.0, pair=pair), entry(suite, "wcord", 0, 71.36, pair=pair)]
    found += [entry(suite, name, 0, 72.0, pair=pair) for name in ("wcord+kd", "reviewkd")]
    text = describe(tabulate(suite, found))
    (table,) = text["pairs"]
    assert table["title"] == "resnet56 → resnet20"
    assert table["teacher"] == "Teacher resnet56: 75.12 % (teachers/t.pth); published: 72.34 [1] %."
    cells = table["cells"].set_index("method").to_dict("index")
    assert cells["crd"]["published, %"] == "71.16 [1]"
    assert cells["crd"]["− crd"] == "–"
    number = cells["wcord"]["published, %"].removeprefix("71.56 †[").partition("]")[0]
    assert f"[{number}] from memory" in "\n".join(text["notes"])
    assert cells["wcord"]["ours − published"] == "−0.20"
    assert cells["wcord"]["− crd"] == "+0.36"
    assert cells["wcord"]["best, % (chosen on test)"] == "71.61"
    assert cells["wcord+kd"]["published, %"].startswith("71.92 ‡[")
    # Three sources: the first that is confirmed counts, and the range of the others stands behind.
    assert cells["reviewkd"]["published, %"].startswith("71.89 [")
    notes = "\n".join(text["notes"])
    assert "† from memory, not confirmed in a second source." in notes
    assert "‡ relabeled by inference" in notes
    assert "[1] github HobbitLong/RepDistiller README@b84f547" in notes
    assert "(a) commit 0123456" in notes
    assert "Not run yet: wrn_40_2 → wrn_16_2" in notes
    assert "§" not in notes


def test_spread_error_and_test_are_shown_with_their_number(tiny: Suite, entry: Make) -> None:
    found = [entry(tiny, m, seed, top1) for m, s in (("ce", (60, 61)), ("kd", (62, 64))) for seed, top1 in enumerate(s)]
    (table,) = describe(tabulate(tiny, found))["pairs"]
    assert "published, %" not in table["cells"]
    assert rows(table) == [
        ("ce", "60.50 ± 0.71 (2)", "–", "–", "60.75 ± 0.71 (2)", "80.0 ± 0.0 (2)", "1.5", "2 a"),
        ("kd", "63.00 ± 1.41 (2)", "+2.50 ± 0.50 (2)", "0.13", "63.25 ± 1.41 (2)", "80.0 ± 0.0 (2)", "1.5", "2 a"),
    ]
    assert table["remarks"] == []


def test_what_is_missing_failed_or_does_not_apply_is_said(tiny: Suite, entry: Make) -> None:
    suite = dataclasses.replace(tiny, methods=("ce", "kd", "at", "crd", "sp"))
    pair = suite.pairs[0]
    found = [entry(suite, "ce", 0, 60.0), Entry(Row(suite, pair, "at", 0), "not applicable", "no maps")]
    found += [Entry(Row(suite, pair, "kd", seed), "failed", "step 1: NaN") for seed in (0, 1)]
    found += [Entry(Row(suite, pair, "sp", seed), "failed", "step 1: NaN") for seed in (0, 1)]
    (table,) = describe(tabulate(suite, found))["pairs"]
    assert [row[:2] for row in rows(table)] == [
        ("ce", "60.00"), ("kd", "failed"), ("at", "not applicable"), ("sp", "failed"),
    ]  # fmt: skip
    assert table["remarks"] == [
        "kd, sp failed (seed 0, 1): step 1: NaN",
        "at not applicable (seed 0): no maps",
        "Missing in part: ce (seed 1), at (seed 1).",
        "Not run yet: crd.",
    ]


def test_a_method_that_changes_the_student_is_marked(tiny: Suite, entry: Make) -> None:
    (table,) = describe(tabulate(tiny, [entry(tiny, "simkd", 0, 70.0), entry(tiny, "kd", 0, 69.0)]))["pairs"]
    assert table["remarks"][0] == "simkd ships a network other than resnet8 and is not comparable."


def test_reconstructions_are_marked(tiny: Suite, entry: Make) -> None:
    (table,) = describe(tabulate(tiny, [entry(tiny, "lakd", 0, 70.0), entry(tiny, "kd", 0, 69.0)]))["pairs"]
    assert table["remarks"][0] == "Reconstructions, not their authors' method: lakd."
    (table,) = describe(tabulate(tiny, [entry(tiny, "kd", 0, 69.0)]))["pairs"]
    assert not any("econstruction" in remark for remark in table["remarks"])


def test_a_difference_over_fewer_seeds_than_the_row_says_so(tiny: Suite, entry: Make) -> None:
    found = [entry(tiny, "ce", 0, 60.0), *(entry(tiny, "kd", seed, 62.0 + seed) for seed in range(2))]
    (table,) = describe(tabulate(tiny, found))["pairs"]
    assert rows(table)[1][:3] == ("kd", "62.50 ± 0.71 (2)", "+2.00 (1)")


def test_other_settings_and_teachers_are_told(tiny: Suite, entry: Make, made_up: Callable[..., Record]) -> None:
    training = TeacherRun(tiny, "resnet14")
    found = [entry(tiny, "kd", 0, 70.0), entry(tiny, "kd", 1, 60.0, override={"precision": "bf16"})]
    strange = entry(tiny, "kd", 2, 65.0)
    assert strange.record is not None
    strange = dataclasses.replace(strange, record=dataclasses.replace(strange.record, teacher_metrics={"top1": 50.0}))
    found += [strange, Entry(training, "done", "", made_up(training, 75.123))]
    text = describe(tabulate(tiny, found))
    (table,) = text["pairs"]
    assert [row[:2] for row in rows(table)] == [
        ("kd", "70.00"),
        ("kd *", "60.00"),
        ("kd **", "65.00"),
    ]
    assert table["teacher"] == (
        "Teacher resnet14: 75.12 % (teachers/t.pth) and 50.00 % (teachers/t.pth). "
        "Trained by the suite to 75.12 % in 1.5 minutes (1 a)."
    )
    assert "Rows marked *: precision = bf16; compared only with each other." in table["remarks"]
    assert "Rows marked **: a teacher of 50.00 %; compared only with each other." in table["remarks"]


def test_what_the_suite_does_not_know_is_named(tiny: Suite, entry: Make) -> None:
    old = dataclasses.replace(entry(tiny, "kd", 0, 70.0), row=Row(tiny, tiny.pairs[0], "cold", 0))
    notes = describe(tabulate(tiny, [old]))["notes"]
    assert notes[-1] == "Left out, because the suite does not define these rows: tiny/resnet14-resnet8/cold."


def test_an_empty_suite_says_only_what_is_not_run(tiny: Suite) -> None:
    text = describe(tabulate(tiny, []))
    assert text["pairs"] == []
    assert text["notes"] == ["Not run yet: resnet14 → resnet8."]


def test_the_diagonal_has_a_column_where_a_plan_was_logged(entry: Make) -> None:
    suite = read_suite("mini")
    plain, planned = entry(suite, "kd", 0, 36.0), entry(suite, "lckt-a", 0, 37.0)
    assert planned.record is not None
    epochs = [{**epoch, "diagnostics": {"diagonal_mass": 0.25}} for epoch in planned.record.epochs]
    planned = dataclasses.replace(planned, record=dataclasses.replace(planned.record, epochs=epochs))
    text = describe(tabulate(suite, [plain, planned]))["pairs"][0]["cells"]
    shown = text.set_index("method")["on the diagonal, %"]
    assert (shown["kd"], shown["lckt-a"]) == ("–", "25.0")
    assert "on the diagonal, %" not in describe(tabulate(suite, [plain]))["pairs"][0]["cells"]


def test_of_runs_that_were_evaluated_once_no_epoch_was_best(tiny: Suite, entry: Make) -> None:
    one = entry(tiny, "kd", 0, 70.0)
    assert one.record is not None
    last = [{name: value for name, value in epoch.items() if name != "test_top1"} for epoch in one.record.epochs[:-1]]
    once = dataclasses.replace(one, record=dataclasses.replace(one.record, epochs=[*last, one.record.epochs[-1]]))
    words = describe(tabulate(tiny, [once]))
    assert not any("best" in heading for heading in words["pairs"][0]["cells"])
    assert "Best" not in words["notes"][0]
    assert any("best" in heading for heading in describe(tabulate(tiny, [one]))["pairs"][0]["cells"])


def test_tables_and_figures_in_one_file(entry: Callable[..., Entry]) -> None:
    suite = read_suite("crd13")
    found = [entry(suite, label, 0, 71.0, pair=pair) for label in ("crd", "wcord") for pair in suite.pairs[2:4]]
    table = tabulate(suite, found)
    html = page(table)
    assert html.count("<svg") == html.count("<table>") == 2
    assert "resnet110 → resnet20" in html
    assert "71.56 †[" in html
    assert "<code>crd_uniform</code> from all rows" in html
    assert "`" not in html
    assert "Diamonds: published" in html
    assert not re.search(r'(src|href)="(?!#)', html)
    assert len(set(re.findall(r'id="(pair\d)-', html))) == 2


def test_what_users_wrote_is_escaped(tiny: Suite) -> None:
    table = tabulate(tiny, [Entry(Row(tiny, tiny.pairs[0], "kd", 0), "failed", "<b>NaN</b>")])
    html = page(table)
    assert "&lt;b&gt;NaN&lt;/b&gt;" in html
    assert "<svg" not in html
    assert "Diamonds" not in html


def test_a_suite_without_runs_has_a_page(tiny: Suite) -> None:
    table = tabulate(tiny, [])
    assert "No run is finished yet." in page(table)
