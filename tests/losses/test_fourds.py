"""Phases and amplitudes of maps: published values, guards, and what is refused."""

import cmath
import math

import pytest
import torch
from tests.support.golden import golden
from torch import Tensor

from wcord.checks import NonFiniteError, UsageError
from wcord.losses.fourds import FLOOR, fuse_phases, phase_amplitude, phase_feature_loss, recompose

CASES = ("square", "odd", "even_odd", "tiny", "dead")


def wave(*shape: int, start: float = 0.3) -> Tensor:
    """Return a map of irregular numbers, some of them negative, that any clone computes."""
    return torch.sin(start * torch.arange(1, math.prod(shape) + 1).double() ** 2).reshape(shape)


def turned_to_zero(angle: Tensor) -> Tensor:
    """Return an angle modulo 2π, around 0."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def naive_spectrum(channel: list[list[float]]) -> tuple[list[list[float]], list[list[float]]]:
    """Return phase and amplitude of one channel by a double sum over its pixels."""
    height, width = len(channel), len(channel[0])
    phase, amplitude = [[0.0] * width for _ in channel], [[0.0] * width for _ in channel]
    for u in range(height):
        for v in range(width):
            total = sum(
                channel[y][x] * cmath.exp(-2j * math.pi * (u * y / height + v * x / width))
                for y in range(height)
                for x in range(width)
            )
            real = 1e-5 if abs(total.real) < 1e-5 else total.real
            square = total.real**2 + total.imag**2
            phase[u][v] = math.atan2(total.imag, real)
            amplitude[u][v] = math.sqrt(1e-5 if square < 1e-5 else square)
    return phase, amplitude


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (1, 1, 5, 3), (1, 1, 3, 4)])
def test_phase_and_amplitude_are_those_of_a_double_sum(shape: tuple[int, ...]) -> None:
    maps = wave(*shape)
    phase, amplitude = phase_amplitude(maps)
    for channel, mine, size in zip(maps[0].tolist(), phase[0], amplitude[0], strict=True):
        expected, expected_size = map(torch.tensor, naive_spectrum(channel))
        apart = turned_to_zero(mine - expected.double())
        torch.testing.assert_close(apart, torch.zeros_like(apart), rtol=0, atol=1e-5)
        torch.testing.assert_close(size, expected_size.double(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(recompose(phase, amplitude), maps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_are_the_authors(case: str) -> None:
    values = golden("4ds")
    maps = values[f"adapter_{case}.map"].double().requires_grad_()
    phase, amplitude = phase_amplitude(maps)
    apart = turned_to_zero(phase - values[f"adapter_{case}.phase"])
    torch.testing.assert_close(apart, torch.zeros_like(apart), rtol=0, atol=1e-9)
    torch.testing.assert_close(amplitude, values[f"adapter_{case}.amplitude"], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(recompose(phase, amplitude), values[f"adapter_{case}.recomposed"], rtol=0, atol=1e-9)
    single, _ = phase_amplitude(maps.float())
    assert single.dtype == torch.float32
    if case != "dead":
        (gradient,) = torch.autograd.grad((phase * values[f"adapter_{case}.probe_phase"]).sum(), [maps])
        torch.testing.assert_close(gradient, values[f"adapter_{case}.phase_grad_map"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ["square", "non_square"])
def test_the_loss_and_its_gradients_are_the_authors(case: str) -> None:
    values = golden("4ds")
    student = [values[f"fusion_{case}.student_phase{n}"].double().requires_grad_() for n in range(4)]
    teacher = [values[f"fusion_{case}.teacher_phase{n}"].double().requires_grad_() for n in range(4)]
    gate = values[f"fusion_{case}.gate"]
    torch.testing.assert_close(
        gate[:, :, None, None] * fuse_phases(teacher), values[f"fusion_{case}.fused_teacher"], rtol=1e-9, atol=1e-9
    )
    loss = phase_feature_loss(student, teacher, gate)
    torch.testing.assert_close(loss, values[f"fusion_{case}.loss_feature"], rtol=1e-9, atol=1e-9)
    loss.backward()
    for number, phase in enumerate(student):
        expected = values[f"fusion_{case}.loss_feature_grad_student_phase{number}"]
        torch.testing.assert_close(phase.grad, expected, rtol=1e-9, atol=1e-12)
    assert all(phase.grad is None for phase in teacher)
    single = phase_feature_loss([p.detach().float() for p in student], [p.detach().float() for p in teacher], gate)
    torch.testing.assert_close(single.double(), loss.detach(), rtol=2e-6, atol=2e-6)


def test_the_phases_of_conjugate_bins_cancel_and_the_first_bin_is_the_sum() -> None:
    maps = wave(1, 1, 5, 7)
    phase, amplitude = phase_amplitude(maps)
    assert amplitude[0, 0, 0, 0].item() == pytest.approx(abs(maps.sum().item()), rel=1e-9)
    assert phase[0, 0, 0, 0].item() == pytest.approx(0.0 if maps.sum() > 0 else math.pi, abs=1e-9)
    # Bins come in conjugate pairs, so that the phases of a real map cancel but for the real bins.
    conjugate = phase.flip((2, 3)).roll((1, 1), (2, 3))
    torch.testing.assert_close(turned_to_zero(phase + conjugate), torch.zeros_like(phase), rtol=0, atol=1e-9)


def test_the_guards_bound_what_a_dead_channel_gives() -> None:
    dead = torch.zeros(1, 1, 4, 4, requires_grad=True)
    phase, amplitude = phase_amplitude(dead)
    assert phase.abs().max() == 0
    assert amplitude.unique().tolist() == pytest.approx([math.sqrt(FLOOR)])
    assert phase_amplitude(torch.full((1, 1, 1, 1), -1e-6))[0] == 0  # the guard is positive on both sides of 0
    spike = recompose(phase, amplitude)
    assert spike[0, 0, 0, 0].item() == pytest.approx(math.sqrt(FLOOR))
    assert spike.flatten()[1:].abs().max() < 1e-9
    (phase.sum() + amplitude.sum()).backward()
    assert dead.grad is not None
    assert dead.grad.isfinite().all()


@pytest.mark.parametrize("side", [1, 2])
def test_small_maps_have_phases_of_0_or_pi_without_a_gradient(side: int) -> None:
    maps = wave(2, 3, side, side).requires_grad_()
    phase, _ = phase_amplitude(maps)
    assert torch.minimum(phase.abs(), (phase.abs() - math.pi).abs()).max() < 1e-9
    (gradient,) = torch.autograd.grad(phase.square().sum(), [maps])
    assert gradient.abs().max() == 0


STUDENT = [3 * wave(2, 2, 6, 8), 3 * wave(2, 3, 3, 4, start=0.7)]
TEACHER = [3 * wave(2, 2, 6, 8, start=0.5), 3 * wave(2, 3, 3, 4, start=0.9)]
GATE = wave(2, 5).sigmoid()


def test_the_gradient_of_phase_amplitude_and_recomposition_is_that_of_differences() -> None:
    maps = wave(1, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(phase_amplitude, [maps])
    phase, amplitude = (x.detach().requires_grad_() for x in phase_amplitude(maps))
    assert torch.autograd.gradcheck(recompose, [phase, amplitude])


def test_with_wrap_angles_just_beside_pi_are_near_and_a_turn_makes_no_difference() -> None:
    near, beyond = [torch.full((1, 1, 3, 3), math.pi - 0.01)], [torch.full((1, 1, 3, 3), 0.01 - math.pi)]
    one = torch.ones(1, 1)
    assert phase_feature_loss(near, beyond, one).item() == pytest.approx((2 * math.pi - 0.02) ** 2, rel=1e-4)
    assert phase_feature_loss(near, beyond, one, wrap=True).item() == pytest.approx(4e-4, rel=1e-2)
    moved = [phase + 2 * math.pi for phase in TEACHER]
    torch.testing.assert_close(
        phase_feature_loss(STUDENT, moved, GATE, wrap=True), phase_feature_loss(STUDENT, TEACHER, GATE, wrap=True)
    )


def test_half_precision_is_computed_in_single() -> None:
    maps = wave(2, 3, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        phase, amplitude = phase_amplitude(maps)
        again = recompose(phase, amplitude)
        loss = phase_feature_loss([phase.bfloat16()], [phase.bfloat16() / 2], torch.ones(2, 3).bfloat16())
    assert phase.dtype == amplitude.dtype == again.dtype == loss.dtype == torch.float32
    assert torch.equal(phase, phase_amplitude(maps.float())[0])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"map must be a feature map .*received shape \(2, 3\)"):
        phase_amplitude(torch.zeros(2, 3))
    with pytest.raises(NonFiniteError, match="map holds"):
        phase_amplitude(torch.full((1, 1, 2, 2), math.nan))
    with pytest.raises(UsageError, match=r"must be of one map, received \(1, 1, 2, 2\) and \(1, 1, 2, 3\)"):
        recompose(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3))
    for student, teacher in ((STUDENT, TEACHER[:1]), (STUDENT[:1], [STUDENT[1]]), ([], [])):
        with pytest.raises(UsageError, match="student_phases and teacher_phases must be of the same stages, received"):
            phase_feature_loss(student, teacher, GATE)
    with pytest.raises(UsageError, match=r"gate must be B×ΣC, here \(2, 5\), received \(2, 4\)"):
        phase_feature_loss(STUDENT, TEACHER, GATE[:, :4])
    larger = [torch.zeros(2, 2, 9, 9), TEACHER[1]]
    assert phase_feature_loss(STUDENT, larger, GATE).isfinite()
    with pytest.raises(UsageError, match="must be of the same stages"):
        phase_feature_loss(STUDENT, larger, GATE, wrap=True)
