"""Factor transfer: its greatest distance and its two modules."""

import math

import pytest
import torch
from tests.support.loss_contract import wave
from torch import nn

from wcord.checks import UsageError
from wcord.losses.ft import Paraphraser, Translator, factor_channels, ft_loss


def _fill_parameters(module, scale):
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(scale * wave(parameter.shape, 0.1 * number))
    return module


def test_factors_without_common_positions_differ_by_two_a_sample():
    student, teacher = torch.zeros(2, 1, 1, 4), torch.zeros(2, 1, 1, 4)
    student[:, :, :, 0], teacher[:, :, :, 3] = 5.0, -0.1
    assert ft_loss(student, teacher).item() == pytest.approx(2 / 4)


def test_modules_give_the_values_of_the_public_benchmark():
    paraphraser = _fill_parameters(Paraphraser(6).double(), 0.3)
    translator = _fill_parameters(Translator(4, 6).double(), 0.5)
    student, teacher = wave((2, 4, 3, 3), 0.1), wave((2, 6, 3, 3), 0.2)
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
