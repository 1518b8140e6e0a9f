"""What each setting affects: declared on every field, and the lists that derive from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import pytest

from wcord.api import RESUMABLE
from wcord.benchmark.rows import FLAGS, ONE_CALL, PLACE, TODAY
from wcord.bounds import Bounds
from wcord.data.choice import HOLDOUT
from wcord.data.config import DataConfig, PairingConfig
from wcord.models.card import CUT
from wcord.report.tables import _ONE_RUN_ONLY
from wcord.scope import Scope, declared_settings, scopes, tables
from wcord.training.config import UNSAVED, DistillConfig, TrainConfig, TrainingConfig, configure
from wcord.training.places import lasting

SETTINGS = scopes(TrainConfig, DistillConfig)
FREE = {"out", "overwrite", "device", "max_time", "workers", "in_memory", "capture"}


def names(*facts: str) -> set[str]:
    return {name for name, affects in SETTINGS.items() if affects.facts & set(facts)}


@pytest.mark.parametrize("kind", [TrainConfig, DistillConfig, DataConfig, PairingConfig, TrainingConfig])
def test_every_setting_declares_what_it_affects(kind: type) -> None:
    assert scopes(kind).keys() == declared_settings(kind).keys()


def test_a_setting_that_says_nothing_is_named() -> None:
    @dataclass
    class Careless:
        power: Annotated[int, Bounds(1)] = 1

    with pytest.raises(TypeError, match="the setting power of Careless does not declare what it affects"):
        scopes(Careless)


def test_what_never_changes_a_result() -> None:
    of = {scope: {name for name, affects in SETTINGS.items() if affects.scope == scope} for scope in get_args(Scope)}
    assert of["call"] == {"max_time", "overwrite", "allow_weak_teacher"}
    assert of["place"] == {"out", "data", "teacher_data", "teacher_weights", "teacher_cache"}
    assert of["machine"] == {
        *("device", "workers", "in_memory", "capture"),
        *("tracker", "checkpoint_every", "teacher_ahead"),
    }
    assert SETTINGS.keys() - of["result"] == PLACE


def test_what_may_change_on_resume() -> None:
    assert set(RESUMABLE) == {"device", "max_time", "workers", "in_memory", "capture"}
    assert {"data", "teacher_data", "teacher_weights", "teacher_cache", "out", "overwrite", *RESUMABLE} == TODAY


def test_what_a_run_keeps_to_its_end_is_all_but_what_may_change_and_files() -> None:
    config = configure(DistillConfig, {"teacher": "t", "student": "s", "out": Path("o"), "teacher_weights": "w.pth"})
    files = {
        "data",
        "teacher_data",
        "label_map",
        "class_weights",
        "teacher_weights",
        "student_weights",
        "teacher_cache",
    }
    assert lasting(config).keys() == declared_settings(DistillConfig).keys() - FREE - files


def test_what_differs_between_runs_of_one_configuration() -> None:
    assert {"seed", "out", "overwrite", "device", "max_time", "workers", "in_memory", "capture"} <= _ONE_RUN_ONLY
    assert {"seed", "teacher_cache"} == _ONE_RUN_ONLY - FREE


def test_what_no_record_or_recipe_holds() -> None:
    assert UNSAVED == ["overwrite"]
    assert {"out", "overwrite", "teacher_cache", "max_time"} == ONE_CALL
    assert {"device", *ONE_CALL} == FLAGS


def test_facts_about_settings() -> None:
    assert (
        names("holdout")
        == set(HOLDOUT)
        == {"split_seed", "holdout", "group_by"}
        == CUT.keys() - {"samples", "held_out"}
    )
    assert names("opened data") == {"data", "views", "workers", "no_labels", "label_map"}
    assert names("teacher outputs") == {"seed", "batch_size", "precision", "channels_last"}
    assert names("code") == {"model", "student", "teacher"}
    assert names("source") == {"data", "teacher_data"}
    assert names("output") == {"out", "teacher_cache"}
    assert names("file") == {"weights", "student_weights", "teacher_weights", "label_map", "class_weights"}


def test_settings_that_are_paths_are_declared_as_files() -> None:
    hints = {**declared_settings(TrainConfig), **declared_settings(DistillConfig)}
    assert {name for name, hint in hints.items() if "Path" in str(hint)} <= names("file", "output")


def test_tables_of_a_configuration() -> None:
    assert tables(DistillConfig) == {"data": DataConfig, "pairing": PairingConfig, "training": TrainingConfig}
