"""The loop: exact resumption, clean stops, values that are not finite, what is evaluated and saved."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.data.loader import Loader
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.engine import make_accelerator, resolve_device
from wcord.training.loop import Trainer
from wcord.training.run import RunFolder

SMALL: dict[str, object] = {
    "teacher": "resnet8",
    "student": "resnet8",
    "method": "wcord+kd",
    "set": ["wcord.num_negatives=64"],
    "allow_weak_teacher": True,
    "subset": 12.0,
    "batch_size": 24,
    "epochs": 2,
    "device": "cpu",
}


def silent(line: str) -> None:
    pass


def distil(out: Path, **settings: Any) -> api.Result:
    return api.start(configure(DistillConfig, SMALL | {"out": out} | settings), say=silent)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "student.safetensors")


def assert_same_run(run: Path, other: Path) -> None:
    """Bit for bit: weights, and every logged number but the time."""
    mine, theirs = weights(run), weights(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name
    logs = [[json.loads(line) for line in (r / "metrics.jsonl").read_text().splitlines()] for r in (run, other)]
    for log in logs:
        for entry in log:
            entry.pop("seconds")
    assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    return distil(tmp_path_factory.mktemp("whole") / "run", checkpoint_every=2).run


def test_the_same_seed_gives_the_same_run_and_another_does_not(whole: Path, tmp_path: Path) -> None:
    assert_same_run(whole, distil(tmp_path / "again").run)
    other = weights(distil(tmp_path / "other", seed=1).run)
    assert any(not torch.equal(value, other[name]) for name, value in weights(whole).items())


@pytest.mark.parametrize("stop_after", [1, 5])
def test_a_run_stopped_at_any_step_goes_on_bit_for_bit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    stop_and_go_on(tmp_path / "run", monkeypatch, stop_after)
    assert_same_run(whole, tmp_path / "run")


def stop_and_go_on(out: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int, **settings: Any) -> None:
    decide = Trainer._wish_to_stop

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        return ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_wish_to_stop", stop)
    stopped = distil(out, **settings)
    assert stopped.outcome.status == "stopped"
    assert stopped.record is None
    monkeypatch.undo()
    # Neither numbers that are drawn in between nor a checkpoint that was killed while it was written matter.
    torch.randn(7, device=settings.get("device"))
    (out / "checkpoints" / ".step-000000999.pt.1.part").write_bytes(b"half a checkpoint")
    assert api.resume(out, say=silent).outcome.status == "finished"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cuDNN always takes the same algorithms."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        undisturbed = distil(tmp_path / "whole", device="cuda").run
        stop_and_go_on(tmp_path / "run", monkeypatch, 4, device="cuda")
    assert_same_run(undisturbed, tmp_path / "run")


def test_a_run_goes_on_only_with_as_many_batches(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In other numbers of processes an epoch may have fewer: another schedule, and another run."""
    shutil.copytree(whole, tmp_path / "run")
    batches = Loader.__len__
    monkeypatch.setattr(Loader, "__len__", lambda loader: batches(loader) - 1)
    with pytest.raises(UsageError, match=r"the run has 5 batches an epoch, in 1 process\(es\) it would have 4"):
        api.resume(tmp_path / "run", say=silent)


def test_sigterm_saves_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def step_then_signal(trainer: Trainer, *arguments: Any) -> None:
        step(trainer, *arguments)
        if trainer.at.steps_done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Trainer, "_step", step_then_signal)
    result = distil(tmp_path / "run")
    assert (result.outcome.status, result.outcome.signal) == ("stopped", signal.SIGTERM)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000003.pt"]


def test_time_limit_saves_and_stops(tmp_path: Path) -> None:
    result = distil(tmp_path / "run", max_time=1e-4)
    assert result.outcome.status == "stopped"
    assert "reached --max-time" in result.outcome.reason
    assert api.resume(tmp_path / "run", max_time=60.0, say=silent).outcome.status == "finished"


@pytest.mark.parametrize(
    ("method", "message"),
    [("ce", "ce became nan at step 3: lower --lr"), ("kd", "step 3: kd: student_logits holds 240 values .*lower --lr")],
)
def test_nan_stops_by_part_and_step_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, message: str
) -> None:
    step = Trainer._step

    def poison(trainer: Trainer, *arguments: Any) -> None:
        if trainer.at.steps_done == 3:
            with torch.no_grad():
                next(trainer.student.parameters()).fill_(torch.nan)
        step(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", poison)
    with pytest.raises(RunError, match=message):
        distil(tmp_path / "run", checkpoint_every=1, method=method, set=[])
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    state = torch.load(newest, weights_only=True)
    assert state["step"] == 3
    assert all(value.isfinite().all() for value in state["student"].values())


def test_teacher_stays_as_it_was_and_is_in_no_checkpoint(tmp_path: Path) -> None:
    config = configure(DistillConfig, SMALL | {"out": tmp_path / "run", "epochs": 1})
    job = prepare(config, Provided(), silent)
    assert job.teacher is not None
    before = {name: value.clone() for name, value in job.teacher.state_dict().items()}
    run = RunFolder.create(tmp_path / "run", "")
    trainer = Trainer(
        student=job.student,
        teacher=job.teacher,
        objective=job.objective,
        train=job.train,
        test=job.test,
        config=config.training,
        base_lr=0.05,
        run=run,
        accelerator=make_accelerator(config.training, run.path),
    )
    trainer.fit()
    assert not job.teacher.training
    for name, value in job.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    state = torch.load(max(run.checkpoints.iterdir()), weights_only=True)
    first = next(iter(before.values()))
    stored = [v for part in ("student", "objective") for v in state[part].values() if v.shape == first.shape]
    assert not any(torch.equal(value, first) for value in stored)


def test_moving_average_is_what_is_saved_and_resumes(tmp_path: Path) -> None:
    settings = {"ema": 0.9, "method": "kd", "set": []}
    averaged = distil(tmp_path / "averaged", **settings)
    plain = distil(tmp_path / "plain", method="kd", set=[])
    assert any(not torch.equal(value, weights(plain.run)[name]) for name, value in weights(averaged.run).items())
    stopped = distil(tmp_path / "stopped", max_time=1e-4, **settings)
    assert stopped.outcome.status == "stopped"
    api.resume(tmp_path / "stopped", max_time=60.0, say=silent)
    assert_same_run(averaged.run, tmp_path / "stopped")


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"channels_last": True},
        {"optimizer": "adamw", "schedule": "cosine", "warmup_epochs": 0.5, "clip_norm": 1.0},
        {"label_smoothing": 0.1, "eval_every": 5},
        {"class_weights": "balanced"},
        {"mixup": 0.4, "cutmix": 1.0, "class_weights": "balanced", "label_smoothing": 0.1},
        {"method": "lckt-a+lskd", "set": []},
        {"method": "crd", "set": ["crd.num_negatives=64"]},
    ],
)
def test_options_train_to_the_end_with_finite_parts(tmp_path: Path, settings: dict[str, Any]) -> None:
    result = distil(tmp_path / "run", epochs=1, **settings)
    assert result.record is not None
    (entry,) = result.record.epochs
    assert "test_top1" in entry
    assert all(value == value for value in entry["parts"].values())


def test_class_weights_stand_in_the_record_and_survive_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.csv"
    file.write_text("".join(f"{number},{1 + number}\n" for number in range(10)))
    settings: dict[str, Any] = {"method": "kd", "set": [], "class_weights": str(file)}
    whole = distil(tmp_path / "whole", **settings)
    assert whole.record is not None
    assert whole.record.objective["ce"]["class_weights"] == {str(number): 1.0 + number for number in range(10)}
    assert whole.record.config["training"]["class_weights"] == str(file)
    stop_and_go_on(tmp_path / "run", monkeypatch, 4, **settings)
    assert_same_run(whole.run, tmp_path / "run")


def test_mixtures_go_on_bit_for_bit_and_their_training_accuracy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"mixup": 0.4, "cutmix": 1.0, "augment": "crop-flip"}
    whole = distil(tmp_path / "whole", **settings)
    assert whole.record is not None
    for entry in whole.record.epochs:
        assert 0 <= entry["train_top1_mixed"] <= 100
        assert "train_top1" not in entry
    assert "% of dominant labels  test" in capsys.readouterr().err
    stop_and_go_on(tmp_path / "run", monkeypatch, 7, **settings)
    assert_same_run(whole.run, tmp_path / "run")


@pytest.mark.slow
def test_a_compiled_student_trains(tmp_path: Path) -> None:
    result = distil(tmp_path / "run", epochs=1, compile=True)
    assert result.record is not None
    assert result.record.metrics["top1_last"] > 0


def test_training_learns(tmp_path: Path) -> None:
    config = configure(
        TrainConfig,
        {"model": "resnet8", "out": tmp_path / "run", "epochs": 4, "lr": 0.1, "schedule": "cosine", "device": "cpu"},
    )
    record = api.start(config, say=silent).record
    assert record is not None
    assert record.metrics["top1_last"] > 80
    losses = [entry["loss"] for entry in record.epochs]
    assert losses[-1] < 0.5 * losses[0]


def test_devices_that_do_not_exist_are_told() -> None:
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match=r"device must be auto, cpu, .*received 'gpu'"):
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_asked_for_where_there_is_none() -> None:
    with pytest.raises(
        UsageError, match=r"device 'cuda' was requested, but no CUDA device is visible: use --device cpu"
    ):
        resolve_device("cuda")


def test_a_kill_before_the_first_checkpoint_leaves_no_line_in_the_log(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(trainer: Trainer) -> None:
        raise RunError("killed")

    monkeypatch.setattr(Trainer, "_save", killed)
    with pytest.raises(RunError, match="killed"):
        distil(tmp_path / "run")
    assert len(RunFolder(tmp_path / "run").metrics()) == 1
    monkeypatch.undo()
    api.resume(tmp_path / "run", say=silent)
    assert_same_run(whole, tmp_path / "run")


PREPARED: dict[str, Any] = {"method": "ft+kd", "set": [], "preparation_epochs": 2, "epochs": 1}
"""A method with a stage before the main one, in which its paraphraser is trained."""


def test_a_preparation_stage_comes_first_and_is_no_part_of_the_record(tmp_path: Path) -> None:
    result = distil(tmp_path / "run", **PREPARED | {"preparation_epochs": 8})
    lines = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("stage") for line in lines] == [*["preparation"] * 8, None]
    assert list(lines[0]["parts"]) == ["ft"]
    assert lines[7]["parts"]["ft"] < lines[0]["parts"]["ft"]
    assert "test_top1" not in lines[0]
    assert result.record is not None
    assert len(result.record.epochs) == 1
    whole = distil(tmp_path / "without", **PREPARED | {"preparation_epochs": 0})
    assert whole.record is not None
    assert whole.record.epochs[0]["parts"]["ft"] != result.record.epochs[0]["parts"]["ft"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of two methods with a stage before the main one, which nothing disturbed."""
    folder = tmp_path_factory.mktemp("prepared")
    return {method: distil(folder / method, **PREPARED | {"method": method}).run for method in ("ft+kd", "ab")}


@pytest.mark.parametrize(("method", "stop_after"), [("ft+kd", 7), ("ft+kd", 10), ("ab", 10), ("ab", 12)])
def test_a_run_stopped_in_either_stage_goes_on_bit_for_bit(
    prepared: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, stop_after: int
) -> None:
    stop_and_go_on(tmp_path / "run", monkeypatch, stop_after, **PREPARED | {"method": method})
    assert_same_run(prepared[method], tmp_path / "run")


def test_what_does_not_train_in_a_stage_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FT prepares its paraphraser alone; AB prepares the student, whose classifier has no gradient there."""
    seen: dict[str, dict[str, torch.Tensor]] = {}
    enter = Trainer._enter

    def noting(trainer: Trainer, stage: Any) -> None:
        if stage == "main":
            seen["student"] = {k: v.clone() for k, v in trainer.student.backbone.state_dict().items()}
        enter(trainer, stage)

    monkeypatch.setattr(Trainer, "_enter", noting)
    for method in ("ft+kd", "ab"):
        config = configure(DistillConfig, SMALL | PREPARED | {"method": method, "out": tmp_path / method})
        fresh = prepare(config, Provided(), silent).student.backbone.state_dict()
        api.start(config, say=silent)
        same = {name for name, value in fresh.items() if torch.equal(value, seen["student"][name])}
        assert ("conv1.weight" in same) == (method == "ft+kd")
        assert "fc.weight" in same
