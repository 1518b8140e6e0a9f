"""Binary cross-entropy, and distillation of answers, label by label: double loops, gradients, extremes, errors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses import bce_loss, binary_kd_loss, kd_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_bce_is_the_double_loop(smoothing: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64)
    target = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0.25, 1, 0]])
    expected = 0.0
    for i in range(4):
        for c in range(3):
            yes = 1 / (1 + math.exp(-logits[i, c]))
            wanted = (1 - smoothing) * float(target[i, c]) + smoothing / 2
            expected -= (wanted * math.log(yes) + (1 - wanted) * math.log(1 - yes)) / 12
    assert bce_loss(logits, target, label_smoothing=smoothing).item() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_binary_kd_is_the_double_loop(temperature: float) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    expected = 0.0
    for i in range(4):
        for c in range(3):
            p = 1 / (1 + math.exp(-teacher[i, c] / temperature))
            q = 1 / (1 + math.exp(-student[i, c] / temperature))
            expected += (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))) / 12
    found = binary_kd_loss(student, teacher, temperature=temperature)
    assert found.item() == pytest.approx(temperature**2 * expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.5, 8))
def test_one_question_is_a_choice_between_two_classes(seed: int, temperature: float) -> None:
    """σ(x) is the softmax of (x, 0): of labels one by one, the mean of `kd_loss` between yes and no."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    pairs = [torch.stack([one.flatten(), torch.zeros(15, dtype=torch.float64)], 1) for one in (student, teacher)]
    expected = kd_loss(pairs[0], pairs[1], temperature=temperature)
    assert binary_kd_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected.item())
    assert binary_kd_loss(teacher, teacher, temperature=temperature).item() == pytest.approx(0, abs=1e-12)


def test_gradcheck_and_no_gradient_into_the_teacher() -> None:
    student = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randint(2, (3, 4)).double()
    assert torch.autograd.gradcheck(lambda x: bce_loss(x, target, label_smoothing=0.1), (student,))
    assert torch.autograd.gradcheck(lambda x: binary_kd_loss(x, teacher.detach()), (student,))
    binary_kd_loss(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_extremes_are_finite(size: float) -> None:
    for loss in (
        lambda x: bce_loss(x, torch.eye(3)),
        lambda x: binary_kd_loss(x, torch.eye(3) * size),
        lambda x: binary_kd_loss(x, -torch.eye(3) * size),
    ):
        logits = (torch.eye(3) * size).requires_grad_()
        value = loss(logits)
        value.backward()
        assert value.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_half_precision_is_computed_in_single() -> None:
    logits, target = torch.randn(4, 9).bfloat16(), torch.randint(2, (4, 9)).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(bce_loss(logits, target), bce_loss(logits.float(), target))
        assert torch.equal(
            binary_kd_loss(logits, logits.flip(0)), binary_kd_loss(logits.float(), logits.flip(0).float())
        )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([[1.0, 2.0]]), "1 where a sample has the label and 0 elsewhere"),
        (torch.tensor([[-1.0, 1.0]]), "1 where a sample has the label"),
        (torch.tensor([[math.nan, 1.0]]), "1 where a sample has the label"),
        (torch.tensor([[1.0, 0.0, 0.0]]), "logits and target must have the same shape"),
        (torch.tensor([1.0, 0.0]), "target must be a matrix"),
    ],
)
def test_targets_that_are_no_marks(target: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bce_loss(torch.zeros(1, 2), target)
