"""Similarities of turned views, and rows that are kept by their rank in the teacher's scores."""

import math

import pytest
import torch
from tests.support import naive_similarities as naive
from tests.support.golden import golden_case

from wcord.checks import UsageError
from wcord.losses.turned import by_sample, keep_by_rank, kept_divergence, turned_similarity

CASES = ("mixed", "none_wrong", "all_wrong", "few_wrong", "half_tf", "ties", "other_constants", "single")


def test_each_turned_view_is_compared_with_each_original() -> None:
    generator = torch.Generator().manual_seed(0)
    originals, turned = torch.randn(4, 5, generator=generator), torch.randn(3, 4, 5, generator=generator)
    found = turned_similarity(originals, turned)
    assert found.shape == (12, 4)
    for j in range(4):
        for k in range(3):
            for i in range(4):
                u, v = originals[i], turned[k, j]
                cosine = float(u @ v) / math.sqrt(float(u @ u) * float(v @ v))
                assert found[3 * j + k, i].item() == pytest.approx(cosine, abs=1e-5)


def test_zero_rows_have_a_finite_gradient_and_both_sides_get_one() -> None:
    originals, turned = torch.zeros(2, 3, requires_grad=True), torch.zeros(3, 2, 3, requires_grad=True)
    found = turned_similarity(originals, turned)
    assert not found.any()
    (found + turned_similarity(originals + torch.eye(3)[:2], turned + 1)).sum().backward()
    for leaf in (originals, turned):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()


def test_half_precision_is_widened_and_the_gradient_is_that_of_the_value() -> None:
    generator = torch.Generator().manual_seed(0)
    originals, turned = torch.randn(3, 4, generator=generator), torch.randn(3, 3, 4, generator=generator)
    assert turned_similarity(originals.half(), turned.half()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(turned_similarity(originals, turned), turned_similarity(originals, turned))
        assert turned_similarity(originals, turned).dtype == torch.float32
    assert torch.autograd.gradcheck(
        turned_similarity, (originals.double().requires_grad_(), turned.double().requires_grad_())
    )


def test_views_of_other_samples_are_refused() -> None:
    with pytest.raises(UsageError, match=r"turned must hold 3 views of the 2 originals of width 3, received .* \(3, 1"):
        turned_similarity(torch.zeros(2, 3), torch.zeros(3, 1, 3))
    with pytest.raises(UsageError, match="turned holds 18 values that are NaN or infinite"):
        turned_similarity(torch.zeros(2, 3), torch.full((3, 2, 3), math.nan))


@pytest.mark.parametrize("share", [0.0, 0.29, 0.5, 0.7, 0.75, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 40, 100])
def test_the_rows_are_those_of_a_loop(rows: int, share: float) -> None:
    generator = torch.Generator().manual_seed(rows)
    for scores in (
        torch.randn(rows, 6, generator=generator),
        torch.randint(0, 3, (rows, 6), generator=generator).float(),  # ties among scores, and among ranks
        torch.arange(6.0).repeat(rows, 1),  # all ranks equal
    ):
        for true in (torch.randint(0, 6, (rows,), generator=generator), scores.argmax(1), scores.argmin(1)):
            expected = naive.kept_rows(scores.tolist(), true.tolist(), share)
            assert keep_by_rank(scores, true, share=share).tolist() == expected


@pytest.mark.parametrize("case", CASES)
def test_the_authors_code_keeps_the_same_rows(case: str) -> None:
    values = golden_case("sskd", case)
    *_, share_turned, share_similarity, _, _, _, _ = values["constants"].tolist()
    samples = len(values["target"])
    logits = values["teacher_logits"].unflatten(0, (samples, 4))[:, 1:].flatten(0, 1)
    kept = keep_by_rank(logits, values["target"].repeat_interleave(3), share=share_turned)
    assert kept.nonzero().flatten().tolist() == values["kept_tf"].tolist()
    columns = torch.arange(3 * samples) // 3
    kept = keep_by_rank(values["teacher_similarity"], columns, share=share_similarity)
    assert kept.nonzero().flatten().tolist() == values["kept_ss"].tolist()


def test_by_sample_puts_the_turns_of_a_sample_side_by_side() -> None:
    rows = torch.arange(24).view(12, 2)
    assert torch.equal(by_sample(rows).view(4, 3, 2)[2], rows[[2, 6, 10]])


@pytest.mark.parametrize(("temperature", "share"), [(4.0, 1.0), (0.5, 0.75), (3.0, 0.0)])
def test_the_divergence_is_the_mean_over_the_rows_that_are_kept(temperature: float, share: float) -> None:
    generator = torch.Generator().manual_seed(2)
    student, teacher = (torch.randn(9, 4, generator=generator).double() for _ in range(2))
    true = teacher.argmax(1)
    true[:5] = 0
    found = kept_divergence(student, teacher, true, temperature=temperature, share=share)
    assert found.item() == pytest.approx(
        naive.kept_divergence(student, teacher, true.tolist(), temperature, share), rel=1e-9
    )


def test_no_row_gives_zero_with_a_gradient() -> None:
    student, teacher = torch.randn(3, 2, requires_grad=True), torch.tensor([[1.0, 0.0]] * 3)
    found = kept_divergence(student, teacher, torch.ones(3).long(), temperature=4.0, share=0.0)
    found.backward()
    assert found.item() == 0
    assert student.grad is not None
    assert not student.grad.any()
