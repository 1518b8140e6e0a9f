"""A teacher that trains: its own step, from the same passes as the student's, saved, resumed and shared exactly."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.tuned_teacher import INFO
from tests.training.test_loop import SMALL, assert_same_run, distil, silent
from torch import Tensor, nn

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.cli import main
from wcord.data.batch import Batch
from wcord.features import capture
from wcord.methods.build import adapt_teacher, build_objective
from wcord.methods.catalogue import METHODS
from wcord.methods.observe import observe
from wcord.methods.term import TeacherTraining
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.setup.job import Job, Provided, prepare
from wcord.training.captured import obstacle_to_capture
from wcord.training.config import DistillConfig, TrainingConfig, configure
from wcord.training.distiller import Distiller
from wcord.training.engine import make_accelerator
from wcord.training.loop import Trainer
from wcord.training.step import Step
from wcord.training.teacher_update import TeacherUpdate
from wcord.training.teaching import teaching
from wcord.training.update import Update

ROOT = Path(__file__).parents[2]
LAUNCHED = """
import sys
from tests.support.tuned_teacher import INFO
from wcord.cli import main
from wcord.methods.catalogue import METHODS
METHODS["tuned"] = INFO
sys.exit(main(sys.argv[1:]))
"""
TUNED: dict[str, Any] = {"method": "tuned", "set": ["tuned.rate=0.05"]}


@pytest.fixture(autouse=True)
def _tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "tuned", INFO)


def network(seed: int) -> Network:
    torch.manual_seed(seed)
    return Network(create_model("resnet8", num_classes=3), Preprocess((0.5,) * 3, (0.5,) * 3))


def batch(rows: int = 4, seed: int = 5) -> Batch:
    images = torch.rand(rows, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Batch(images, images, torch.arange(rows) % 3)


def factors(teacher: Network) -> Tensor:
    return dict(teacher.named_parameters())["backbone.layer1.factor"]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    """Return what makes a step of the method between small networks, with SGD at a rate of 1 for the student."""
    opened = []

    def build(*, clip_norm: float | None = None, **options: Any) -> Step:
        student, teacher = network(0), network(1)
        adapted = adapt_teacher("tuned", teacher, student, options={"tuned": options})
        assert isinstance(adapted, Network)
        sample = torch.rand(2, 3, 8, 8)
        given = {"tuned": options}
        objective = build_objective("tuned", observe(student, adapted, student_sample=sample), options=given)
        config = TrainingConfig(device="cpu", momentum=0.0, weight_decay=0.0, epochs=2, clip_norm=clip_norm)
        accelerator = make_accelerator(config, tmp_path)
        tap = capture(student)
        context = teaching(adapted, [], config, accelerator, None, objective.teacher_training, 5)
        opened.extend([tap, context])
        distiller = Distiller(student, objective, tap.__enter__())
        taught = context.__enter__()
        taught.enter("main")
        update = Update({1.0: [*student.parameters()]}, config, 0.1, accelerator)
        return Step(distiller, student, update, None, taught, "main", accelerator)

    yield build
    for one in opened:
        one.__exit__(None, None, None)


def teacher_of(step: Step) -> Network:
    assert step.teacher is not None
    assert step.teacher.update is not None
    return step.teacher.update.network


def test_a_copy_is_adapted_and_the_catalogue_options_reach_it() -> None:
    teacher, student = network(1), network(0)
    adapted = adapt_teacher("tuned", teacher, student, options={"tuned": {"start": 0.5, "rate": 1.0}})
    assert isinstance(adapted, Network)
    assert [name for name, p in adapted.named_parameters() if p.requires_grad] == ["backbone.layer1.factor"]
    assert factors(adapted).unique().tolist() == [0.5]
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert "backbone.layer1.factor" not in teacher.state_dict()
    assert adapt_teacher("kd", teacher, student) is teacher


def test_a_sum_that_adapts_the_teacher_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "tuned2", INFO)
    with pytest.raises(UsageError, match="tuned and tuned2 each add parts to the teacher: name one of them only"):
        adapt_teacher("tuned+tuned2", network(1), network(0))


def test_both_losses_come_from_the_passes_before_either_update(make: Any) -> None:
    """By hand: the student's loss has the teacher's logits of before its step, and the teacher's the student's."""
    step, other = make(rate=0.3, schedule="constant"), make(rate=0.3, schedule="constant")
    student, teacher, data = other.student.train(), teacher_of(other), batch()
    z, t = student(data.student_input), teacher(data.teacher_input)
    ce = nn.functional.cross_entropy
    lesson = ce(t, data.target) + 0.1 * nn.functional.mse_loss(t, z.detach())
    loss = ce(z, data.target) + nn.functional.mse_loss(z, t.detach())
    optimizer = torch.optim.AdamW([factors(teacher)], lr=0.3, weight_decay=0.01)
    lesson.backward()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    before = {name: value.clone() for name, value in teacher_of(step).state_dict().items()}
    step.student.train()
    row = step(data)
    torch.testing.assert_close(row[0], loss.detach())
    torch.testing.assert_close(row[-2], lesson.detach())
    for mine, expected in ((step.student, student), (teacher_of(step), teacher)):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[name], msg=name)
    moved = {name for name, value in teacher_of(step).state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"backbone.layer1.factor"}
    # A second step is from other logits of the teacher.
    assert not torch.equal(step(data)[-2], row[-2])


def test_the_teachers_gradient_has_nothing_of_the_students_loss_and_vice_versa(make: Any) -> None:
    step = make()
    step.student.train()
    step(batch(), closes=False)
    gradient = factors(teacher_of(step)).grad
    assert gradient is not None
    again = make()
    report, _ = again.trainable.train()(batch(), again.teacher(batch().teacher_input, graph=True), "main")
    (alone,) = torch.autograd.grad(report.teacher, [factors(teacher_of(again))], retain_graph=True)
    assert torch.equal(gradient, alone)
    trained = [*again.student.parameters()]
    assert torch.autograd.grad(report.teacher, trained, allow_unused=True, retain_graph=True) == (None,) * len(trained)
    assert torch.autograd.grad(report.total, [factors(teacher_of(again))], allow_unused=True) == (None,)


def test_gradients_accumulate_by_their_shares_and_move_the_additions_once(make: Any) -> None:
    step, other = make(optimizer="sgd", schedule="constant"), make(optimizer="sgd", schedule="constant")
    start = factors(teacher_of(step)).detach().clone()
    step.student.eval()
    other.student.eval()
    whole = batch(6)
    other(whole)
    first, second = whole.split([3, 3])
    step(first, share=0.5, closes=False)
    assert torch.equal(factors(teacher_of(step)), start)
    step(second, share=0.5)
    torch.testing.assert_close(factors(teacher_of(step)), factors(teacher_of(other)))
    assert not torch.equal(factors(teacher_of(step)), start)
    assert factors(teacher_of(step)).grad is None


def test_additions_are_clipped_by_their_own_norm(make: Any) -> None:
    step = make(clip_norm=1e-3, optimizer="sgd", schedule="constant", rate=1.0)
    assert isinstance(step, Step)
    assert step.teacher is not None
    assert step.teacher.update is not None
    step.teacher.update.optimizer.param_groups[0]["weight_decay"] = 0.0
    before = factors(teacher_of(step)).detach().clone()
    step(batch())
    torch.testing.assert_close((factors(teacher_of(step)) - before).norm(), torch.tensor(1e-3), rtol=1e-2, atol=0)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_frozen_part_has_its_own_mode_and_keeps_its_weights(make: Any, mode: str) -> None:
    step = make(mode=mode)
    teacher = teacher_of(step)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    assert teacher.backbone.bn1.training == (mode == "train")
    step(batch())
    moved = {name for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert ("backbone.bn1.running_mean" in moved) == (mode == "train")
    frozen = {name for name, parameter in teacher.named_parameters() if not parameter.requires_grad}
    assert not moved & frozen
    assert "backbone.layer1.factor" in moved


def test_modules_whose_parameters_all_train_are_in_train_mode_beside_a_frozen_part_in_eval_mode() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).requires_grad_(False)
    added = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    teacher = Network(nn.Sequential(inner, added), Preprocess((0.5,) * 3, (0.5,) * 3)).eval()
    TeacherUpdate(teacher, TeacherTraining(), steps=1).enter_training()
    assert not any(module.training for module in (teacher, teacher.backbone, *inner.modules()))
    assert all(module.training for module in added.modules())


def test_its_rate_follows_its_own_schedule(make: Any) -> None:
    step = make(rate=0.4)
    assert step.teacher is not None
    assert step.teacher.update is not None
    rates = []
    for number in (0, 5, 10):  # of 2 epochs of 5 steps
        step.teacher.update.set_rate(number)
        rates.append(step.teacher.update.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.2, 0.0])


def test_a_teacher_without_additions_is_refused() -> None:
    with pytest.raises(UsageError, match=r"which has none: make it with adapt_teacher\(method, …\)"):
        TeacherUpdate(network(0).requires_grad_(False), TeacherTraining(), steps=1)


def test_a_state_of_other_additions_is_refused() -> None:
    one, two = (adapt_teacher("tuned", network(1), network(0), options={"tuned": o}) for o in ({}, {"place": "layer2"}))
    assert isinstance(one, Network)
    assert isinstance(two, Network)
    state = TeacherUpdate(one, TeacherTraining(), steps=1).state_dict()
    with pytest.raises(RuntimeError, match=r"additions differ: layer1"):
        TeacherUpdate(two, TeacherTraining(), steps=1).load_state_dict(state)


def prepared(out: Path, **settings: Any) -> Job:
    config = configure(DistillConfig, SMALL | TUNED | {"out": out} | settings)
    return prepare(config, Provided(), silent)


def test_a_run_logs_and_records_the_teachers_accuracy_and_ships_the_plain_student(tmp_path: Path) -> None:
    result = distil(tmp_path / "run", **TUNED)
    assert result.record is not None
    for entry in result.record.epochs:
        assert 0 <= entry["teacher_test_top1"] <= 100
        assert entry["diagnostics"]["teacher_loss"] > 0
    assert (
        result.record.objective["tuned"] | {"rate": 0.05, "place": "layer1", "start": 1.0}
        == (result.record.objective["tuned"])
    )
    assert result.record.teacher_metrics is not None
    assert result.record.teacher_metrics["top1"] == result.record.epochs[-1]["teacher_test_top1"]
    assert load_file(result.run / "student.safetensors").keys() == create_model("resnet8").state_dict().keys()
    state = torch.load(max((result.run / "checkpoints").iterdir()), weights_only=True)
    assert "layer1.factor" in state["teacher"]
    assert not any(name.endswith("conv1.weight") for name in state["teacher"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "tuned", INFO)
        folder = tmp_path_factory.mktemp("whole")
        return {name: distil(folder / name, **settings).run for name, settings in RUNS.items()}


RUNS: dict[str, dict[str, Any]] = {
    "train mode": {"method": "tuned", "set": ["tuned.mode=train", "tuned.rate=0.05"], "ema": 0.9, "clip_norm": 1.0},
    "after a preparation": {"method": "tuned+ft", "set": [], "preparation_epochs": 1, "epochs": 1},
    "accumulated": {"method": "tuned", "set": [], "gradient_accumulation_steps": 2, "teacher_cache": "cache"},
}


@pytest.mark.parametrize(
    ("name", "stop_after"), [("train mode", 7), ("after a preparation", 2), ("after a preparation", 8)]
)
def test_a_stopped_run_goes_on_bit_for_bit(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stop_after: int
) -> None:
    decide = Trainer._stop_request

    def stop(trainer: Trainer, *arguments: Any) -> tuple[str, Any] | None:
        return ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_stop_request", stop)
    assert distil(tmp_path / "run", **RUNS[name]).outcome.status == "stopped"
    monkeypatch.setattr(Trainer, "_stop_request", decide)
    assert api.resume(tmp_path / "run", say=silent).outcome.status == "finished"
    assert_same_run(whole[name], tmp_path / "run")


def test_the_teacher_trains_in_the_main_stage_alone(whole: dict[str, Path]) -> None:
    lines = [json.loads(line) for line in (whole["after a preparation"] / "metrics.jsonl").read_text().splitlines()]
    assert ["teacher_loss" in line.get("diagnostics", {}) for line in lines] == [False, True]
    assert ["teacher_test_top1" in line for line in lines] == [False, True]


def test_what_does_not_fit_a_teacher_that_trains(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tuned trains parts of the teacher, which cannot be 3 batches ahead"):
        prepared(tmp_path / "a", teacher_ahead=3)
    with pytest.raises(UsageError, match="tuned trains parts of the teacher, which --precision fp16 does not support"):
        prepared(tmp_path / "b", precision="fp16")
    lines: list[str] = []
    config = configure(DistillConfig, SMALL | TUNED | {"out": tmp_path / "c", "teacher_cache": tmp_path / "cache"})
    api.start(config, say=lines.append)
    assert any("--teacher-cache has no effect" in line for line in lines)
    assert not (tmp_path / "cache").exists()
    job = prepared(tmp_path / "d", teacher_ahead=1)
    accelerator = make_accelerator(job.config.training, tmp_path)
    assert "received device cpu" in obstacle_to_capture(job.config.training, job.objective, accelerator)
    assert job.objective.teaches


def test_the_check_before_the_run_measures_the_teacher_as_it_was(tmp_path: Path) -> None:
    said: list[str] = []
    for method, options in (("kd", []), ("tuned", ["tuned.start=0.0"])):
        config = configure(DistillConfig, SMALL | {"out": tmp_path / method, "method": method, "set": options})
        prepare(config, Provided(), said.append)
    looks = [line for line in said if line.startswith("teacher resnet8")]
    assert len(looks) == 2
    assert looks[0] == looks[1]


def test_a_loss_that_is_not_finite_stops_the_run_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def poison(trainer: Trainer, *arguments: Any) -> None:
        if trainer.at.steps_done == 2:
            assert trainer.teacher is not None
            with torch.no_grad():
                factors(trainer.teacher).fill_(torch.nan)
        step(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", poison)
    with pytest.raises(RunError, match=r"(tuned|teacher_loss) became nan at step 2"):
        distil(tmp_path / "run", **TUNED)


@pytest.mark.slow
def test_two_processes_give_the_run_of_one_and_their_teachers_stay_equal(tmp_path: Path) -> None:
    """Networks without BatchNorm; the last batch of an epoch has fewer samples, and gradients accumulate."""
    data = ["--data", "sklearn:breast_cancer", "--epochs", "4", "--lr", "0.02", "--device", "cpu"]
    assert main(["train", "--model", "mlp32x1", *data, "--out", str(tmp_path / "teacher")]) == 0
    weights = str(tmp_path / "teacher" / "student.safetensors")
    networks = ["--teacher", "mlp32x1", "--teacher-weights", weights, "--student", "mlp16x1", "--allow-weak-teacher"]
    options = ["--set", "tuned.place=hidden.0", "--set", "tuned.rate=0.05", "--gradient-accumulation-steps", "3"]
    distill = ["distill", *networks, *data, "--method", "tuned+kd", *options]
    assert main([*distill, "--out", str(tmp_path / "alone")]) == 0
    (tmp_path / "launched.py").write_text(LAUNCHED)
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*two, str(tmp_path / "launched.py"), *distill, "--out", str(tmp_path / "shared")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(max((tmp_path / run / "checkpoints").iterdir()), weights_only=True) for run in ("alone", "shared")
    ]
    factor = [state["teacher"]["hidden.0.factor"] for state in states]
    assert (factor[0] - 1).abs().max() > 0.05
    torch.testing.assert_close(*factor, rtol=1e-3, atol=1e-4)
    for name, value in states[0]["student"].items():
        torch.testing.assert_close(states[1]["student"][name], value, rtol=1e-3, atol=1e-4, msg=name)
