"""Footnotes say how runs came about, each way once."""

import dataclasses
from collections.abc import Callable

from wcord.benchmark.entries import Entry
from wcord.benchmark.provenance import Footnotes, differing_settings
from wcord.benchmark.rows import Row, TeacherRun
from wcord.benchmark.suite import Suite
from wcord.methods.build import resolved_options
from wcord.report.record import Record

Make = Callable[..., Entry]


def test_ways_are_counted_by_letters(tiny: Suite, entry: Make) -> None:
    notes = Footnotes()
    plain = [entry(tiny, "kd", seed, 70.0) for seed in range(2)]
    other = entry(tiny, "kd", 2, 70.0)
    assert other.record is not None
    dirty = dataclasses.replace(other.record, commit="fedcba9876543210+changes", environment={"device": "cuda"})
    assert notes.mark([*plain, dataclasses.replace(other, record=dirty)]) == "2 a, 1 b"
    assert notes.mark([plain[0]]) == "1 a"
    assert notes.mark([Entry(plain[0].row, "failed", "NaN")]) == ""
    assert notes.notes == [
        ("a", "commit 0123456, abacus (cpu, threads 1), torch 2.x"),
        ("b", "commit fedcba9+changes, unknown (cuda), torch unknown"),
    ]


def test_settings_that_differ_are_told(tiny: Suite, entry: Make) -> None:
    same = entry(tiny, "warm", 1, 70.0, override={"workers": 7, "in_memory": "no"})
    assert same.record is not None
    assert differing_settings(same, same.record) == []
    bent = entry(tiny, "warm", 1, 70.0, override={"precision": "bf16", "compile": True})
    assert bent.record is not None
    assert differing_settings(bent, bent.record) == ["precision = bf16", "compile = true"]
    notes = Footnotes()
    notes.mark([bent])
    assert notes.notes[0][1].endswith("; other settings than the suite's: precision = bf16, compile = true")


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


def test_letters_go_on_after_z(tiny: Suite, entry: Make) -> None:
    notes = Footnotes()
    for number in range(28):
        one = entry(tiny, "kd", 0, 70.0)
        assert one.record is not None
        notes.mark([dataclasses.replace(one, record=dataclasses.replace(one.record, commit=f"{number:07d}"))])
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
