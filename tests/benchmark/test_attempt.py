"""One run under its claim: real runs of seconds, and what is written where one goes wrong."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wcord.benchmark import attempt
from wcord.benchmark.attempt import Attempts
from wcord.benchmark.claim import claim
from wcord.benchmark.clock import Clock
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.state import FAILED, look
from wcord.benchmark.suite import Pair, Suite
from wcord.checks import RunError, UsageError
from wcord.training.config import DistillConfig, read_config
from wcord.training.loop import Outcome


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(out=tmp_path / "out", device="cpu")


def attempts(place: Place, minutes: float | None = None) -> Attempts:
    return Attempts(place, Clock(minutes), lambda line: None)


def row(suite: Suite, label: str, seed: int = 0, teacher: str = "resnet14") -> Row:
    return Row(suite, Pair(teacher, "resnet8"), label, seed)


def fails(error: Exception) -> Callable[..., Any]:
    def start(*arguments: object, **options: object) -> object:
        raise error

    return start


def test_a_run_is_made_once(tiny: Suite, place: Place) -> None:
    one = row(tiny, "warm", 1)
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    folder = one.folder(place.out)
    assert look(folder).status == "done"
    config = read_config(folder / "config.toml")
    assert isinstance(config, DistillConfig)
    assert (config.method, config.set, config.training.seed) == ("kd", ("kd.temperature=2",), 1)
    made = (folder / "record.json").stat().st_mtime_ns
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert (folder / "record.json").stat().st_mtime_ns == made


def test_a_stopped_run_goes_on_with_the_settings_it_was_begun_with(tiny: Suite, place: Place) -> None:
    begun = dataclasses.replace(place, override={"epochs": 25, "batch_size": 16})
    one = row(tiny, "kd")
    first = attempts(begun, 0.004)
    assert first.run(one, one.config(begun, None)) == "stopped"
    assert first.stop is not None
    assert first.stop.signal is None
    state = look(one.folder(place.out))
    assert state.status == "stopped"
    assert state.epochs < 25
    # Another worker, without the overrides: the run keeps its own.
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert look(one.folder(place.out)).epochs == 25
    lines = (one.folder(place.out) / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 25


def test_a_claimed_run_is_left_alone(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kd")
    with claim(one.folder(place.out)):
        assert attempts(place).run(one, one.config(place, None)) == "taken"
    assert look(one.folder(place.out)).status == "left"


def test_what_a_kill_left_before_the_run_began_is_cleared(tiny: Suite, place: Place) -> None:
    one = row(tiny, "ce")
    one.folder(place.out).mkdir(parents=True)
    (one.folder(place.out) / ".config.toml.123.part").touch()
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert look(one.folder(place.out)).status == "done"


def test_a_method_that_does_not_fit_is_noted(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kdsvd", teacher="resnet8x4")
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    state = look(one.folder(place.out))
    assert state.status == "not applicable"
    assert "channels" in state.reason


def test_a_loss_that_explodes_is_noted(tiny: Suite, place: Place) -> None:
    bent = dataclasses.replace(place, override={"lr": 1e30, "batch_size": 16})
    one = row(tiny, "kd")
    assert attempts(bent).run(one, one.config(bent, None)) == "settled"
    state = look(one.folder(place.out))
    assert state.status == "failed"
    assert "step" in state.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RunError("disk full"), "disk full"), (KeyError("x"), "KeyError: 'x'"), (MemoryError(), "MemoryError: ")],
)
def test_any_failure_of_one_run_is_its_own(
    error: Exception, reason: str, tiny: Suite, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "api", SimpleNamespace(start=fails(error)))
    one = row(tiny, "kd")
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert look(one.folder(place.out)).reason == reason.strip()
    assert "Traceback" in (one.folder(place.out) / FAILED).read_text()


@pytest.mark.parametrize("label", ["ce", "kd"])
def test_mistakes_that_meet_every_run_are_not_put_down_to_the_method(label: str, tiny: Suite, place: Place) -> None:
    one = row(tiny, label)
    config = one.config(place, Path("none.pth"))
    with pytest.raises(UsageError, match=r"'none\.pth' does not exist"):
        attempts(place).run(one, config)
    assert look(one.folder(place.out)).status == "left"
    training = TeacherRun(tiny, "resnet14")
    with pytest.raises(UsageError, match="unknown data source"):
        attempts(place).run(training, training.config(dataclasses.replace(place, data="digitz")))


def test_a_signal_stops_the_worker(tiny: Suite, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    result = SimpleNamespace(outcome=Outcome("stopped", "received SIGTERM", 15, 1.0))
    monkeypatch.setattr(attempt, "api", SimpleNamespace(start=lambda *arguments: result))
    one, tried = row(tiny, "kd"), attempts(place)
    assert tried.run(one, one.config(place, None)) == "stopped"
    assert tried.stop == result.outcome
