"""Activation boundaries prepare the student, with connectors where shapes differ, and leave the main stage alone."""

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.ab import ab_loss
from wcord.methods.ab import ABTerm
from wcord.methods.maps import spatial_pairs
from wcord.methods.observe import observe
from wcord.methods.setting import Setting
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))


def _term(student: nn.Module, teacher: nn.Module, **options: object) -> ABTerm:
    torch.manual_seed(0)
    return ABTerm("ab", observe(student, teacher, student_sample=IMAGES), **options)


def _features(term: ABTerm, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher.eval(), term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


def test_later_stages_before_their_relu_weigh_twice_the_one_before() -> None:
    student, teacher = create_model("resnet8"), create_model("resnet14")
    term = _term(student, teacher, margin=0.5)
    assert term.student_map_names == ("pre:stage1", "pre:stage2", "pre:stage3")
    assert all(isinstance(connector, nn.Identity) for connector in term.connectors)
    s, t = _features(term, student, teacher)
    expected = sum(
        2.0 ** (number - 2) * ab_loss(s.maps[name], t.maps[name], margin=0.5)
        for number, name in enumerate(term.student_map_names)
    )
    torch.testing.assert_close(term.prepare(s, t, BATCH), torch.as_tensor(expected))


@pytest.mark.parametrize("names", [("resnet8", "wrn_16_2"), ("ShuffleV2", "resnet8x4"), ("wrn_16_1", "vgg8")])
def test_connectors_bring_the_student_to_the_teachers_shape_without_relu(names: tuple[str, str]) -> None:
    student, teacher = (create_model(name) for name in names)
    term = _term(student, teacher)
    assert not any(isinstance(module, nn.ReLU) for module in term.modules())
    s, t = _features(term, student, teacher)
    loss = term.prepare(s, t, BATCH)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in term.stage_parameters("preparation"))
    assert any(p.grad is not None for p in student.parameters())


def test_the_main_stage_is_zero_and_trains_nothing_of_the_term() -> None:
    student, teacher = create_model("resnet8"), create_model("wrn_16_2")
    term = _term(student, teacher)
    s, t = _features(term, student, teacher)
    assert term(s, t, BATCH).item() == 0.0
    assert list(term.stage_parameters("main")) == []
    assert (term.preparation.epochs, term.preparation.student, term.preparation.rate) == (30, True, 1.0)


def test_a_few_steps_of_preparation_lower_the_loss() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8"), create_model("resnet8")
    term = _term(student, teacher)
    optimizer = torch.optim.SGD([*student.parameters(), *term.stage_parameters("preparation")], lr=0.01)
    values = []
    for _ in range(5):
        s, t = _features(term, student, teacher)
        loss = term.prepare(s, t, BATCH)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]


def test_maps_of_tokens_and_sizes_without_a_connector_are_refused() -> None:
    images, tokens = {"stem": (3, 8, 8), "last": (3, 8, 8)}, {"stem": (65, 16), "last": (65, 16)}
    with pytest.raises(UsageError, match=r"ab reads maps of channels × height × width, received 'last' of shape \(65"):
        spatial_pairs("ab", Setting(4, 4, 2, 2, student_maps=tokens, teacher_maps=images), "stages")
    large = {"stem": (3, 64, 64), "last": (3, 32, 32)}
    with pytest.raises(UsageError, match="ab cannot bring the student's map of 8×8 to the teacher's 32×32"):
        ABTerm("ab", Setting(4, 4, 2, 2, student_maps=images, teacher_maps=large))


def test_networks_without_stated_maps_are_refused() -> None:
    with pytest.raises(UsageError, match="ab reads feature maps, but the student states none"):
        ABTerm("ab", Setting(4, 4, 2, 2))
