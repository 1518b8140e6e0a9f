"""Tables against numbers worked out by hand."""

import dataclasses
import math
from collections.abc import Callable

import pytest

from wcord.benchmark.entries import Entry
from wcord.benchmark.results import Group, limited, tabulate
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.statistics import Difference
from wcord.benchmark.suite import Suite
from wcord.benchmark.suite_file import read_suite
from wcord.checks import UsageError

Make = Callable[..., Entry]


@pytest.fixture
def entries(entry: Make) -> list[Entry]:
    """Three seeds of kd, two of wcord, one of a variant, on resnet56 → resnet20; fsp does not apply."""
    suite = read_suite("crd13")
    pair = suite.pairs[2]
    reached = {"kd": [70.5, 71.0, 70.9], "wcord": [71.6, 71.8], "crd_uniform": [71.3], "crd+kd": [72.0]}
    found = [
        entry(suite, m, seed, top1, pair=pair) for m, values in reached.items() for seed, top1 in enumerate(values)
    ]
    return [*found, Entry(Row(suite, pair, "at", 0), "not applicable", "no maps")]


def test_numbers_by_hand(entries: list[Entry]) -> None:
    table = tabulate(read_suite("crd13"), entries, baseline="kd")
    assert [pair.begun for pair in table.pairs] == [False] * 2 + [True] + [False] * 10
    pair = table.pairs[2]
    assert pair.teacher == {"75.12": "teachers/t.pth"}
    assert pair.teacher_published is not None
    assert pair.teacher_published.top1 == 72.34
    lines = {line.label: line for line in pair.lines}

    kd = lines["kd"]
    assert kd.top1 == {0: 70.5, 1: 71.0, 2: 70.9}
    assert kd.lacking == ()
    assert kd.to_baseline is None
    assert kd.published is not None
    assert kd.published.top1 == 70.66
    assert kd.to_published is not None
    assert kd.to_published.value == pytest.approx(70.8 - 70.66)
    assert kd.to_published.error == pytest.approx(math.sqrt(0.07 / 3))
    assert kd.measured("top1_best") == (70.75, 71.25, 71.15)
    assert kd.minutes == (1.5, 1.5, 1.5)

    wcord = lines["wcord"]
    assert wcord.lacking == (2,)
    assert wcord.published is not None
    assert wcord.published.doubt
    assert wcord.to_baseline is not None
    # Seeds 0 and 1: differences 1.1 and 0.8.
    assert wcord.to_baseline.value == pytest.approx(0.95)
    assert wcord.to_baseline.error == pytest.approx(0.15)
    t = 0.95 / 0.15
    assert wcord.to_baseline.p == pytest.approx(1 - 2 / math.pi * math.atan(t))
    assert wcord.runs == "2 a"

    assert lines["crd_uniform"].published is None
    assert lines["crd_uniform"].method == "crd"
    assert lines["at"].reasons == {("not applicable", "no maps"): (0,)}
    assert lines["at"].published is not None
    assert lines["at"].to_published is None
    assert lines["fitnet"].missing


def test_rows_that_the_suite_does_not_list_come_last(tiny: Suite, entry: Make) -> None:
    table = tabulate(tiny, [entry(tiny, "warm", 0, 70.0), entry(tiny, "ce", 7, 60.0)])
    (pair,) = table.pairs
    assert [line.label for line in pair.lines] == ["ce", "kd", "warm"]
    assert pair.lines[0].top1 == {7: 60.0}
    assert pair.lines[0].lacking == (0, 1)
    assert pair.lines[2].to_baseline is None  # no seed in common with ce
    assert pair.teacher_published is None


def test_other_seeds_than_the_suites_make_a_row_whole(tiny: Suite, entry: Make) -> None:
    (pair,) = tabulate(tiny, [entry(tiny, "ce", seed, 60.0) for seed in (0, 7)]).pairs
    assert pair.lines[0].lacking == ()


def test_runs_of_other_settings_or_teachers_are_not_pooled(tiny: Suite, entry: Make) -> None:
    bent, other = {"precision": "bf16"}, {"top1": 60.0}
    found = [entry(tiny, label, seed, 60.0 + seed) for label in ("ce", "kd") for seed in (0, 1)]
    found += [entry(tiny, label, 2, top1, override=bent) for label, top1 in (("ce", 50.0), ("kd", 53.0))]
    strange = entry(tiny, "kd", 3, 70.0)
    assert strange.record is not None
    found.append(dataclasses.replace(strange, record=dataclasses.replace(strange.record, teacher_metrics=other)))
    found.append(Entry(Row(tiny, tiny.pairs[0], "kd", 4), "failed", "NaN"))
    (pair,) = tabulate(tiny, found).pairs
    assert [(line.name, dict(line.top1)) for line in pair.lines] == [
        ("ce", {0: 60.0, 1: 61.0}),
        ("ce *", {2: 50.0}),
        ("kd", {0: 60.0, 1: 61.0}),
        ("kd *", {2: 53.0}),
        ("kd **", {3: 70.0}),
    ]
    assert pair.groups == {"*": Group(("precision = bf16",), 75.12), "**": Group((), 60.0)}
    by_name = {line.name: line for line in pair.lines}
    assert by_name["kd *"].to_baseline == Difference(3.0, None, None, 1)
    assert by_name["kd **"].to_baseline is None
    assert by_name["ce *"].to_baseline is None
    assert by_name["kd"].reasons == {("failed", "NaN"): (4,)}
    assert set(pair.teacher) == {"75.12", "60.00"}


def test_rows_that_the_suite_no_longer_knows_are_left_out(tiny: Suite, entry: Make) -> None:
    old = dataclasses.replace(entry(tiny, "kd", 0, 70.0), row=Row(tiny, tiny.pairs[0], "cold", 0))
    table = tabulate(tiny, [entry(tiny, "ce", 0, 60.0), old])
    assert table.left_out == ("tiny/resnet14-resnet8/cold",)
    assert [line.label for line in table.pairs[0].lines] == ["ce", "kd"]


def test_without_runs_all_is_missing(tiny: Suite) -> None:
    (pair,) = tabulate(tiny, []).pairs
    assert not pair.begun
    assert all(line.missing for line in pair.lines)
    with pytest.raises(UsageError, match="unknown method 'non'"):
        tabulate(tiny, [], baseline="non")


def test_trainings_of_teachers_are_kept_apart(tiny: Suite) -> None:
    training = Entry(TeacherRun(tiny, "resnet14"), "failed", "NaN")
    table = tabulate(tiny, [training])
    assert table.teachers == {"resnet14": ([training], "")}
    assert not table.pairs[0].begun


def test_where_splits_go_by_seed_teachers_differ_and_rows_are_pooled(tiny: Suite, entry: Make) -> None:
    suite = dataclasses.replace(tiny, split_by_seed=True)

    def made(label: str, seed: int, top1: float, teacher: float) -> Entry:
        one = entry(suite, label, seed, top1)
        assert one.record is not None
        config = one.record.config
        data = {**config["data"], "split_seed": seed}
        record = dataclasses.replace(one.record, config={**config, "data": data}, teacher_metrics={"top1": teacher})
        return dataclasses.replace(one, record=record)

    entries = [
        made("ce", 0, 60.0, 80.0),
        made("ce", 1, 62.0, 84.0),
        made("kd", 0, 63.0, 80.0),
        made("kd", 1, 64.0, 84.0),
    ]
    (pair,) = tabulate(suite, entries, baseline="ce").pairs
    assert pair.teacher == {"82.00 ± 2.83 (2)": "one for each seed"}
    by_name = {line.name: line for line in pair.lines}
    assert set(by_name) == {"ce", "kd"}
    assert by_name["kd"].to_baseline is not None
    assert by_name["kd"].to_baseline.value == pytest.approx(2.5)


def test_some_rows_and_seeds_only(tiny: Suite, entry: Make) -> None:
    entries = [entry(tiny, label, seed, 60.0 + seed) for label in ("ce", "kd") for seed in (0, 1, 2)]
    suite, kept = limited(tiny, entries, methods=["kd"], seeds=[1, 2])
    (pair,) = tabulate(suite, kept, baseline="kd").pairs
    assert [(line.label, line.top1) for line in pair.lines] == [("kd", {1: 61.0, 2: 62.0})]
    assert limited(tiny, entries) == (tiny, entries)
