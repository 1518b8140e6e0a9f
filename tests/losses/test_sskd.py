"""SSKD's losses: the authors' values and gradients, naive loops, and what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.losses.test_turned import CASES, divergence_by_loop
from tests.support.golden import golden_case
from torch import Tensor

from wcord.checks import UsageError
from wcord.losses import sskd_head_loss, sskd_loss, turned_similarity

Values = dict[str, Tensor]


def view_major(rows: Tensor) -> Tensor:
    """Return rows in wcord's order of those in the authors', where the four views of a sample come side by side."""
    return rows.view(-1, 4, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)


def similarity(values: Values, side: str) -> Tensor:
    """Return the similarities of one network under its head."""
    hidden = F.relu(F.linear(values[f"{side}_embedding"], values[f"{side}_head_w1"], values[f"{side}_head_b1"]))
    views = view_major(F.linear(hidden, values[f"{side}_head_w2"], values[f"{side}_head_b2"])).unflatten(0, (4, -1))
    return turned_similarity(views[0], views[1:])


def leaf(values: Values, *names: str) -> None:
    for name in names:
        values[name] = values[name].clone().requires_grad_()


@pytest.mark.parametrize("case", CASES)
def test_the_authors_values_and_gradients(case: str) -> None:
    values = golden_case("sskd", case)
    student = ["student_logits", "student_embedding", *(f"student_head_{name}" for name in ("w1", "b1", "w2", "b2"))]
    leaf(values, *student)
    constants = values["constants"].tolist()
    names = ("temperature", "turned_temperature", "similarity_temperature", "keep_turned", "keep_similarity")
    parts = sskd_loss(
        view_major(values["student_logits"]),
        view_major(values["teacher_logits"]),
        similarity(values, "student"),
        similarity(values, "teacher"),
        values["target"],
        **dict(zip(names, constants[:5], strict=True)),
    )
    for name, key in (("kd", "loss_kd"), ("turned", "loss_tf"), ("similarity", "loss_ss")):
        assert parts[name].item() == pytest.approx(values[key].item(), rel=1e-5, abs=1e-5)
    ce = F.cross_entropy(values["student_logits"][::4], values["target"])
    total = sum(w * part for w, part in zip(constants[5:], (ce, *parts.values()), strict=True))
    assert isinstance(total, Tensor)
    assert total.item() == pytest.approx(values["loss_total"].item(), rel=1e-5)
    total.backward()
    for name in student:
        found = values[name].grad
        assert found is not None
        torch.testing.assert_close(found, values[f"total_grad_{name}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_authors_head(case: str) -> None:
    values = golden_case("sskd", case)
    head = [f"teacher_head_{name}" for name in ("w1", "b1", "w2", "b2")]
    leaf(values, *head)
    loss = sskd_head_loss(similarity(values, "teacher"))
    assert loss.item() == pytest.approx(values["head_loss"].item(), rel=1e-5, abs=1e-5)
    loss.backward()
    for name in head:
        found = values[name].grad
        assert found is not None
        torch.testing.assert_close(found, values[f"head_loss_grad_{name[-2:]}"], rtol=1e-5, atol=1e-5)


def wave(*shape: int, phase: float) -> Tensor:
    return 3 * torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) + phase).view(shape)


TARGET = torch.tensor([1, 0, 2])


def waves() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    similarities = (wave(9, 3, phase=phase).sin() for phase in (2.0, 4.0))
    return wave(12, 4, phase=0.0), wave(12, 4, phase=1.0), *similarities, TARGET


OPTIONS = {
    "temperature": 3.0,
    "turned_temperature": 2.0,
    "similarity_temperature": 0.4,
    "keep_turned": 0.6,
    "keep_similarity": 0.4,
}


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_the_parts_are_those_of_a_loop(options: dict[str, float]) -> None:
    student, teacher, student_similarity, teacher_similarity, target = waves()
    parts = sskd_loss(*waves(), **options)
    chosen = {**dict(zip(OPTIONS, (4.0, 4.0, 0.5, 1.0, 0.75), strict=True)), **options}
    rows = [3 + 3 * k + j for j in range(3) for k in range(3)]
    turned = divergence_by_loop(
        student[rows], teacher[rows], target[[0, 0, 0, 1, 1, 1, 2, 2, 2]], chosen["turned_temperature"],
        chosen["keep_turned"],
    )  # fmt: skip
    columns = torch.arange(9) // 3
    similar = divergence_by_loop(
        student_similarity, teacher_similarity, columns, chosen["similarity_temperature"], chosen["keep_similarity"]
    )
    kd = divergence_by_loop(student[:3], teacher[:3], target, chosen["temperature"], 1.0)
    expected = {"kd": kd, "turned": turned, "similarity": similar}
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-9)


KD, TURNED, SIMILARITY, HEAD = 1.46607100296797, 0.9628595690873234, 0.04428151400907269, 1.2406275766283987
"""Of `waves`, by the loops of these tests."""


def test_values_in_any_clone() -> None:
    parts = sskd_loss(*waves())
    expected = {"kd": KD, "turned": TURNED, "similarity": SIMILARITY}
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-9)
    assert sskd_head_loss(waves()[2]).item() == pytest.approx(HEAD, rel=1e-9)


def test_the_head_finds_originals_among_all_columns() -> None:
    rows = waves()[2].tolist()
    values = [math.log(sum(map(math.exp, row))) - row[at // 3] for at, row in enumerate(rows)]
    assert sskd_head_loss(waves()[2]).item() == pytest.approx(sum(values) / 9, rel=1e-9)


def test_the_targets_of_all_rows_are_those_of_the_samples() -> None:
    student, teacher, *similarities, target = waves()
    repeated = sskd_loss(student, teacher, *similarities, target.repeat(4))
    assert repeated == sskd_loss(*waves())


def test_the_order_of_samples_and_of_a_samples_turns_does_not_matter() -> None:
    student, teacher, student_similarity, teacher_similarity, target = waves()
    expected = sskd_loss(*waves(), keep_similarity=1.0)
    order = torch.tensor([2, 0, 1])
    rows = torch.cat([order + 3 * view for view in range(4)])
    pairs = (3 * order[:, None] + torch.arange(3)).flatten()
    moved = [each[pairs][:, order] for each in (student_similarity, teacher_similarity)]
    found = sskd_loss(student[rows], teacher[rows], *moved, target[order], keep_similarity=1.0)
    assert [part.item() for part in found.values()] == pytest.approx([part.item() for part in expected.values()])
    turns, at = torch.arange(12), torch.tensor([1, 0, *range(2, 9)])
    turns[[3, 6]] = turns[[6, 3]]  # two turns of the first sample
    moved = [each[at] for each in (student_similarity, teacher_similarity)]
    found = sskd_loss(student[turns], teacher[turns], *moved, target, keep_similarity=1.0)
    assert [part.item() for part in found.values()] == pytest.approx([part.item() for part in expected.values()])


@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_equal_zero_and_one_hot_inputs_have_finite_values_and_gradients(size: float) -> None:
    logits = (size * torch.eye(4).repeat(3, 1)).requires_grad_()
    cosines = torch.full((9, 3), min(size, 1.0), requires_grad=True)
    parts = sskd_loss(logits, logits.detach(), cosines, cosines.detach(), TARGET)
    opposite = sskd_loss(logits, -logits.detach(), cosines, -cosines.detach(), TARGET)
    for part in (*parts.values(), *opposite.values()):
        assert part.isfinite()
    assert [part.item() for part in parts.values()] == pytest.approx([0, 0, 0], abs=1e-4)
    (sum([*parts.values(), *opposite.values()]) + sskd_head_loss(cosines)).backward()
    for each in (logits, cosines):
        assert each.grad is not None
        assert each.grad.isfinite().all()


def test_gradients_are_those_of_the_values_and_none_reaches_the_teacher() -> None:
    inputs = [value.requires_grad_() if value.is_floating_point() else value for value in waves()]
    student, teacher, student_similarity, teacher_similarity, target = inputs

    def total(logits: Tensor, cosines: Tensor) -> Tensor:
        return torch.stack([*sskd_loss(logits, teacher, cosines, teacher_similarity, target).values()]).sum()

    assert torch.autograd.gradcheck(total, (student, student_similarity))
    assert torch.autograd.gradcheck(sskd_head_loss, (student_similarity,))
    total(student, student_similarity).backward()
    assert teacher.grad is None
    assert teacher_similarity.grad is None


def test_half_precision_is_widened() -> None:
    wide = [value.float() if value.is_floating_point() else value for value in waves()]
    half = [value.bfloat16() if value.is_floating_point() else value for value in waves()]
    with torch.autocast("cpu", torch.bfloat16):
        found = sskd_loss(*wide)
    for name, part in sskd_loss(*wide).items():
        assert torch.equal(part, found[name])
        assert sskd_loss(*half)[name].dtype == torch.float32


def test_what_does_not_fit_is_refused() -> None:
    student, teacher, *similarities, target = waves()
    with pytest.raises(UsageError, match=r"sskd compares class by class, received a student of 4 .* teacher of 3"):
        sskd_loss(student, teacher[:, :3], *similarities, target)
    with pytest.raises(UsageError, match=r"views of the same samples, received 8 rows of logits and .* with 3 and"):
        sskd_loss(student[:8], teacher[:8], *similarities, target)
    with pytest.raises(UsageError, match=r"student_similarity must hold a row for each of three .* received 8×3"):
        sskd_loss(student, teacher, similarities[0][:8], similarities[1], target)
    with pytest.raises(UsageError, match="logits and target must hold the same samples, received 3 and 2"):
        sskd_loss(student, teacher, *similarities, target[:2])
    for name in OPTIONS:
        with pytest.raises(UsageError, match=f"{name} must (be|lie)"):
            sskd_loss(*waves(), **{name: -1.0})
    with pytest.raises(UsageError, match="similarity must hold a row"):
        sskd_head_loss(torch.zeros(4, 2))
