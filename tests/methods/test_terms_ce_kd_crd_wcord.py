"""The terms of the built-in methods hand their loss what the batch holds."""

import torch

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import GCKTLoss, LCKTLoss, cross_entropy_loss
from wcord.methods.ce import CETerm
from wcord.methods.crd import CRDTerm
from wcord.methods.kd import KDTerm
from wcord.methods.setting import Setting
from wcord.methods.wcord import GCKTTerm, LCKTTerm

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


def test_gckt_is_the_loss_of_the_embeddings_with_the_rows_of_the_setting() -> None:
    student, teacher, batch = example()
    torch.manual_seed(1)
    term = GCKTTerm("gckt", SETTING, num_negatives=4)
    torch.manual_seed(1)
    loss = GCKTLoss(4, 6, num_samples=12, num_negatives=4)
    torch.manual_seed(2)
    value = term(student, teacher, batch)
    torch.manual_seed(2)
    assert torch.equal(value, loss(student.embedding, teacher.embedding, batch.index))
    critic = loss.critic.eval()(student.embedding, teacher.embedding)
    assert all(
        torch.equal(*pair) for pair in zip(term.eval().embed(student.embedding, teacher.embedding), critic, strict=True)
    )


def test_lckt_reports_what_its_plan_does() -> None:
    student, teacher, batch = example()
    torch.manual_seed(1)
    term = LCKTTerm("lckt", SETTING, epsilon=0.5)
    torch.manual_seed(1)
    plan = LCKTLoss(4, 6, epsilon=0.5).plan(student.embedding, teacher.embedding)
    assert torch.equal(term(student, teacher, batch), plan.cost)
    assert term.measured == {"diagonal_mass": plan.diagonal_mass, "marginal_error": plan.marginal_error}
    assert term.diagnostics == tuple(term.measured)
