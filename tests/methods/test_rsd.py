"""RSD as a term: its head, its options and what it needs."""

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.rsd import rsd_loss
from wcord.methods.build import build_objective
from wcord.methods.rsd import RSDTerm
from wcord.methods.setting import Setting

IMAGES = torch.zeros(5, 1, 1, 1)
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 1, 2, 0, 1]))
SETTING = Setting(student_dim=4, teacher_dim=6, student_classes=3, teacher_classes=7)


def features(width: int, seed: int) -> Features:
    embedding = torch.randn(5, width, generator=torch.Generator().manual_seed(seed))
    return Features(torch.zeros(5, 3), embedding.requires_grad_())


@pytest.mark.parametrize(("options", "kappa"), [({}, 0.01), ({"kappa": 0.5, "expansion": 3}, 0.5)])
def test_the_projected_student_and_the_teacher_reach_the_loss(options: dict[str, float], kappa: float) -> None:
    torch.manual_seed(0)
    term = RSDTerm("rsd", SETTING, **options)
    student, teacher = features(4, 0), features(6, 1)
    loss = term(student, teacher, BATCH)
    torch.testing.assert_close(loss, rsd_loss(term.head(student.embedding), teacher.embedding, kappa=kappa))
    loss.backward()
    assert teacher.embedding.grad is None
    assert student.embedding.grad is not None
    assert all(parameter.grad.abs().sum() > 0 for parameter in term.parameters())


@pytest.mark.parametrize("expansion", [1, 2])
def test_the_head_has_two_layers_without_bias(expansion: int) -> None:
    head = RSDTerm("rsd", SETTING, expansion=expansion).head
    assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.GELU, nn.Linear]
    assert head[0].weight.shape == (4 * expansion, 4)
    assert head[3].weight.shape == (6, 4 * expansion)
    assert head[0].bias is None
    assert head[3].bias is None


def test_other_classes_fit_and_the_weight_is_an_option() -> None:
    assert build_objective("rsd", SETTING, options={"rsd": {"weight": 2.0}}).weights == {"ce": 1, "rsd": 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expansion": 0}, "rsd: expansion must be a whole number of at least 1, received 0"),
        ({"kappa": -1}, "rsd: kappa must be a finite number of at least 0, received -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_objective("rsd", SETTING, options={"rsd": options})


def test_it_needs_two_samples() -> None:
    setting = Setting(4, 6, 3, 3, batch_size=1)
    with pytest.raises(UsageError, match="rsd compares samples within a batch and needs at least 2"):
        build_objective("rsd", setting)
