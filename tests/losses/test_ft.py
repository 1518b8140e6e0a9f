"""Factor transfer against its loop, the public benchmark's values, its limits and its errors; its two modules."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wcord.checks import UsageError
from wcord.losses.ft import Paraphraser, Translator, factor_channels, ft_loss


def _fill(shape, phase):
    return torch.sin(0.7 * (torch.arange(math.prod(shape), dtype=torch.float64) + 1) + phase).reshape(shape)


def _fill_parameters(module, scale):
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(scale * _fill(parameter.shape, 0.1 * number))
    return module


def _unit(sample, p1):
    channels, height, width = sample.shape
    values = [
        sum(sample[c, h, w].item() ** p1 for c in range(channels)) / channels
        for h in range(height)
        for w in range(width)
    ]
    length = math.sqrt(sum(value**2 for value in values))
    return [value / length for value in values]


def _naive(student, teacher, p1, p2):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += sum(abs(a - b) ** p2 for a, b in zip(_unit(s, p1), _unit(t, p1), strict=True))
    return total / (len(student) * student.shape[2] * student.shape[3])


@pytest.fixture
def factors():
    return _fill((2, 3, 4, 4), 0.1).requires_grad_(), _fill((2, 5, 4, 4), 0.2)


@pytest.mark.parametrize(("p1", "p2"), [(2, 1), (1, 1), (2, 2), (3, 1.5)])
def test_is_the_loop(factors, p1, p2):
    assert ft_loss(*factors, p1=p1, p2=p2).item() == pytest.approx(_naive(*factors, p1, p2))


def test_is_the_value_of_the_public_benchmark(factors):
    student, teacher = factors
    assert ft_loss(student, teacher).item() == pytest.approx(0.03698536043369109, rel=1e-9)
    assert ft_loss(student, teacher, p2=2).item() == pytest.approx(0.0017807859154164419, rel=1e-9)
    assert ft_loss(student, _fill((2, 5, 2, 2), 0.3)).item() == pytest.approx(0.1143184528255683, rel=1e-9)
    assert ft_loss(_fill((2, 3, 2, 2), 0.4), teacher, p1=1).item() == pytest.approx(0.6157717199176431, rel=1e-9)


def test_factors_without_common_positions_differ_by_two_a_sample(factors):
    student, teacher = torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4)
    student[:, :, :, 0], teacher[:, :, :, 3] = 5.0, -0.1
    assert ft_loss(student, teacher).item() == pytest.approx(2 / 4)


@pytest.mark.parametrize(("p1", "p2"), [(2, 1), (1, 2)])
def test_gradcheck_and_no_gradient_into_the_teacher(factors, p1, p2):
    student, teacher = factors[0], factors[1].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: ft_loss(s, teacher, p1=p1, p2=p2), (student,))
    ft_loss(student, teacher).backward()
    assert teacher.grad is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ignores_order_of_samples_and_channels_sign_and_scale(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(4, 3, 2, 2, generator=generator, dtype=torch.float64)
    teacher = torch.randn(4, 5, 2, 2, generator=generator, dtype=torch.float64)
    order, channels = torch.randperm(4, generator=generator), torch.randperm(3, generator=generator)
    plain = ft_loss(student, teacher)
    torch.testing.assert_close(ft_loss(-scale * student[order][:, channels], teacher[order]), plain)
    assert 0 <= plain <= 1


@pytest.mark.parametrize("p1", [1, 2])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-20, 1e4])
def test_value_and_gradient_are_finite_on_equal_zero_and_constant_factors(value, p1):
    student = torch.full((2, 3, 2, 2), value, requires_grad=True)
    loss = ft_loss(student, student.detach().clone(), p1=p1)
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.isfinite().all()


def test_a_zero_student_has_a_bounded_gradient(factors):
    student = torch.zeros(2, 3, 4, 4, requires_grad=True)
    ft_loss(student, factors[1], p1=1).backward()
    assert student.grad.abs().max() <= 1e6


def test_half_precision_is_computed_in_single(factors):
    student, teacher = (x.detach().bfloat16() for x in factors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ft_loss(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ft_loss(student.float(), teacher.float()))
    assert ft_loss(*factors).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_factor": torch.zeros(3, 5, 4, 4)}, "must hold the same samples, received 2 and 3"),
        ({"teacher_factor": torch.full((2, 5, 4, 4), torch.inf)}, "holds 160 values that are NaN or infinite"),
        ({"student_factor": torch.zeros(2, 5)}, "must be a feature map .*received shape .2, 5."),
        ({"p1": 0}, "p1 must be a whole number between 1 and 1000, received 0"),
        ({"p1": 1.5}, "p1 must be a whole number between 1 and 1000, received 1.5"),
        ({"p2": 0.5}, "p2 must lie between 1 and 1000, received 0.5"),
    ],
)
def test_errors(factors, change, message):
    arguments = {"student_factor": factors[0], "teacher_factor": factors[1]} | change
    with pytest.raises(UsageError, match=message):
        ft_loss(**arguments)


def test_modules_give_the_values_of_the_public_benchmark():
    paraphraser = _fill_parameters(Paraphraser(6).double(), 0.3)
    translator = _fill_parameters(Translator(4, 6).double(), 0.5)
    student, teacher = _fill((2, 4, 3, 3), 0.1), _fill((2, 6, 3, 3), 0.2)
    assert paraphraser.reconstruction_loss(teacher).item() == pytest.approx(1362.378666933757, rel=1e-9)
    assert paraphraser(teacher).sum().item() == pytest.approx(44.02185563050092, rel=1e-9)
    assert translator(student).square().sum().item() == pytest.approx(12.006370688089763, rel=1e-9)
    loss = ft_loss(translator(student), paraphraser(teacher))
    assert loss.item() == pytest.approx(0.14005170063853717, rel=1e-9)


def test_the_paraphraser_alone_trains_on_the_reconstruction():
    teacher = torch.randn(2, 6, 3, 3, requires_grad=True)
    paraphraser = Paraphraser(6)
    paraphraser.reconstruction_loss(teacher).backward()
    assert teacher.grad is None
    assert all(parameter.grad is not None for parameter in paraphraser.parameters())


def test_only_the_translator_normalises_batches():
    assert not [m for m in Paraphraser(4).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len([m for m in Translator(4, 4).modules() if isinstance(m, nn.BatchNorm2d)]) == 3


@pytest.mark.parametrize("rate", [0.0, 0.1, -1.0, math.nan, math.inf])
def test_a_factor_without_channels_is_refused(rate):
    message = "of 6 channels leaves the factor none: choose a larger rate" if rate == 0.1 else "rate must be a finite"
    with pytest.raises(UsageError, match=message):
        factor_channels(6, rate)
