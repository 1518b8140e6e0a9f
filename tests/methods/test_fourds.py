"""4Ds: what trains and what does not, stopped runs, and which networks fit; see test_fourds_authors.py for values."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_loop import assert_same_run
from torch import nn

from wcord import api
from wcord.checks import DoesNotFitError, RunError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.cross_entropy import cross_entropy_loss
from wcord.losses.fourds import fuse_phases, phase_amplitude, phase_feature_loss
from wcord.losses.kd import kd_loss
from wcord.methods.build import adapt_teacher, build_objective, option_names, resolved_options
from wcord.methods.fourds import FourierAdapter
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.models.create import create_model
from wcord.models.network import Network, unwrap
from wcord.models.preprocess import Preprocess
from wcord.training.config import DistillConfig, configure
from wcord.training.loop import Trainer

IMAGES = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(6) % 4)
STAGES = ("layer1.stage", "layer2.stage", "layer3.stage")
PHASES = ("layer1.adapter.phase", "layer2.adapter.phase", "layer3.adapter.phase")


def networks(teacher: str = "resnet14", student: str = "resnet8") -> tuple[Network, Network]:
    """Return an adapted teacher and a student."""
    torch.manual_seed(0)
    plain, small = (Network(create_model(name, num_classes=4), Preprocess((0.5,) * 3, (0.5,) * 3)) for name in (
        teacher, student
    ))  # fmt: skip
    adapted = adapt_teacher("4ds", plain, small, IMAGES)
    assert isinstance(adapted, Network)
    return adapted, small


def objective_of(teacher: nn.Module, student: nn.Module, method: str = "4ds", **options: Any) -> Objective:
    setting = observe(student, teacher, student_sample=IMAGES)
    return build_objective(method, setting, options={"4ds": options})


def test_an_adapter_whose_second_weight_is_1_leaves_the_map_as_it_is() -> None:
    maps = torch.rand(3, 8, 5, 7)
    torch.testing.assert_close(FourierAdapter(8, theta=-5.0)(maps), maps, rtol=0, atol=1e-5)
    assert (FourierAdapter(8, theta=-0.5)(maps) - maps).abs().max() < 1e-2
    assert (FourierAdapter(8)(maps) - maps).abs().max() > 0.1
    assert FourierAdapter(2).adapt[0].weight.shape == (1, 2, 1, 1)


def test_an_adapter_keeps_the_phase_and_the_type_of_its_map() -> None:
    maps = torch.randn(3, 8, 5, 7)
    adapter = FourierAdapter(8)
    apart = phase_amplitude(adapter(maps))[0] - phase_amplitude(maps)[0]
    assert (1 - apart.cos()).max() < 1e-4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert adapter(maps.bfloat16()).dtype == torch.bfloat16
        torch.testing.assert_close(adapter(maps), adapter(maps), rtol=0, atol=0)
        inside = adapter(maps)
    torch.testing.assert_close(inside, adapter(maps), rtol=0, atol=1e-6)


@pytest.mark.parametrize("wrap", [False, True])
def test_the_loss_is_kd_and_a_tenth_of_the_difference_of_phases_before_the_adapters(wrap: bool) -> None:
    teacher, student = networks()
    objective = objective_of(teacher, student, wrap=wrap)
    assert objective.teacher_map_names == PHASES
    with capture(student, objective.student_map_names) as tap, capture(teacher, [*PHASES, *STAGES]) as other:
        s, t = tap(IMAGES), other(IMAGES)
    report = objective(s, t, BATCH)
    before = [t.maps[name] for name in STAGES]
    phases = [[phase_amplitude(maps)[0] for maps in side] for side in (s.maps.values(), before)]
    gate = objective.terms["4ds"].phase_gate(fuse_phases(phases[1]))
    apart = phase_feature_loss(*phases, gate, wrap=wrap)
    expected = kd_loss(s.logits, t.logits) + 0.1 * apart
    torch.testing.assert_close(report.parts["4ds"], expected)
    torch.testing.assert_close(report.total, expected + cross_entropy_loss(s.logits, BATCH.target))
    torch.testing.assert_close(report.diagnostics["4ds_gate"], gate.mean().detach())
    assert 0.4 < gate.mean() < 0.6
    plain = unwrap(teacher).get_submodule("layer1.stage")
    with capture(teacher, ["stage1", "layer1.stage"]) as both:
        seen = both(IMAGES).maps
    assert isinstance(plain, nn.Module)
    assert not torch.equal(seen["stage1"], seen["layer1.stage"])


def test_only_adapters_learn_from_teach_and_only_student_and_gate_from_the_loss() -> None:
    teacher, student = networks()
    objective = objective_of(teacher, student)
    with capture(student, objective.student_map_names) as tap, capture(teacher, objective.teacher_map_names) as other:
        s, t = tap(IMAGES), other(IMAGES)
    lesson = objective.teach(s, t, BATCH)
    assert lesson is not None
    torch.testing.assert_close(
        lesson, cross_entropy_loss(t.logits, BATCH.target) + kd_loss(t.logits, s.logits, temperature=4.0)
    )
    lesson.backward()
    learned = {name for name, parameter in teacher.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in teacher.named_parameters() if ".adapter." in name}
    assert all(parameter.grad is None for parameter in [*student.parameters(), *objective.parameters()])
    teacher.zero_grad()
    objective(s, t, BATCH).total.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in [*student.parameters(), *objective.parameters()])


def test_adapters_learn_from_labels_as_the_student_does() -> None:
    teacher, student = networks()
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    setting = observe(student, teacher, student_sample=IMAGES, label_smoothing=0.3, class_weights=weights)
    objective = build_objective("4ds", setting)
    with capture(student, objective.student_map_names) as tap, capture(teacher, objective.teacher_map_names) as other:
        s, t = tap(IMAGES), other(IMAGES)
    own = cross_entropy_loss(t.logits, BATCH.target, label_smoothing=0.3, class_weights=weights)
    expected = own + kd_loss(t.logits, s.logits, temperature=4.0)
    torch.testing.assert_close(objective.teach(s, t, BATCH), expected)
    assert objective.terms["4ds"].needs.whole_batch


def test_without_the_difference_of_phases_no_maps_are_read_and_widths_may_differ() -> None:
    teacher, student = networks("resnet8x4", "resnet8")
    objective = objective_of(teacher, student, feature_weight=0)
    assert objective.student_map_names == objective.teacher_map_names == ()
    assert not list(objective.parameters())
    assert objective.diagnostics == ("4ds_kd",)


def test_options_of_term_and_teacher_are_known() -> None:
    expected = {"feature_weight", "temperature", "wrap", "teacher_lr", "teacher_mode", "theta"}
    assert set(option_names("4ds")) == expected
    assert resolved_options("4ds")["4ds"]["theta"] == 0.0
    training = objective_of(*networks(), teacher_lr=0.5, teacher_mode="eval").teacher_training
    assert training is not None
    assert (training.lr, training.eps, training.weight_decay, training.mode) == (0.5, 1e-4, 0.01, "eval")
    assert objective_of(*networks()).teacher_training.mode == "train"


def test_a_teacher_that_was_not_adapted_is_refused() -> None:
    student = create_model("resnet8", num_classes=4)
    with pytest.raises(UsageError, match=r"received ResNet without them: make it with adapt_teacher\('4ds', teacher"):
        objective_of(create_model("resnet14", num_classes=4), student)


@pytest.mark.parametrize(
    ("pair", "side", "message"),
    [
        (("resnet8x4", "resnet8"), 24, r"equal channels, received \[16, 32, 64\] of the student and \[64, 128, 256\]"),
        (("resnet14", "resnet8"), 8, r"phases, which say nothing in a last map of 2×2: use larger pictures"),
    ],
)
def test_stages_whose_phases_cannot_be_compared_are_refused(pair: tuple[str, str], side: int, message: str) -> None:
    teacher, student = networks(*pair)
    setting = observe(student, teacher, student_sample=torch.zeros(2, 3, side, side))
    with pytest.raises(DoesNotFitError, match=message):
        build_objective("4ds", setting)
    larger = observe(
        student, teacher, student_sample=torch.zeros(2, 3, 24, 24), teacher_sample=torch.zeros(2, 3, 32, 32)
    )
    if side == 8:
        with pytest.raises(DoesNotFitError, match=r"of equal size, received .* give both the same input size"):
            build_objective("4ds", larger)


def test_what_does_not_fit_the_method_is_refused() -> None:
    teacher, student = networks()
    other = create_model("resnet8", num_classes=3)
    with pytest.raises(DoesNotFitError, match="4ds compares logits, but the teacher has 4 classes and the student 3"):
        objective_of(teacher, other)
    setting = observe(student, teacher, student_sample=IMAGES)
    with pytest.raises(UsageError, match="4ds learns from labels, but there are none"):
        build_objective("4ds", setting, labels=False)
    for option, value in (("feature_weight", -1), ("temperature", 0), ("wrap", 2), ("teacher_lr", -1.0)):
        with pytest.raises(UsageError, match=f"4ds.*{option}"):
            objective_of(teacher, student, **{option: value})
    with pytest.raises(UsageError, match=r"4ds.*teacher_mode.*'evil'"):
        objective_of(teacher, student, teacher_mode="evil")
    with pytest.raises(UsageError, match="4ds: theta must be a finite number, received 'a'"):
        adapt_teacher("4ds", teacher, student, options={"4ds": {"theta": "a"}})
    tokens = create_model("mlp8x1", num_classes=4, in_channels=3, image_size=(24, 24))
    with pytest.raises(DoesNotFitError, match="4ds adds an adapter after each stage of the teacher, which states none"):
        adapt_teacher("4ds", tokens, student, IMAGES)


def test_a_note_says_how_little_small_maps_hold() -> None:
    teacher, student = networks()
    setting = observe(student, teacher, student_sample=torch.zeros(2, 3, 16, 16))
    (note,) = build_objective("4ds", setting).notes
    assert note.startswith("4ds: the last maps are 4×4: 12 of 16 bins have a phase other than 0 and π")
    assert not objective_of(teacher, student).notes


def test_maps_before_a_relu_are_still_found_inside_adapted_stages() -> None:
    teacher, student = networks()
    assert unwrap(teacher).preactivation_paths["stage1"].startswith("layer1.stage.")
    for method in ("4ds+ab", "4ds+reviewkd+wcord", "4ds+kd"):
        objective = objective_of(teacher, student, method)
        rehearse(objective, student, teacher, IMAGES[:2], IMAGES[:2])
        assert objective.teaches


def test_stages_of_foreign_networks_are_named() -> None:
    names = ["relu", "layer1", "layer2", "layer3"]
    torch.manual_seed(0)
    plain, student = (create_model("torchvision:resnet18", num_classes=4) for _ in range(2))
    images = torch.rand(2, 3, 64, 64)
    teacher = adapt_teacher("4ds", plain, student, images, teacher_maps=names)
    setting = observe(student, teacher, student_sample=images, student_maps=names, teacher_maps=names)
    assert build_objective("4ds", setting).teacher_map_names == PHASES
    with pytest.raises(UsageError, match=r"teacher's map 'relu' has no adapter: give adapt_teacher these teacher_maps"):
        build_objective("4ds", observe(
            student, teacher, student_sample=images, student_maps=["conv1", *names], teacher_maps=["conv1", *names]
        ))  # fmt: skip


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["stem", "layer2", "layer2.0"], "'layer2.0' is inside 'layer2'"),
        (["layer2.0", "layer2", "layer3"], "'layer2.0' is inside 'layer2'"),
        (["stem", "stage3", "layer3"], "'layer3' and 'stage3' are the same module"),
        (["stem", "layer2:in", "layer3"], "'layer2:in' is not the output of a module"),
        (["stem", "pre:stage1", "stage2"], "'pre:stage1' is not the output of a module"),
    ],
)
def test_stages_that_an_adapter_cannot_follow_are_refused(names: list[str], reason: str) -> None:
    plain, student = (create_model(name, num_classes=4) for name in ("resnet14", "resnet8"))
    with pytest.raises(DoesNotFitError, match=f"4ds adds .*, but {reason}: name modules whose outputs are"):
        adapt_teacher("4ds", plain, student, IMAGES, teacher_maps=names)


SMALL: dict[str, Any] = {
    "teacher": "resnet14", "student": "resnet8", "method": "4ds", "allow_weak_teacher": True, "subset": 12.0,
    "batch_size": 24, "epochs": 2, "device": "cpu", "student_size": 16, "teacher_size": 16,
}  # fmt: skip


def start(out: Path, **settings: Any) -> api.Result:
    return api.start(configure(DistillConfig, SMALL | {"out": out} | settings), say=lambda line: None)


@pytest.mark.parametrize("stop_after", [3, 5])
def test_a_stopped_run_goes_on_bit_for_bit_with_adapters_both_optimizers_and_moved_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    whole = start(tmp_path / "whole")
    assert whole.record is not None
    assert {"4ds_kd", "4ds_phase", "4ds_gate", "teacher_loss"} == set(whole.record.epochs[0]["diagnostics"])
    assert any("the last maps are 4×4" in note for note in whole.record.notes)
    decide = Trainer._stop_request
    monkeypatch.setattr(
        Trainer,
        "_stop_request",
        lambda trainer, *given: ("enough", None) if trainer.at.steps_done == stop_after else decide(trainer, *given),
    )
    assert start(tmp_path / "run").outcome.status == "stopped"
    monkeypatch.setattr(Trainer, "_stop_request", decide)
    api.resume(tmp_path / "run", say=lambda line: None)
    assert_same_run(whole.run, tmp_path / "run")
    states = [
        torch.load(max((run / "checkpoints").iterdir()), weights_only=True) for run in (whole.run, tmp_path / "run")
    ]
    for name, value in states[0]["teacher"].items():
        assert torch.equal(value, states[1]["teacher"][name]), name


def test_the_authors_mode_moves_the_teachers_statistics_and_the_other_leaves_them(tmp_path: Path) -> None:
    for mode in ("train", "eval"):
        run = start(tmp_path / mode, set=[f"4ds.teacher_mode={mode}"], epochs=1).run
        state = torch.load(max((run / "checkpoints").iterdir()), weights_only=True)["teacher"]
        assert (state["bn1.running_mean"].abs().max() > 0) == (mode == "train")
        assert state["layer1.adapter.adapt.1.running_mean"].abs().max() > 0


def test_a_rate_of_0_leaves_the_adapters_as_they_are_and_the_teacher_learns_without_it(tmp_path: Path) -> None:
    still = [start(tmp_path / f"still{n}", set=["4ds.teacher_lr=0"], epochs=n) for n in (1, 2)]
    factors = [
        torch.load(max((one.run / "checkpoints").iterdir()), weights_only=True)["teacher"]["layer1.adapter.theta"]
        for one in (*still, start(tmp_path / "moving"))
    ]
    assert torch.equal(factors[0], factors[1])
    assert not torch.equal(factors[0], factors[2])


def test_a_value_that_is_not_finite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def poison(trainer: Trainer, *arguments: Any) -> None:
        if trainer.at.steps_done == 1:
            with torch.no_grad():
                next(trainer.student.parameters()).fill_(torch.nan)
        step(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_step", poison)
    with pytest.raises(RunError, match="4ds"):
        start(tmp_path / "run")


def test_in_half_precision_the_loss_is_that_of_single(tmp_path: Path) -> None:
    teacher, student = networks()
    objective = objective_of(teacher, student).eval()
    with capture(student, objective.student_map_names) as tap, capture(teacher, objective.teacher_map_names) as other:
        s, t = tap(IMAGES), other(IMAGES)
    whole = objective(s, t, BATCH)
    half = [Features(f.logits.bfloat16(), f.embedding, dict(f.maps)) for f in (s, t)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = objective(half[0], half[1], BATCH)
    torch.testing.assert_close(report.total, whole.total, rtol=1e-2, atol=1e-2)
