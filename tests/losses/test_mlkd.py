"""MLKD's losses: the authors' values and gradients, a naive loop, and what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.losses.test_sskd import leaf, view_major
from tests.support.golden import golden_case
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.losses import align_loss, correlation_loss, cross_network_supcon, turned_similarity

CASES = ("all_different", "equal_widths", "narrow_student", "one_class", "single", "wide_student")
Values = dict[str, Tensor]


def head(values: Values, name: str) -> nn.Sequential:
    """Return one of the authors' two-layer heads, in training mode."""
    prefix = f"{name}_mlp_net"
    hidden, width = values[f"{prefix}_0_weight"].shape
    out = values[f"{prefix}_3_weight"].shape[0]
    layers = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out)).double()
    state = {
        f"{layer}.{kind}": values[f"{prefix}_{layer}_{kind}"] for layer in (0, 1, 3) for kind in ("weight", "bias")
    }
    layers.load_state_dict(state, strict=False)
    return layers.train()


def embeddings(values: Values) -> tuple[Tensor, Tensor]:
    leaf(values, "student_embedding")
    return view_major(values["student_embedding"]), view_major(values["teacher_embedding"])


def close(found: Tensor | None, expected: Tensor) -> None:
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_authors_alignment(case: str) -> None:
    values = golden_case("mlkd", case)
    student, teacher = embeddings(values)
    layers = head(values, "align")
    loss = align_loss(layers(student), teacher)
    loss.backward()
    close(loss.detach(), values["loss_align"])
    close(values["student_embedding"].grad, values["loss_align_grad_student_embedding"])
    close(layers[0].weight.grad, values["loss_align_grad_first_linear"])
    close(layers[1].running_mean, values["align_running_mean"])
    close(layers[1].running_var, values["align_running_var"])


@pytest.mark.parametrize("case", CASES)
def test_the_authors_correlation(case: str) -> None:
    values = golden_case("mlkd", case)
    student, teacher = embeddings(values)
    layers = head(values, "corr")
    similarities = [
        turned_similarity(rows[: len(rows) // 4], rows[len(rows) // 4 :].unflatten(0, (3, -1)))
        for rows in (layers(student), teacher)
    ]
    loss = correlation_loss(*similarities)
    loss.backward()
    close(loss.detach(), values["loss_corr"])
    close(values["student_embedding"].grad, values["loss_corr_grad_student_embedding"])
    close(layers[0].weight.grad, values["loss_corr_grad_first_linear"])


@pytest.mark.parametrize("case", CASES)
def test_the_authors_contrast_without_their_guard(case: str) -> None:
    values = golden_case("mlkd", case)
    student, teacher = embeddings(values)
    leaf(values, "embed_teacher_linear_weight")
    rows = [
        F.linear(each, values[f"embed_{side}_linear_weight"], values[f"embed_{side}_linear_bias"])
        for side, each in (("student", student), ("teacher", teacher))
    ]
    loss = cross_network_supcon(*rows, values["target"].long())
    assert torch.equal(loss, cross_network_supcon(*rows, values["target"].long().repeat(4)))
    loss.backward()
    close(loss.detach(), values["loss_sup_exact"])
    close(values["student_embedding"].grad, values["loss_sup_exact_grad_student_embedding"])
    close(values["embed_teacher_linear_weight"].grad, values["loss_sup_exact_grad_embed_teacher_weight"])
    assert loss.item() == pytest.approx(values["loss_sup"].item(), rel=1e-5)


def wave(*shape: int, phase: float) -> Tensor:
    return 2 * torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) + phase).view(shape)


def pair() -> tuple[Tensor, Tensor]:
    return wave(8, 3, phase=0.0), wave(8, 3, phase=1.0)


LABELS = torch.tensor([0, 1, 0, 2, 2, 0, 1, 1])


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b) / math.sqrt((float(a @ a) + 1e-6) * (float(b @ b) + 1e-6))


def supcon_by_loop(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> float:
    rows, classes = [*student, *teacher], [*labels.tolist(), *labels.tolist()]
    values = []
    for a, row in enumerate(rows):
        others = [n for n in range(len(rows)) if n != a]
        score = {n: cosine(row, rows[n]) / temperature for n in others}
        among = math.log(sum(math.exp(score[n]) for n in others))
        positives = [n for n in others if classes[n] == classes[a]]
        values.append(-sum(score[p] - among for p in positives) / len(positives))
    return sum(values) / len(values)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
@pytest.mark.parametrize("labels", [LABELS, torch.zeros(8).long(), torch.arange(8)])
def test_the_contrast_is_that_of_a_loop(labels: Tensor, temperature: float) -> None:
    student, teacher = pair()
    expected = supcon_by_loop(student, teacher, labels, temperature)
    found = cross_network_supcon(student, teacher, labels, temperature=temperature)
    assert found.item() == pytest.approx(expected, rel=1e-9)
    assert cross_network_supcon(teacher, student, labels, temperature=temperature).item() == pytest.approx(expected)


PLAIN = [0.9935500780156117, 0.5291950137578945, 14.469373760727251]
"""Of `pair`, by loops."""


def test_values_in_any_clone() -> None:
    student, teacher = pair()
    found = [loss.item() for loss in (align_loss(student, teacher), correlation_loss(student, teacher),
                                      cross_network_supcon(student, teacher, LABELS))]  # fmt: skip
    assert found == pytest.approx(PLAIN, rel=1e-6)


@pytest.mark.parametrize("kind", ["equal", "zero", "one-hot", "opposite", "one zero row"])
def test_values_and_gradients_are_finite(kind: str) -> None:
    base = {"zero": torch.zeros(4, 4), "one-hot": 1e4 * torch.eye(4), "one zero row": torch.ones(4, 4).tril(-1)}
    rows = base.get(kind, torch.ones(4, 4))
    student = rows.clone().requires_grad_()
    teacher = (-rows if kind == "opposite" else rows).clone().requires_grad_()
    parts = [
        align_loss(student, teacher),
        correlation_loss(student, teacher),
        cross_network_supcon(student, teacher, torch.tensor([0, 1, 1, 2])),
    ]
    assert all(part.isfinite() for part in parts)
    if kind in ("equal", "one-hot"):
        assert [part.item() for part in parts[:2]] == pytest.approx([0, 0], abs=1e-5)
    sum(parts[:2], parts[2]).backward()
    for leaf_ in (student, teacher):
        assert leaf_.grad is not None
        assert leaf_.grad.isfinite().all()
        assert leaf_.grad.abs().max() < 1e6


def test_gradients_are_those_of_the_values_and_the_first_two_detach_the_teacher() -> None:
    student, teacher = (rows.requires_grad_() for rows in pair())
    assert torch.autograd.gradcheck(lambda s: align_loss(s, teacher), (student,))
    assert torch.autograd.gradcheck(lambda s: correlation_loss(s, teacher), (student,))
    assert torch.autograd.gradcheck(lambda s, t: cross_network_supcon(s, t, LABELS), (student, teacher))
    (align_loss(student, teacher) + correlation_loss(student, teacher)).backward()
    assert teacher.grad is None
    cross_network_supcon(student, teacher, LABELS).backward()
    assert teacher.grad is not None


def test_half_precision_is_widened() -> None:
    student, teacher = (rows.float() for rows in pair())
    for loss in (align_loss, correlation_loss, lambda s, t: cross_network_supcon(s, t, LABELS)):
        with torch.autocast("cpu", torch.bfloat16):
            found = loss(student, teacher)
        assert torch.equal(found, loss(student, teacher))
        assert loss(student.bfloat16(), teacher).dtype == torch.float32


def test_what_does_not_fit_is_refused() -> None:
    student, teacher = pair()
    for loss in (align_loss, correlation_loss, lambda s, t: cross_network_supcon(s, t, LABELS)):
        with pytest.raises(UsageError, match=r"must have the same shape, received \(8, 3\) and \(8, 2\)"):
            loss(student, teacher[:, :2])
    with pytest.raises(UsageError, match=r"the class of each of 8 rows, or of each sample of a rotated .* received 3"):
        cross_network_supcon(student, teacher, LABELS[:3])
    with pytest.raises(UsageError, match="labels must be classes from 0 on, received -1"):
        cross_network_supcon(student, teacher, LABELS - 1)
    for loss in (correlation_loss, lambda s, t, **options: cross_network_supcon(s, t, LABELS, **options)):
        with pytest.raises(UsageError, match="temperature must be a finite number above 0, received 0"):
            loss(student, teacher, temperature=0)
