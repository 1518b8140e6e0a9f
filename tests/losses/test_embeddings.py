"""The checks that the losses on embeddings share."""

import pytest
import torch

from wcord.checks import UsageError, WrongTypeError
from wcord.losses.embeddings import require_embeddings


@pytest.mark.parametrize(
    ("student", "teacher", "min_rows", "kind", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 3), 1, UsageError, "must hold the same samples, received 2 and 3"),
        (torch.zeros(2), torch.zeros(2, 3), 1, UsageError, "student_embedding must be a matrix"),
        (torch.zeros(1, 3), torch.zeros(1, 3), 2, UsageError, "needs a batch of at least 2, received 1"),
        (torch.zeros(2, 3), torch.zeros(2, 3) / 0, 1, UsageError, "teacher_embedding holds 6 values that are NaN"),
        (torch.zeros(2, 3), torch.zeros(2, 3).long(), 1, WrongTypeError, "teacher_embedding must hold floating-point"),
    ],
)
def test_wrong_embeddings_are_refused(student, teacher, min_rows, kind, message):
    with pytest.raises(kind, match=message):
        require_embeddings(student, teacher, min_rows=min_rows)


def test_widths_may_differ():
    require_embeddings(torch.zeros(2, 3), torch.zeros(2, 5), min_rows=2)
