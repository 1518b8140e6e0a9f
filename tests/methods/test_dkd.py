"""DKD as a term: what it is given, and how its weight rises."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses.dkd import dkd_loss
from wcord.methods.dkd import DKDTerm
from wcord.methods.setting import Setting

SETTING = Setting(4, 6, 3, 3, total_steps=48)
IMAGES = torch.zeros(5, 1, 1, 1)
BATCH = Batch(IMAGES, IMAGES, torch.tensor([0, 1, 2, 0, 1]))


def features() -> tuple[Features, Features]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=generator) for _ in range(2))
    return Features(student, torch.zeros(5, 4), {}), Features(teacher, torch.zeros(5, 6), {})


def test_hands_logits_classes_and_options_to_the_loss() -> None:
    student, teacher = features()
    term = DKDTerm("dkd", SETTING, warmup=0.0, beta=2.0)
    expected = dkd_loss(student.logits, teacher.logits, BATCH.target, beta=2.0)
    torch.testing.assert_close(term(student, teacher, BATCH), expected)


def test_the_weight_rises_over_a_twelfth_of_the_training() -> None:
    student, teacher = features()
    term = DKDTerm("dkd", SETTING)
    whole = dkd_loss(student.logits, teacher.logits, BATCH.target).item()
    values = [term(student, teacher, BATCH).item() for _ in range(7)]
    assert values == pytest.approx([share * whole for share in (0, 0.25, 0.5, 0.75, 1, 1, 1)])


def test_the_count_stands_still_in_eval_mode_and_survives_a_restart() -> None:
    student, teacher = features()
    term = DKDTerm("dkd", SETTING)
    term(student, teacher, BATCH)
    term.eval()
    assert term(student, teacher, BATCH).item() == term(student, teacher, BATCH).item() > 0
    again = DKDTerm("dkd", SETTING).eval()
    again.load_state_dict(term.state_dict())
    assert again(student, teacher, BATCH).item() == term(student, teacher, BATCH).item()


def test_the_weight_is_whole_where_the_length_is_not_known() -> None:
    student, teacher = features()
    term = DKDTerm("dkd", Setting(4, 6, 3, 3))
    torch.testing.assert_close(term(student, teacher, BATCH), dkd_loss(student.logits, teacher.logits, BATCH.target))


def test_refuses_other_classes_and_a_warmup_beyond_the_training() -> None:
    with pytest.raises(UsageError, match="dkd compares logits, but the teacher has 9 classes"):
        DKDTerm("dkd", SETTING).check("dkd", Setting(4, 6, 3, 9))
    with pytest.raises(UsageError, match="warmup must lie between 0 and 1, received 20"):
        DKDTerm("dkd", SETTING, warmup=20)
