"""The checks that the losses on logits share."""

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses.logits import require_classes, require_logits

LOGITS = torch.zeros(4, 3)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (LOGITS, torch.zeros(4, 5), "some compares class by class, received a student of 3 classes and a teacher of 5"),
        (LOGITS, torch.zeros(2, 3), "must hold the same samples, received 4 and 2 rows"),
        (torch.zeros(4), LOGITS, "student_logits must be a matrix"),
        (torch.zeros(1, 3), torch.zeros(1, 3), "student_logits needs a batch of at least 2, received 1"),
        (torch.zeros(4, 1), torch.zeros(4, 1), "some needs logits of at least 2 classes, received 1"),
        (torch.full((4, 3), torch.nan), LOGITS, "student_logits holds 12 values that are NaN or infinite"),
        (LOGITS, torch.full((4, 3), torch.inf), "teacher_logits holds 12 values that are NaN or infinite"),
    ],
)
def test_logits_that_do_not_fit(student, teacher, message):
    with pytest.raises(UsageError, match=message):
        require_logits("some", student, teacher, min_rows=2)


def test_whole_numbers_are_no_logits():
    with pytest.raises(TypeError, match=r"student_logits must hold floating-point numbers, received torch\.int64"):
        require_logits("some", LOGITS.long(), LOGITS)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.tensor([0, 1, 2, 3]), "target holds classes 0 to 3, logits have 3 classes: build the network"),
        (torch.tensor([0, 1, 2, -100]), "target holds classes -100 to 2"),
        (torch.tensor([0, 1]), "logits and target must hold the same samples, received 4 and 2 rows"),
        (torch.zeros(4, 3, dtype=torch.long), r"one class number per sample, received shape \(4, 3\)"),
    ],
)
def test_classes_that_do_not_fit(target, message):
    with pytest.raises(UsageError, match=message):
        require_classes(target, LOGITS)


def test_fractions_are_no_classes():
    with pytest.raises(TypeError, match=r"target must hold class numbers, received torch\.float32: .*\.long\(\)"):
        require_classes(torch.zeros(4), LOGITS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_what_fits_passes(dtype):
    require_logits("some", LOGITS, LOGITS.bfloat16())
    require_classes(torch.tensor([0, 2, 1, 0], dtype=dtype), LOGITS)
