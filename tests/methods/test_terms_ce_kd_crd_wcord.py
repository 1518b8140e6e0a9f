"""The terms of the built-in methods hand their loss what the batch holds."""

import torch

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import cross_entropy_loss
from wcord.methods.ce import CETerm
from wcord.methods.crd import CRDTerm
from wcord.methods.kd import KDTerm
from wcord.methods.term import Setting
from wcord.methods.wcord import WCoRDTerm

SETTING = Setting(4, 6, 3, 3, num_samples=12, batch_size=5, label_smoothing=0.2)


def example() -> tuple[Features, Features, Batch]:
    torch.manual_seed(0)
    images = torch.zeros(5, 1, 1, 1)
    student = Features(torch.randn(5, 3), torch.randn(5, 4), {})
    teacher = Features(torch.randn(5, 3), torch.randn(5, 6), {})
    return student, teacher, Batch(images, images, torch.tensor([0, 1, 2, 0, 1]), torch.tensor([3, 1, 7, 9, 0]))


def test_cross_entropy_uses_the_smoothing_of_the_setting() -> None:
    student, teacher, batch = example()
    expected = cross_entropy_loss(student.logits, batch.target, label_smoothing=0.2)
    torch.testing.assert_close(CETerm("ce", SETTING)(student, teacher, batch), expected)


def test_kd_is_zero_where_the_logits_agree() -> None:
    student, _, batch = example()
    assert abs(KDTerm("kd", SETTING)(student, student, batch).item()) < 1e-6


def test_crd_writes_the_rows_of_the_batch_index_only() -> None:
    student, teacher, batch = example()
    term = CRDTerm("crd", SETTING, num_negatives=4)
    before = {key: value.clone() for key, value in term.state_dict().items()}
    term(student, teacher, batch)
    moved = [
        (value != before[key]).any(dim=1).nonzero().flatten().tolist()
        for key, value in term.state_dict().items()
        if value.shape == (12, 128)
    ]
    assert moved == [[0, 1, 3, 7, 9]] * 2


def test_wcord_weighs_its_own_parts() -> None:
    student, teacher, batch = example()
    term = WCoRDTerm("wcord", SETTING, num_negatives=4)
    report = term(student, teacher, batch)
    expected = 0.8 * report.parts["gckt"] + 0.05 * report.parts["lckt"]
    torch.testing.assert_close(report.total, expected)
    assert dict(term.parts) == {"gckt": 0.8, "lckt": 0.05}
