"""MLKD as a method: its three terms, what trains, which rows they and others see, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.losses.test_mlkd import CASES
from tests.losses.test_sskd import view_major
from tests.support.golden import golden_case
from tests.training.test_loop import assert_same_run, distil, stop_and_go_on
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import align_loss, correlation_loss, cross_network_supcon, turned_similarity
from wcord.methods.build import build_objective, option_names, resolved_options
from wcord.methods.mlkd import MLKDAlignTerm, MLKDCorrTerm, MLKDSupTerm
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.methods.setting import Setting
from wcord.models.create import create_model

SETTING = Setting(6, 10, 5, 7, num_samples=20, batch_size=4)


def features(width: int, phase: float, classes: int = 5) -> Features:
    def wave(columns: int) -> Tensor:
        return 2 * torch.sin(0.7 * torch.arange(16.0 * columns) + phase).view(16, columns)

    return Features(wave(classes), wave(width).cos())


def rotated_batch() -> Batch:
    images = torch.zeros(4, 1, 3, 3)
    return Batch(images, images, torch.tensor([0, 3, 1, 3]), torch.arange(4)).rotated()


def make(method: str = "mlkd", setting: Setting = SETTING, **options: Any) -> Objective:
    torch.manual_seed(0)
    return build_objective(method, setting, options={"mlkd": options} if options else None)


def heads(objective: Objective) -> tuple[MLKDAlignTerm, MLKDCorrTerm, MLKDSupTerm]:
    align, corr, sup = (objective.terms[f"mlkd_{name}"] for name in ("align", "corr", "sup"))
    assert isinstance(align, MLKDAlignTerm)
    assert isinstance(corr, MLKDCorrTerm)
    assert isinstance(sup, MLKDSupTerm)
    return align, corr, sup


def test_the_terms_are_the_three_losses_in_one_pass_of_all_rows() -> None:
    objective = make(embedding_dim=8, sup_temperature=0.2, correlation_temperature=0.7)
    assert objective.formula == "1 ce + 20 mlkd_align + 50 mlkd_corr + 1 mlkd_sup"
    student, teacher, batch = features(6, 0.0), features(10, 1.0, 7), rotated_batch()
    align, corr, sup = heads(objective)
    projected = corr.head(student.embedding)
    similarities = [
        turned_similarity(rows[:4], rows[4:].unflatten(0, (3, 4))) for rows in (projected, teacher.embedding)
    ]
    labels = torch.tensor([0, 3, 1, 3] * 4)
    mapped = sup.student_map(student.embedding), sup.teacher_map(teacher.embedding)
    expected = {
        "mlkd_align": align_loss(align.head(student.embedding), teacher.embedding),
        "mlkd_corr": correlation_loss(*similarities, temperature=0.7),
        "mlkd_sup": cross_network_supcon(*mapped, labels, temperature=0.2),
    }
    found = objective(student, teacher, batch).parts
    for name, part in expected.items():
        torch.testing.assert_close(found[name], part)
    alone = build_objective("ce", SETTING)(student.first(4), teacher.first(4), batch.upright())
    assert found["ce"].item() == pytest.approx(alone.parts["ce"].item())


@pytest.mark.parametrize("case", CASES)
def test_the_total_is_the_authors(case: str) -> None:
    values = golden_case("mlkd", case)
    classes = values["student_logits"].shape[1]
    teacher = Features(torch.zeros(len(values["teacher_embedding"]), 0), view_major(values["teacher_embedding"]))
    student = Features(view_major(values["student_logits"]), view_major(values["student_embedding"]))
    setting = Setting(student.embedding.shape[1], teacher.embedding.shape[1], classes, 0)
    width = len(values["embed_student_linear_bias"])
    for weights, total in (((20, 50, 1), "total_cifar"), ((10, 20, 0.5), "total_imagenet")):
        names = ("mlkd_align_weight", "mlkd_corr_weight", "mlkd_sup_weight")
        options = {"embedding_dim": width, **dict(zip(names, weights, strict=True))}
        objective = build_objective("mlkd", setting, options={"mlkd": options}).double()
        align, corr, sup = heads(objective)
        for name, layers in (("align", align.head), ("corr", corr.head)):
            state = {f"{layer}.{kind}": values[f"{name}_mlp_net_{layer}_{kind}"]
                     for layer in (0, 1, 3) for kind in ("weight", "bias")}  # fmt: skip
            layers.load_state_dict(state, strict=False)
        for name, layer in (("student", sup.student_map), ("teacher", sup.teacher_map)):
            layer.load_state_dict({kind: values[f"embed_{name}_linear_{kind}"] for kind in ("weight", "bias")})
        images = torch.zeros(len(values["target"]), 1, 2, 2)
        batch = Batch(images, images, values["target"].long()).rotated()
        assert objective(student, teacher, batch).total.item() == pytest.approx(values[total].item(), rel=1e-5)


def test_the_teachers_linear_layer_trains_and_its_embedding_gets_no_gradient() -> None:
    objective = make()
    student, teacher = features(6, 0.0), features(10, 1.0, 7)
    for side in (student, teacher):
        side.embedding.requires_grad_()
    objective(student, teacher, rotated_batch()).total.backward()
    assert teacher.embedding.grad is None
    assert student.embedding.grad is not None
    missing = [name for name, parameter in objective.named_parameters() if parameter.grad is None]
    assert missing == []
    _, _, sup = heads(objective)
    assert sup.teacher_map.weight.grad is not None
    assert sup.teacher_map.weight.grad.any()


def test_heads_have_the_authors_widths() -> None:
    align, corr, sup = heads(make())
    assert [layer.weight.shape for layer in align.head if isinstance(layer, nn.Linear)] == [(160, 6), (10, 160)]
    assert [layer.weight.shape for layer in corr.head if isinstance(layer, nn.Linear)] == [(6, 6), (6, 6)]
    assert (sup.student_map.weight.shape, sup.teacher_map.weight.shape) == ((128, 6), (128, 10))


def test_the_order_of_samples_and_of_turns_does_not_matter() -> None:
    objective = make()
    student, teacher, batch = features(6, 0.0), features(10, 1.0, 7), rotated_batch()
    expected = {name: part.item() for name, part in objective(student, teacher, batch).parts.items()}
    order, swapped = torch.tensor([2, 0, 3, 1]), torch.arange(16)
    swapped[[5, 13]] = swapped[[13, 5]]
    for rows in (torch.cat([order + 4 * view for view in range(4)]), swapped):
        moved = [Features(side.logits[rows], side.embedding[rows]) for side in (student, teacher)]
        again = Batch(batch.student_input, batch.teacher_input, batch.target[rows], rotations=4)
        found = objective(*moved, again).parts
        assert {name: part.item() for name, part in found.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("other", ["crd", "wcord"])
def test_a_term_beside_it_sees_the_upright_rows(other: str) -> None:
    torch.manual_seed(0)
    alone, beside = build_objective(other, SETTING), make(f"mlkd+{other}")
    beside.load_state_dict(alone.state_dict(), strict=False)
    student, teacher, batch = features(6, 0.0), features(10, 1.0, 7), rotated_batch()
    torch.manual_seed(1)
    expected = alone(student.first(4), teacher.first(4), batch.upright()).parts
    torch.manual_seed(1)
    found = beside(student, teacher, batch).parts
    assert expected.keys() < found.keys()
    for name, part in expected.items():
        assert found[name].item() == pytest.approx(part.item())


def test_its_options_reach_their_terms() -> None:
    assert {"correlation_temperature", "sup_temperature", "embedding_dim"} < set(option_names("mlkd"))
    resolved = resolved_options("mlkd")["mlkd"]
    assert (resolved["correlation_temperature"], resolved["sup_temperature"]) == (0.5, 0.07)
    for name in ("correlation_temperature", "sup_temperature"):
        with pytest.raises(UsageError, match=f"mlkd: {name} must be a finite number above 0, received 0"):
            make(**{name: 0})


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"mlkd_sup learns from labels, .* leave out --no-labels"):
        build_objective("mlkd", SETTING, labels=False)
    unlabelled = build_objective("mlkd", SETTING, options={"mlkd": {"mlkd_sup_weight": 0}}, labels=False)
    assert set(unlabelled.weights) == {"mlkd_align", "mlkd_corr"}
    with pytest.raises(UsageError, match="mlkd_sup reads the class of each sample, which a mixture"):
        make(setting=Setting(6, 10, 5, 5, mixed=True))
    with pytest.raises(UsageError, match=r"mlkd_corr compares samples .* at least 2, received batches of 1"):
        make(setting=Setting(6, 10, 5, 5, batch_size=1))


def test_it_is_rehearsed_with_a_teacher_of_other_classes() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8", num_classes=3), create_model("resnet14", num_classes=9)
    images = torch.zeros(2, 3, 8, 8)
    objective = build_objective("mlkd", observe(student, teacher, student_sample=images))
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    rehearse(objective, student, teacher, images, images)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())


def test_a_stopped_run_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"method": "mlkd+kd", "set": [], "epochs": 1, "lr": 0.02}
    whole = distil(tmp_path / "whole", **settings).run
    stop_and_go_on(tmp_path / "run", monkeypatch, 2, **settings)
    assert_same_run(whole, tmp_path / "run")
