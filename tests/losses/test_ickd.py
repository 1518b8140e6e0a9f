"""Inter-channel correlation: closed forms, the authors' values, and how few products are kept at a time."""

import pytest
import torch
from tests.support.golden import golden
from tests.support.loss_contract import fill
from torch import Tensor

from wcord.losses import ickd
from wcord.losses.ickd import ickd_loss

CASES = ["narrow_to_wide", "other_size", "equal_widths", "non_square", "dead_teacher_channels"]


def maps() -> tuple[Tensor, Tensor]:
    return fill((3, 4, 4, 6), 0.0), fill((3, 4, 4, 6), 1.0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.1055740842),
        ({"cells": (2, 2)}, 0.4952925558),
        ({"cells": (2, 1)}, 0.3439718291),
        ({"rows": False}, 6.1288205444),
        ({"cells": (2, 2), "rows": False}, 2.1779657257),
    ],
)
def test_values_written_down_once(options: dict[str, object], expected: float) -> None:
    assert ickd_loss(*maps(), **options).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_is_the_authors_value_on_an_embedded_map(case: str) -> None:
    values = golden("ickd")
    student, teacher = values[f"{case}.embedded"], values[f"{case}.teacher_map"].double()
    assert ickd_loss(student, teacher).item() == pytest.approx(values[f"{case}.loss_cifar"].item(), rel=1e-6)
    products = values[f"{case}.student_icc"].square().sum().item() / (student.shape[0] * student.shape[1] ** 2)
    assert ickd_loss(student, torch.zeros_like(student), rows=False).item() == pytest.approx(products, rel=1e-9)


@pytest.mark.parametrize("case", ["narrow_to_wide", "equal_widths", "dead_teacher_channels"])
@pytest.mark.parametrize("cells", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("rows", [True, False])
def test_is_the_reference_in_cells(case: str, cells: tuple[int, int], rows: bool) -> None:
    values = golden("ickd")
    student, teacher = values[f"{case}.embedded"], values[f"{case}.teacher_map"].double()
    expected = values[f"{case}.grid_{cells[0]}x{cells[1]}_{'rows' if rows else 'paper'}"].item()
    assert ickd_loss(student, teacher, cells=cells, rows=rows).item() == pytest.approx(expected, rel=1e-6)


def test_is_the_authors_value_without_an_embedding() -> None:
    values = golden("ickd")
    student, teacher = (values[f"equal_widths.{side}_map"].double() for side in ("student", "teacher"))
    assert ickd_loss(student, teacher).item() == pytest.approx(values["equal_widths.loss_no_embed"].item(), rel=1e-6)


def test_the_teachers_channels_have_an_order_and_its_places_none() -> None:
    student, teacher = maps()
    plain = ickd_loss(student, teacher)
    assert not torch.allclose(ickd_loss(student, teacher[:, [1, 0, 2, 3]]), plain)
    torch.testing.assert_close(ickd_loss(student, teacher.flip(3)), plain)
    torch.testing.assert_close(ickd_loss(student, teacher[..., None, :].flatten(2, 3)), plain)
    torch.testing.assert_close(ickd_loss(student, teacher.repeat(1, 1, 2, 1)), plain)  # another size, twice each place


def test_cells_tell_where_channels_are_active() -> None:
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    student[0, :, 0, 0] = 1
    teacher[0, :, 1, 1] = 1
    assert ickd_loss(student, teacher).item() == 0
    assert ickd_loss(student, teacher, cells=(2, 2)).item() == pytest.approx(0.5)  # two cells of four cost 1 a row


def test_a_dead_channel_of_the_teacher_costs_one_whatever_the_student_does() -> None:
    student = fill((2, 4, 3, 3), 0.0)
    teacher = student.clone()
    teacher[:, 1:] = 0
    alone = ickd_loss(student, teacher)
    first = ickd_loss(student[:, :1], teacher[:, :1])
    assert first.item() == pytest.approx(0, abs=1e-6)
    row = student.flatten(2) @ student.flatten(2).transpose(1, 2)
    cosine = row[:, 0, 0] / row[:, 0].norm(dim=1)
    assert alone.item() == pytest.approx((3 + (2 - 2 * cosine).mean().item()) / 4, rel=1e-6)


def test_opposite_rows_cost_four_and_one_channel_nothing() -> None:
    student = torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1)
    assert ickd_loss(student, torch.ones(1, 2, 1, 1)).item() == pytest.approx(2)  # (1, -1) beside (1, 1)
    assert ickd_loss(-3 * student[:, :1], torch.ones(1, 1, 2, 2)).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_at_a_channel_that_is_zero_is_bounded() -> None:
    student = fill((2, 4, 3, 3), 0.0)
    student[:, 2] = 0
    student.requires_grad_()
    ickd_loss(student, fill((2, 4, 3, 3), 1.0)).backward()
    assert student.grad.abs().max() < 1e4


@pytest.mark.parametrize("options", [{}, {"cells": (2, 3)}, {"rows": False}])
def test_large_batches_are_computed_in_parts_that_keep_few_products(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    student, teacher = fill((5, 8, 4, 6), 0.0).requires_grad_(), fill((5, 8, 4, 6), 1.0)
    shapes: list[torch.Size] = []

    def note(saved: Tensor) -> Tensor:
        shapes.append(saved.shape[1:])
        return saved

    def value_and_gradient() -> tuple[Tensor, Tensor]:
        shapes.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
            loss = ickd_loss(student, teacher, **options)
        return loss.detach(), torch.autograd.grad(loss, student)[0]

    whole = value_and_gradient()
    assert (8, 8) in shapes
    monkeypatch.setattr(ickd, "BLOCK_ENTRIES", 2 * 8 * 8)  # the products of two samples
    torch.testing.assert_close(value_and_gradient(), whole)
    assert (8, 8) not in shapes
