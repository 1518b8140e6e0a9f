"""SSKD's losses: the authors' values and gradients, each part's value, and what is refused."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.losses.test_turned import CASES
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


KD, TURNED, SIMILARITY, HEAD = 1.46607100296797, 0.9628595690873234, 0.04428151400907269, 1.2406275766283987
"""Of `waves`, by the loops of `tests/support/naive_similarities.py`."""


def test_values_in_any_clone() -> None:
    parts = sskd_loss(*waves())
    expected = {"kd": KD, "turned": TURNED, "similarity": SIMILARITY}
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(expected, rel=1e-9)
    assert sskd_head_loss(waves()[2]).item() == pytest.approx(HEAD, rel=1e-9)


def test_the_targets_of_all_rows_are_those_of_the_samples() -> None:
    student, teacher, *similarities, target = waves()
    repeated = sskd_loss(student, teacher, *similarities, target.repeat(4))
    assert repeated == sskd_loss(*waves())


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
    for name in ("temperature", "turned_temperature", "similarity_temperature", "keep_turned", "keep_similarity"):
        with pytest.raises(UsageError, match=f"{name} must (be|lie)"):
            sskd_loss(*waves(), **{name: -1.0})
    with pytest.raises(UsageError, match="similarity must hold a row"):
        sskd_head_loss(torch.zeros(4, 2))
