"""Factor transfer trains the paraphraser alone first, then the translator with the student."""

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.ft import ft_loss
from wcord.methods.ft import FTTerm
from wcord.methods.observe import observe
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))


def _term(student: nn.Module, teacher: nn.Module, **options: object) -> FTTerm:
    torch.manual_seed(0)
    return FTTerm("ft", observe(student, teacher, student_sample=IMAGES), **options)


def _features(term: FTTerm, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher.eval(), term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


def test_compares_the_factors_of_the_last_maps() -> None:
    student, teacher = create_model("ShuffleV1"), create_model("wrn_16_2")
    term = _term(student, teacher, p2=2)
    assert (term.student_map_names, term.teacher_map_names) == (("stage3",), ("stage3",))
    s, t = _features(term, student, teacher)
    factors = term.translator(s.maps["stage3"]), term.paraphraser(t.maps["stage3"])
    assert [factor.shape[1] for factor in factors] == [64, 64]
    torch.testing.assert_close(term(s, t, BATCH), ft_loss(*factors, p2=2))


def test_each_stage_trains_its_own_module() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8x4")
    term = _term(student, teacher, rate=0.25)
    s, t = _features(term, student, teacher)
    term.prepare(None, t, BATCH).backward()
    assert all(p.grad is not None for p in term.paraphraser.parameters())
    assert all(p.grad is None for p in term.translator.parameters())
    assert list(term.stage_parameters("preparation")) == list(term.paraphraser.parameters())
    term.zero_grad()
    term(s, t, BATCH).backward()
    assert all(p.grad is None for p in term.paraphraser.parameters())
    assert all(p.grad is not None for p in term.translator.parameters())
    assert list(term.stage_parameters("main")) == list(term.translator.parameters())
    assert student.conv1.weight.grad is not None


def test_prepares_without_the_student_at_the_published_rates() -> None:
    teacher = create_model("vgg8")
    resnet, vgg = _term(create_model("resnet8"), teacher), _term(create_model("vgg8"), teacher)
    assert (resnet.preparation.epochs, resnet.preparation.student, resnet.preparation.rate) == (30, False, 0.2)
    assert vgg.preparation.rate == 1.0


def test_a_few_steps_of_preparation_lower_the_reconstruction_error() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet8")
    term = _term(student, teacher)
    _, t = _features(term, student, teacher)
    optimizer = torch.optim.SGD(term.stage_parameters("preparation"), lr=0.1)
    values = []
    for _ in range(5):
        loss = term.prepare(None, t, BATCH)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]


def test_a_rate_without_channels_is_refused() -> None:
    with pytest.raises(UsageError, match=r"rate 0.01 of 64 channels leaves the factor none"):
        _term(create_model("resnet8"), create_model("resnet8"), rate=0.01)
