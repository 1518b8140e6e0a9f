"""ICKD as a term: its embedding against the authors' values and gradients, and which maps fit it."""

import dataclasses

import pytest
import torch
from tests.support.golden import golden
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.ickd import ickd_loss
from wcord.methods.build import build_objective
from wcord.methods.ickd import ICKDTerm
from wcord.methods.setting import Setting, Shape

CASES = ["narrow_to_wide", "other_size", "equal_widths", "non_square", "dead_teacher_channels"]


def setting(student: Shape = (4, 4, 4), teacher: Shape = (6, 4, 4), **changes: object) -> Setting:
    plain = Setting(
        student_dim=4,
        teacher_dim=6,
        student_classes=10,
        teacher_classes=10,
        student_maps={"stem": (2, 8, 8), "last": student},
        teacher_maps={"stem": (2, 8, 8), "last": teacher},
    )
    return dataclasses.replace(plain, **changes)


def features(last: Tensor, logits: Tensor | None = None) -> Features:
    return Features(last.new_zeros(len(last), 10) if logits is None else logits, last.mean(dim=(2, 3)), {"last": last})


def as_published(term: nn.Module, values: dict[str, Tensor]) -> None:
    """Give the embedding the weights of a case."""
    convolution, norm = term.embedding
    with torch.no_grad():
        convolution.weight.copy_(values["embed_weight"])
        norm.weight.copy_(values["embed_bn_weight"])
        norm.bias.copy_(values["embed_bn_bias"])


def case_of(name: str) -> dict[str, Tensor]:
    return {key.partition(".")[2]: value for key, value in golden("ickd").items() if key.startswith(f"{name}.")}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_are_the_authors(name: str, dtype: torch.dtype) -> None:
    values = case_of(name)
    student, teacher = values["student_map"].to(dtype).requires_grad_(), values["teacher_map"].to(dtype)
    term = ICKDTerm("ickd", setting(tuple(student.shape[1:]), tuple(teacher.shape[1:]))).to(dtype)
    as_published(term, values)
    loss = term(features(student), features(teacher), Batch(student, teacher, values["target"]))
    assert loss.item() == pytest.approx(values["loss_cifar"].item(), rel=1e-6)
    loss.backward()
    convolution, norm = term.embedding
    found = {
        "student_map": student.grad,
        "embed_weight": convolution.weight.grad,
        "embed_bn_weight": norm.weight.grad,
        "embed_bn_bias": norm.bias.grad,
    }
    for key, gradient in found.items():
        expected = values[f"loss_cifar_grad_{key}"]
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("method", "key"), [("ickd", "total_alpha0"), ("ickd+kd", "total_alpha1")])
def test_totals_are_the_authors(name: str, method: str, key: str) -> None:
    values = case_of(name)
    student, teacher = values["student_map"].double(), values["teacher_map"].double()
    objective = build_objective(method, setting(tuple(student.shape[1:]), tuple(teacher.shape[1:]))).double()
    as_published(objective.terms["ickd"], values)
    report = objective(
        features(student, values["student_logits"].double()),
        features(teacher, values["teacher_logits"].double()),
        Batch(student, teacher, values["target"]),
    )
    assert report.total.item() == pytest.approx(values[key].item(), rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"cells": (2, 2)}, {"cells": [4, 1], "rows": False}])
def test_the_embedded_map_and_the_options_reach_the_loss(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    term = ICKDTerm("ickd", setting(), **options)
    student, teacher = torch.randn(3, 4, 4, 4), torch.rand(3, 6, 4, 4)
    loss = term(features(student), features(teacher), Batch(student, teacher, torch.zeros(3).long()))
    torch.testing.assert_close(loss, ickd_loss(term.embedding(student), teacher, **options))
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in term.parameters())


def test_equal_widths_are_embedded_too() -> None:
    term = ICKDTerm("ickd", setting((6, 4, 4), (6, 4, 4)))
    assert [name for name, _ in term.named_parameters()] == [
        "embedding.0.weight",
        "embedding.1.weight",
        "embedding.1.bias",
    ]
    assert term.embedding[0].weight.shape == (6, 6, 1, 1)


@pytest.mark.parametrize(
    ("student", "teacher", "options", "message"),
    [
        ((4, 4, 4), (1, 4, 4), {}, "'last' of the teacher has only one, whose loss is always 0: name another map"),
        ((4, 4, 4), (6, 2, 2), {"cells": (2, 2)}, "2×2 cells, which needs one size, received 4×4 and 2×2"),
        ((4, 4, 4), (6, 4, 4), {"cells": (3, 1)}, "3×1 cells, which do not divide maps of 4×4"),
        ((4, 4, 4), (9, 16), {}, r"reads maps of channels × height × width, received 'last' of shape \(9, 16\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    student: Shape, teacher: Shape, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DoesNotFitError, match=message):
        build_objective("ickd", setting(student, teacher), options={"ickd": options})


def test_networks_without_maps_are_refused() -> None:
    with pytest.raises(DoesNotFitError, match="ickd reads feature maps, but the student states none"):
        build_objective("ickd", setting(student_maps={}))


def test_one_sample_is_enough_where_a_map_has_several_places() -> None:
    build_objective("ickd", setting(batch_size=1))
    with pytest.raises(UsageError, match=r"ickd .* needs at least 2, received batches of 1: raise --batch-size"):
        build_objective("ickd", setting((4, 1, 1), (6, 1, 1), batch_size=1))
    assert ICKDTerm.needs.min_batch == 1


def test_a_teacher_of_one_channel_fits_without_unit_rows() -> None:
    build_objective("ickd", setting((4, 4, 4), (1, 4, 4)), options={"ickd": {"rows": False}})
