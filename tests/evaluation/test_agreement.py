import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.agreement import agreement, class_correlation, class_correlation_difference, linear_cka


def made_up(seed, samples=40, classes=6, width=5):
    generator = torch.Generator().manual_seed(seed)
    return Predictions(
        torch.randn(samples, classes, generator=generator),
        torch.randint(0, classes, (samples,), generator=generator),
        torch.randn(samples, width, generator=generator),
    )


def test_agreement_and_divergence_equal_a_loop():
    student, teacher = made_up(0), made_up(1)
    told = agreement(student, teacher)
    same, divergence = 0, 0.0
    for s, t in zip(student.logits.double(), teacher.logits.double(), strict=True):
        same += int(s.argmax()) == int(t.argmax())
        p, q = t.exp() / t.exp().sum(), s.exp() / s.exp().sum()
        divergence += sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True))
    assert told["agreement"] == pytest.approx(100 * same / 40)
    assert told["fidelity_kl"] == pytest.approx(divergence / 40, rel=1e-6)
    assert told["correlation_gap"] == pytest.approx(
        float(class_correlation_difference(student, teacher).abs().mean()), rel=1e-6
    )


def test_a_network_agrees_with_itself():
    told = agreement(made_up(0), made_up(0))
    assert told == pytest.approx({"agreement": 100, "fidelity_kl": 0, "correlation_gap": 0, "cka": 1}, abs=1e-6)


def test_other_classes_leave_only_the_embeddings():
    told = agreement(made_up(0), made_up(1, classes=9, width=11))
    assert set(told) == {"cka"}


def test_other_samples_are_refused():
    with pytest.raises(UsageError, match="must hold the same samples, received 40 and 30 rows"):
        agreement(made_up(0), made_up(1, samples=30))


def test_cka_equals_the_naive_centered_gram_form():
    x, y = made_up(0, width=5).embeddings.double(), made_up(1, width=9).embeddings.double()
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    expected = torch.trace(k @ m) / (torch.trace(k @ k) * torch.trace(m @ m)).sqrt()
    assert linear_cka(x, y) == pytest.approx(float(expected), rel=1e-10)


def test_cka_is_the_same_by_columns_and_by_samples():
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(12, 10, generator=generator), torch.randn(12, 11, generator=generator)
    padded = torch.cat([y, torch.zeros(12, 5)], dim=1)  # more columns than samples: the Gram form, same representation
    assert linear_cka(x, padded) == pytest.approx(linear_cka(x, y), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100), shift=st.floats(-10, 10))
def test_cka_ignores_rotation_scale_and_shift(seed, scale, shift):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(20, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64))[0]
    value = linear_cka(x, y)
    assert linear_cka(scale * x @ rotation + shift, y) == pytest.approx(value, abs=1e-9)
    assert linear_cka(y, x) == pytest.approx(value, abs=1e-12)
    assert -1e-12 <= value <= 1 + 1e-12


def test_cka_of_a_constant_representation_is_zero():
    assert linear_cka(torch.ones(10, 3), made_up(0, samples=10).embeddings) == 0.0


def test_class_correlation_is_pearsons_and_zero_for_constant_classes():
    logits = made_up(0).logits
    logits[:, 2] = 1e4
    table = class_correlation(logits)
    assert float(table[2].abs().max()) == 0
    kept = [0, 1, 3, 4, 5]
    expected = torch.corrcoef(logits[:, kept].double().T).float()
    torch.testing.assert_close(table[kept][:, kept], expected)


def test_class_correlation_difference_is_student_minus_teacher():
    student, teacher = made_up(0), made_up(1)
    expected = torch.corrcoef(student.logits.T) - torch.corrcoef(teacher.logits.T)
    torch.testing.assert_close(class_correlation_difference(student, teacher), expected, atol=1e-5, rtol=1e-4)


def test_class_correlations_of_other_classes_are_refused():
    with pytest.raises(UsageError, match="a student with 6 and a teacher with 9: compare networks of one data set"):
        class_correlation_difference(made_up(0), made_up(1, classes=9))


def test_a_single_sample_has_no_correlations() -> None:
    one = Predictions(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.ones(1, 3))
    assert set(agreement(one, one)) == {"agreement", "fidelity_kl"}


def test_agreement_tells_a_good_student_from_a_bad_one() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(400, 8, generator=generator)
    logits = teacher[:, :3]
    told = [
        agreement(
            Predictions(logits, logits.argmax(1), teacher + noise * torch.randn(400, 8, generator=generator)),
            Predictions(logits, logits.argmax(1), teacher),
        )
        for noise in (0.0, 0.5, 5.0)
    ]
    assert told[0]["information_nats"] > told[1]["information_nats"] > told[2]["information_nats"]
    assert told[0]["transport_cost"] < told[1]["transport_cost"] < told[2]["transport_cost"]
