import dataclasses
import io

import pytest
from rich.console import Console

from wcord.report import tables
from wcord.report.record import Record


def made_up(name, method="kd", seed=0, top1=70.0, **changes):
    fields = {
        "name": name,
        "kind": "distill",
        "method": method,
        "student": "resnet8",
        "teacher": "resnet56",
        "data": "digits",
        "seed": seed,
        "config": {"method": method, "out": f"runs/{name}", "training": {"seed": seed, "lr": 0.05}},
        "num_classes": 10,
        "classes": [str(i) for i in range(10)],
        "epochs": [],
        "metrics": {"top1_last": top1, "top1_best": top1 + 1, "top5": 99.0, "ece": 0.04, "agreement": 80.0},
        "teacher_metrics": {"top1": 75.0, "top5": 99.5, "ece": 0.1},
        "cost": {
            "student": {"parameters": 83_892, "macs": 12_510_000, "latency_ms": 1.5, "size_bytes": 1},
            "teacher": {"parameters": 861_620, "macs": 125_750_000, "latency_ms": 9.0 + seed, "size_bytes": 1},
        },
        "environment": {},
        "wall_seconds": 1.0,
    } | changes
    return Record(**fields)


def test_seeds_of_one_configuration_are_one_row():
    records = [made_up(f"kd_seed{s}", seed=s, top1=70.0 + s) for s in range(3)] + [made_up("ce", "ce")]
    teacher, kd, ce = tables.rows(records)
    assert teacher.is_teacher
    assert teacher.values("top1_last") == (75.0,)
    assert kd.run == "kd"
    assert kd.values("top1_last") == (70.0, 71.0, 72.0)
    assert kd.top1 == 71.0
    assert ce.values("top1_last") == (70.0,)
    assert tables.group(records) == [[0, 1, 2], [3]]


def test_a_teacher_with_parts_that_a_method_adds_is_a_row_of_its_own():
    one, more, other = made_up("kd"), made_up("4ds", "4ds+kd"), made_up("apt", "apt")
    old = made_up("old", "a method of another version")
    plain, *adapted = (row for row in tables.rows([one, more, other, old]) if row.is_teacher)
    assert (plain.run, plain.method, plain.is_adapted) == ("teacher", "–", False)
    assert [(row.run, row.method, row.student, row.is_adapted) for row in adapted] == [
        ("teacher, adapted", "4ds+kd", "resnet56", True),
        ("teacher, adapted", "apt", "resnet56", True),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "crd"},
        {"student": "resnet14"},
        {"teacher": "vgg13"},
        {"data": "other"},
        {"config": {"method": "kd", "training": {"lr": 0.1}}},
    ],
)
def test_other_configurations_are_other_rows(change):
    first = made_up("a")
    assert len(tables.group([first, dataclasses.replace(first, **change)])) == 2


def test_a_record_of_an_earlier_version_is_of_the_configuration_of_one_of_today():
    before = {"method": "kd", "pairing": {"teacher_input": [], "teacher_view": "gray", "unpaired": "drop"}}
    today = {"method": "kd", "teacher_data": {"view": "gray"}, "pairing": {"unpaired": "drop"}}
    other = {"method": "kd", "teacher_data": {"view": "edges"}, "pairing": {"unpaired": "drop"}}
    records = [made_up(str(seed), seed=seed, config=config) for seed, config in enumerate((before, today, other))]
    assert tables.group(records) == [[0, 1], [2]]


def test_several_seeds_show_mean_deviation_and_number():
    row = tables.rows([made_up(f"kd{s}", seed=s, top1=70.0 + 2 * s) for s in range(2)])[1]
    names = tables.headings([row])
    assert dict(zip(names, tables.cells(row, names), strict=True))["top-1 last, %"] == "71.00 ± 1.41 (2)"


def test_what_is_missing_is_a_dash():
    record = made_up("x", kind="train", teacher=None, teacher_metrics=None, metrics={"top1_last": 70.0}, cost={})
    (row,) = tables.rows([record])
    names = tables.headings([row])
    told = dict(zip(names, tables.cells(row, names), strict=True))
    assert {told[name] for name in ("parameters", "MACs", "latency, ms", "top-5, %", "ECE", "agreement, %")} == {"–"}
    assert told["top-1 best, % (chosen on test)"] == "–"


def test_the_teacher_stands_once_whatever_its_latency():
    assert [row.is_teacher for row in tables.rows([made_up("a", seed=0), made_up("b", "crd", seed=1)])] == [1, 0, 0]


def test_a_teacher_of_other_classes_has_no_accuracy():
    row = tables.rows([made_up("a", teacher_metrics=None)])[0]
    assert tables.cells(row, ["top-1 last, %", "parameters"]) == ["–", "0.86 M"]


@pytest.mark.parametrize(("share", "shown"), [(97.6, True), (20.0, True), (10.5, False)])
def test_balance_is_shown_where_classes_are_unbalanced(share, shown):
    metrics = {"top1_last": 97.6, "balanced": 51.23, "macro_f1": 49.87, "commonest": share}
    rows = tables.rows([made_up("only", metrics=metrics, epochs=[{"train_top1": 98.76}])])
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(tables.terminal_table(rows))
    text = console.export_text()
    assert ("51.23" in text) == ("49.87" in text) == (f"{share:.2f}" in text) == shown
    names = tables.headings(rows)
    cells = tables.cells(rows[-1], names)
    assert ("51.23" in cells) == shown
    assert "98.76" in cells


def test_several_labels_have_columns_of_their_own():
    metrics = {"map_last": 61.5, "map_best": 62.0, "macro_f1": 49.8, "micro_f1": 55.5}
    (_, row) = tables.rows([made_up("only", metrics=metrics, teacher_metrics={"map": 70.0})])
    names = tables.headings([row])
    assert names[-4:] == ("macro-F1, %", "mAP last, %", "mAP best, % (chosen on test)", "micro-F1, %")
    assert tables.cells(row, names)[-4:] == ["49.80", "61.50", "62.00", "55.50"]
    assert not any("top-1" in name for name in names)


def test_the_terminal_shows_every_column():
    console = Console(width=220, file=io.StringIO(), record=True)
    console.print(tables.terminal_table(tables.rows([made_up("only")])))
    shown = console.export_text()
    assert all(word in shown for word in ("only", "resnet56", "70.00", "12.5 M", "chosen on", "80.0"))
