"""Flow of the solution procedure prepares the student on stem and stages, and leaves the main stage alone."""

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.fsp import fsp_loss
from wcord.methods.fsp import FSPTerm
from wcord.methods.observe import observe
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))


def _features(term: FSPTerm, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher.eval(), term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


def test_prepares_on_all_maps_and_is_zero_afterwards() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8"), create_model("resnet14")
    term = FSPTerm("fsp", observe(student, teacher, student_sample=IMAGES))
    assert term.student_map_names == ("stem", "stage1", "stage2", "stage3")
    s, t = _features(term, student, teacher)
    loss = term.prepare(s, t, BATCH)
    torch.testing.assert_close(loss, fsp_loss(list(s.maps.values()), list(t.maps.values())))
    loss.backward()
    assert student.conv1.weight.grad is not None
    assert term(s, t, BATCH).item() == 0.0
    assert (term.preparation.epochs, term.preparation.student, term.preparation.rate) == (30, True, 1.0)
    assert list(term.stage_parameters("preparation")) == list(term.stage_parameters("main")) == []


def test_other_channels_are_refused_before_the_first_step() -> None:
    setting = observe(create_model("resnet8"), create_model("wrn_16_2"), student_sample=IMAGES)
    message = "equal channels, received a student of 16, 16, 32, 64 and a teacher of 16, 32, 64, 128"
    with pytest.raises(UsageError, match=message):
        FSPTerm("fsp", setting)
