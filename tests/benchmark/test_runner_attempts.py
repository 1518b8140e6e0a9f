"""One run under its claim: real runs of seconds, and what is written where one goes wrong."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from wcord.benchmark import runner
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.runner import Attempts, Clock
from wcord.benchmark.state import FAILED, read_state
from wcord.benchmark.suite import Pair, Suite
from wcord.checks import RunError, UsageError
from wcord.claim import claim
from wcord.data.dataset import DataSet
from wcord.data.opening import open_data
from wcord.models.create import create_model
from wcord.training.config import DistillConfig, read_config, to_toml
from wcord.training.outcome import Outcome
from wcord.training.run import RunFolder


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
    assert read_state(folder).status == "done"
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
    state = read_state(one.folder(place.out))
    assert state.status == "stopped"
    assert state.epochs < 25
    assert first.stop.reason == "reached --max-time of 0.004 minutes"
    # Another worker, without the overrides: the run keeps its own, and what is overridden today is told.
    said: list[str] = []
    today = dataclasses.replace(place, override={"lr": 0.5})
    assert Attempts(today, Clock(None), said.append).run(one, one.config(today, None)) == "settled"
    assert f"{one.name}, seed 0 started without lr = 0.5 and resumes without" in said
    assert read_state(one.folder(place.out)).epochs == 25
    lines = (one.folder(place.out) / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 25


def test_a_claimed_run_is_left_alone(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kd")
    with claim(one.folder(place.out)):
        assert attempts(place).run(one, one.config(place, None)) == "taken"
    assert read_state(one.folder(place.out)).status == "left"


def test_what_a_kill_left_before_the_run_began_is_cleared(tiny: Suite, place: Place) -> None:
    one = row(tiny, "ce")
    one.folder(place.out).mkdir(parents=True)
    (one.folder(place.out) / ".config.toml.123.part").touch()
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert read_state(one.folder(place.out)).status == "done"


def test_a_method_that_does_not_fit_is_noted(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kdsvd", teacher="resnet8x4")
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    state = read_state(one.folder(place.out))
    assert state.status == "not applicable"
    assert "channels" in state.reason


def test_a_loss_that_explodes_is_noted(tiny: Suite, place: Place) -> None:
    bent = dataclasses.replace(place, override={"lr": 1e30, "batch_size": 16})
    one = row(tiny, "kd")
    assert attempts(bent).run(one, one.config(bent, None)) == "settled"
    state = read_state(one.folder(place.out))
    assert state.status == "failed"
    assert "step" in state.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RunError("disk full"), "disk full"), (KeyError("x"), "KeyError: 'x'"), (MemoryError(), "MemoryError: ")],
)
def test_any_failure_of_one_run_is_its_own(
    error: Exception, reason: str, tiny: Suite, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "api", SimpleNamespace(start=fails(error)))
    one = row(tiny, "kd")
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    assert read_state(one.folder(place.out)).reason == reason.strip()
    assert "Traceback" in (one.folder(place.out) / FAILED).read_text()


def test_a_stopped_run_takes_its_teacher_from_where_it_lies_today(
    tiny: Suite, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = row(tiny, "kd")
    begun = dataclasses.replace(one.config(place, tmp_path / "gone" / "t.pth"), out=one.folder(place.out))
    begun = dataclasses.replace(begun, training=dataclasses.replace(begun.training, epochs=7, lr=0.25))
    RunFolder.create(begun.out, to_toml(begun))
    asked: dict[str, Any] = {}
    result = SimpleNamespace(outcome=Outcome("finished", "", None, 1.0))

    def resume(run: Path, **more: Any) -> object:
        asked.update(more, run=run)
        return result

    monkeypatch.setattr(runner, "api", SimpleNamespace(resume=resume))
    today = dataclasses.replace(one.config(place, tmp_path / "here.pth"))
    cache = tmp_path / "cache"
    data = dataclasses.replace(today.data, workers=1)
    today = dataclasses.replace(today, data=data, training=dataclasses.replace(today.training, teacher_cache=cache))
    attempts(place, 10).run(one, today)
    config = asked["config"]
    assert (config.teacher_weights, config.training.teacher_cache, config.data.workers) == (
        tmp_path / "here.pth", cache, 1,
    )  # fmt: skip
    assert (config.training.epochs, config.training.lr, config.out) == (7, 0.25, one.folder(place.out))
    assert 9 < asked["max_time"] < 10


def test_a_folder_that_cannot_be_gone_on_with_fails_alone(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kd")
    one.folder(place.out).mkdir(parents=True)
    (one.folder(place.out) / "config.toml").write_text('teacher = "x"\n[training]\nepochs = 3\nsince_removed = 1\n')
    assert attempts(place).run(one, one.config(place, None)) == "settled"
    state = read_state(one.folder(place.out))
    assert state.status == "failed"
    assert "unknown setting in [training] 'since_removed'" in state.reason


@pytest.mark.parametrize(
    ("option", "reason"),
    [("temperature=-1", "temperature"), ("temperature=abc", "must be a finite number above 0, received 'abc'")],
)
def test_an_option_that_cannot_be_meant_is_a_failure(option: str, reason: str, tiny: Suite, place: Place) -> None:
    one = row(tiny, "kd")
    config = dataclasses.replace(one.config(place, None), set=(f"kd.{option}",))
    assert attempts(place).run(one, config) == "settled"
    state = read_state(one.folder(place.out))
    assert state.status == "failed"
    assert reason in state.reason


def test_data_and_device_that_no_run_could_use_end_the_worker(tiny: Suite, place: Place) -> None:
    one = row(tiny, "kd")
    with pytest.raises(UsageError, match="device must be auto, cpu"):
        attempts(place).run(one, one.config(dataclasses.replace(place, device="gpu"), None))
    assert read_state(one.folder(place.out)).status == "left"
    training = TeacherRun(tiny, "resnet14")
    with pytest.raises(UsageError, match="unknown data source"):
        attempts(place).run(training, training.config(dataclasses.replace(place, data="digitz")))


def test_a_signal_stops_the_worker(tiny: Suite, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    result = SimpleNamespace(outcome=Outcome("stopped", "received SIGTERM", 15, 1.0))
    monkeypatch.setattr(runner, "api", SimpleNamespace(start=lambda *arguments, **options: result))
    one, tried = row(tiny, "kd"), attempts(place)
    assert tried.run(one, one.config(place, None)) == "stopped"
    assert tried.stop == result.outcome


def test_a_run_for_which_no_time_is_left_once_the_data_are_open_is_not_failed(
    tiny: Suite, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = row(tiny, "kd")

    def slow(*seen: Any) -> DataSet:
        time.sleep(0.3)
        return open_data(*seen)

    monkeypatch.setattr(runner, "open_data", slow)
    late = attempts(place, 0.004)
    assert late.run(one, one.config(place, None)) == "stopped"
    assert late.stop is not None
    assert read_state(one.folder(place.out)).status == "left"


def test_a_run_does_not_go_on_with_another_teacher(tiny: Suite, place: Place, tmp_path: Path) -> None:
    weights = [tmp_path / f"{seed}.pth" for seed in (0, 1)]
    for seed, path in enumerate(weights):
        torch.manual_seed(seed)
        torch.save(create_model("resnet14", num_classes=10, in_channels=1).state_dict(), path)
    begun = dataclasses.replace(place, override={"epochs": 25, "batch_size": 16, "allow_weak_teacher": True})
    one = row(tiny, "kd")
    assert attempts(begun, 0.004).run(one, one.config(begun, weights[0])) == "stopped"
    with pytest.raises(UsageError, match="began with a teacher other"):
        attempts(begun, 0.004).run(one, one.config(begun, weights[1]))
    assert read_state(one.folder(place.out)).status == "stopped"
    assert attempts(begun, 0.004).run(one, one.config(begun, weights[0])) == "stopped"
