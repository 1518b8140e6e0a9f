"""Who may write in a run's folder."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wcord.api.folder import claimed_by_first, refuse_taken
from wcord.checks import UsageError
from wcord.claim import claim, is_claimed
from wcord.training.config import TrainConfig, configure


def config(out: Path) -> TrainConfig:
    return configure(TrainConfig, {"model": "resnet8", "data": "digits", "out": out})


def process(main: bool) -> Any:
    return SimpleNamespace(is_main_process=main)


def test_a_claimed_folder_is_refused_but_to_its_holder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    refuse_taken(config(out), claimed=False)
    with claim(out):
        with pytest.raises(UsageError, match="is in use by process"):
            refuse_taken(config(out), claimed=False)
        refuse_taken(config(out), claimed=True)


def test_the_first_process_claims_for_all(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with claimed_by_first(out, process(main=False), claimed=False):
        assert not is_claimed(out)
    with claimed_by_first(out, process(main=True), claimed=False):
        assert is_claimed(out)
        with claimed_by_first(out, process(main=True), claimed=True):
            pass
        with (
            pytest.raises(UsageError, match="is in use by process"),
            claimed_by_first(out, process(main=True), claimed=False),
        ):
            pass
    assert not is_claimed(out)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError):
        refuse_taken(config(tmp_path), claimed=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"
