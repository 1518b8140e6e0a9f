"""A dry forward finds widths and classes and leaves the networks as they were."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.methods.observe import observe
from wcord.models.create import create_model


def test_widths_and_classes_are_found_and_nothing_moves() -> None:
    student, teacher = create_model("resnet8", num_classes=7), create_model("resnet8x4", num_classes=9)
    student.train()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    setting = observe(student, teacher, num_samples=10, batch_size=4)
    assert (setting.student_dim, setting.teacher_dim) == (64, 256)
    assert (setting.student_classes, setting.teacher_classes) == (7, 9)
    assert student.training
    for key, value in student.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_sample_that_does_not_fit_is_told() -> None:
    student = create_model("resnet8", num_classes=7)
    with pytest.raises(UsageError, match=r"the student cannot take an input of shape \(2, 1, 32, 32\)"):
        observe(student, student, student_sample=torch.zeros(2, 1, 32, 32))
