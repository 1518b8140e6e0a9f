"""InfoNCE as a term: both projections train, the teacher's features have no gradient."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.infonce import infonce_loss
from wcord.methods.build import build_objective
from wcord.methods.infonce import InfoNCETerm
from wcord.methods.setting import Setting

IMAGES = torch.zeros(5, 1, 1, 1)
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 1, 2, 0, 1]))
SETTING = Setting(student_dim=4, teacher_dim=6, student_classes=3, teacher_classes=7)


def features(width: int, seed: int) -> Features:
    embedding = torch.randn(5, width, generator=torch.Generator().manual_seed(seed))
    return Features(torch.zeros(5, 3), embedding.requires_grad_())


@pytest.mark.parametrize(
    ("options", "temperature", "width"), [({}, 0.07, 128), ({"temperature": 0.5, "embedding_dim": 8}, 0.5, 8)]
)
def test_both_projections_reach_the_loss_and_train(options: dict[str, float], temperature: float, width: int) -> None:
    torch.manual_seed(0)
    term = InfoNCETerm("infonce", SETTING, **options)
    student, teacher = features(4, 0), features(6, 1)
    loss = term(student, teacher, BATCH)
    projected = term.student_head(student.embedding), term.teacher_head(teacher.embedding)
    assert projected[0].shape == projected[1].shape == (5, width)
    torch.testing.assert_close(loss, infonce_loss(*projected, temperature=temperature))
    loss.backward()
    assert teacher.embedding.grad is None
    assert student.embedding.grad is not None
    assert all(parameter.grad.abs().sum() > 0 for parameter in term.parameters())


def test_its_projections_are_a_critic_for_the_bound_on_the_information() -> None:
    objective = build_objective("infonce", SETTING)
    both = objective.embed(features(4, 0).embedding, features(6, 1).embedding)
    assert both is not None
    for side in both:
        torch.testing.assert_close(side.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_dim": 0}, "infonce: embedding_dim must be a whole number of at least 1, received 0"),
        ({"temperature": 0}, "infonce: temperature must be a finite number above 0, received 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_objective("infonce", SETTING, options={"infonce": options})


def test_it_needs_two_samples() -> None:
    with pytest.raises(UsageError, match="infonce compares samples within a batch and needs at least 2"):
        build_objective("infonce", Setting(4, 6, 3, 3, batch_size=1))
