"""A term: the rate of its stage, its checks, and messages that name it."""

import pytest
import torch
from torch import Tensor

from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.methods.setting import Setting
from wcord.methods.term import Needs, Preparation, Term, class_numbers, naming


class Plain(Term):
    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return student.logits.sum()


SIDE = Features(torch.zeros(2, 3), torch.zeros(2, 4))
BATCH = Batch(torch.zeros(2, 1), torch.zeros(2, 1), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("stage", "epochs", "rates"),
    [
        (Preparation(lr=0.05, milestones=(0.5, 0.75)), 1, [0.05]),
        (Preparation(lr=0.05, milestones=(0.5, 0.75)), 2, [0.05, 0.005]),
        (Preparation(lr=0.05, milestones=(0.5, 0.75)), 4, [0.05, 0.05, 0.005, 0.0005]),
        (Preparation(rate=0.2), 3, [0.2, 0.2, 0.2]),
        (Preparation(rate=0.5, milestones=(0.5,)), 2, [0.5, 0.05]),
    ],
)
def test_the_rate_of_a_stage_falls_after_its_milestones(stage: Preparation, epochs: int, rates: list[float]) -> None:
    assert [stage.rate_at(epoch, epochs, run=1.0) for epoch in range(epochs)] == pytest.approx(rates)


def test_a_term_without_a_stage_or_additions_has_nothing_to_compute_for_them() -> None:
    term = Plain()
    assert (term.preparation, term.teacher_training, term.cuts, term.embed(SIDE.embedding, SIDE.embedding)) == (
        None, None, (), None
    )  # fmt: skip
    for method in (term.prepare, term.teach):
        with pytest.raises(AssertionError, match="Plain has a"):
            method(SIDE, SIDE, BATCH)


def test_errors_name_the_term_once() -> None:
    for raised in ("is too small", "kd: is too small"):
        with pytest.raises(DoesNotFitError, match=r"^kd: is too small$"), naming("kd"):
            raise DoesNotFitError(raised)


def test_a_need_that_the_setting_does_not_meet_is_refused() -> None:
    term = Plain()
    term.needs = Needs(same_classes=True, min_batch=4)
    term.check("plain", Setting(4, 4, 3, 3, batch_size=4))
    with pytest.raises(DoesNotFitError, match="the teacher has 5 classes and the student 3"):
        term.check("plain", Setting(4, 4, 3, 5))
    with pytest.raises(UsageError, match="needs at least 4, received batches of 2: raise --batch-size"):
        term.check("plain", Setting(4, 4, 3, 3, batch_size=2))


def test_only_targets_of_one_class_each_are_class_numbers() -> None:
    assert class_numbers(BATCH) is BATCH.target
    assert class_numbers(Batch(BATCH.student_input, BATCH.teacher_input, torch.eye(2))) is None
