"""Tables against numbers worked out by hand."""

import dataclasses
import math
from collections.abc import Callable

import pytest

from wcord.benchmark.entries import Entry
from wcord.benchmark.results import Conditions, Footnotes, differing_settings, limited, provenance, tabulate
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.statistics import Difference
from wcord.benchmark.suite import Suite, read_suite
from wcord.checks import UsageError
from wcord.methods.build import resolved_options
from wcord.report.record import Record

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
    assert [pair.started for pair in table.pairs] == [False] * 2 + [True] + [False] * 10
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
    assert kd.values("top1_best") == [70.75, 71.25, 71.15]
    assert kd.values("minutes") == [1.5, 1.5, 1.5]

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
    assert wcord.provenance == "2 a"

    assert lines["crd_uniform"].published is None
    assert lines["crd_uniform"].method == "crd"
    assert lines["at"].reasons == {("not applicable", "no maps"): (0,)}
    assert lines["at"].published is not None
    assert lines["at"].to_published is None
    assert lines["fitnet"].runs.empty


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
    assert pair.conditions == {
        "": Conditions((), 75.12),
        "*": Conditions(("precision = bf16",), 75.12),
        "**": Conditions((), 60.0),
    }
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
    assert not pair.started
    assert all(line.runs.empty for line in pair.lines)
    with pytest.raises(UsageError, match="unknown method 'non'"):
        tabulate(tiny, [], baseline="non")


def test_trainings_of_teachers_are_kept_apart(tiny: Suite) -> None:
    training = Entry(TeacherRun(tiny, "resnet14"), "failed", "NaN")
    table = tabulate(tiny, [training])
    assert table.teachers == {"resnet14": ([training], "")}
    assert not table.pairs[0].started


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


def test_runs_are_counted_by_provenance(tiny: Suite, entry: Make) -> None:
    notes = Footnotes()
    record = entry(tiny, "kd", 0, 70.0).record
    assert record is not None
    other = dataclasses.replace(record, commit="fedcba9876543210+changes", environment={"device": "cuda"})
    assert notes.mark(map(provenance, [record, record, other])) == "2 a, 1 b"
    assert notes.mark([provenance(record)]) == "1 a"
    assert notes.mark([]) == ""
    assert notes.notes == (
        ("a", "commit 0123456, abacus (cpu, threads 1), torch 2.x"),
        ("b", "commit fedcba9+changes, unknown (cuda), torch unknown"),
    )


def test_settings_that_differ_are_told(tiny: Suite, entry: Make) -> None:
    same = entry(tiny, "warm", 1, 70.0, override={"workers": 7, "in_memory": "no"})
    assert same.record is not None
    assert differing_settings(same, same.record) == []
    bent = entry(tiny, "warm", 1, 70.0, override={"precision": "bf16", "compile": True})
    assert bent.record is not None
    assert differing_settings(bent, bent.record) == ["precision = bf16", "compile = true"]
    (note,) = tabulate(tiny, [bent]).notes
    assert note[1].endswith("; settings that differ from the suite's: precision = bf16, compile = true")


def test_settings_that_an_older_version_lacked_count_as_defaults(tiny: Suite, entry: Make) -> None:
    old = entry(tiny, "kd", 0, 70.0)
    assert old.record is not None
    del old.record.config["training"]["channels_last"], old.record.config["data"]["split_seed"]
    assert differing_settings(old, old.record) == []
    old.record.config["training"]["since_removed"] = 3
    (told,) = differing_settings(old, old.record)
    assert told.startswith("of another version (unknown setting in [training] 'since_removed'")


def test_teachers_are_compared_with_their_own_settings(tiny: Suite, made_up: Callable[..., Record]) -> None:
    training = TeacherRun(tiny, "resnet14")
    record = made_up(training, 80.0, override={"epochs": 9})
    assert differing_settings(Entry(training, "done", "", record), record) == ["epochs = 9"]


def test_letters_continue_after_z() -> None:
    notes = Footnotes()
    notes.mark(map(str, range(28)))
    assert [letter for letter, _ in notes.notes][24:] == ["y", "z", "aa", "ab"]


def test_options_that_were_others_when_a_run_was_made_are_told(tiny: Suite, entry: Make) -> None:
    """A default or the catalogue may change, and `set` is empty before and after."""
    same = entry(tiny, "kd", 0, 70.0)
    assert same.record is not None
    objective = resolved_options("kd")
    made = dataclasses.replace(same.record, objective=objective)
    assert differing_settings(same, made) == []
    # What was set by hand to what is the default now, or the reverse, is the same run.
    by_hand = dataclasses.replace(made, config=made.config | {"set": ["kd.temperature=4.0"]})
    assert differing_settings(same, by_hand) == []
    older = {**objective, "kd": {**objective["kd"], "temperature": 2.0, "since_removed": 1}}
    assert differing_settings(same, dataclasses.replace(made, objective=older)) == ["kd.temperature = 2.0"]


def test_records_that_hold_no_options_stand_on_those_that_their_suite_states(tiny: Suite, entry: Make) -> None:
    old = entry(tiny, "kd", 0, 70.0)
    assert old.record is not None
    assert not old.record.objective
    row = old.row
    assert isinstance(row, Row)
    suite = dataclasses.replace(tiny, options={row.pair.flag: ("kd.temperature=2",)})
    stated = dataclasses.replace(old, row=dataclasses.replace(row, suite=suite))
    assert differing_settings(stated, old.record) == []
    bent = dataclasses.replace(old.record, config=old.record.config | {"set": ["kd.temperature=3"]})
    assert differing_settings(stated, bent) == ["set = kd.temperature=3"]
