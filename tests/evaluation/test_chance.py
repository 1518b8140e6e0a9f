"""Chance is what the commonest class, or shuffled labels, would reach."""

import pytest
import torch
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.chance import even_rows, standing


def made(predicted: Tensor, targets: Tensor, classes: int) -> Predictions:
    return Predictions(torch.eye(classes)[predicted], targets, torch.zeros(len(targets), 1))


def labels(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def right_at(targets: Tensor, rates: list[float], classes: int) -> Tensor:
    """Return predictions that are right at a rate a class, else of the next class."""
    generator = torch.Generator().manual_seed(1)
    right = torch.rand(len(targets), generator=generator) < torch.tensor(rates)[targets]
    return torch.where(right, targets, (targets + 1) % classes)


@pytest.mark.parametrize("counts", [(200, 5), (950, 50), (100, 100), (30, 10, 10), (7,) * 10])
def test_a_constant_is_at_chance(counts: tuple[int, ...]) -> None:
    targets = labels(*counts)
    found = standing(made(torch.zeros_like(targets), targets, len(counts)))
    assert not found.informed
    assert found.weak
    assert found.one_class
    assert found.top1 == pytest.approx(counts[0] / sum(counts))
    assert found.balanced == pytest.approx(1 / len(counts))


@pytest.mark.parametrize("counts", [(200, 5), (950, 50), (199, 1), (100, 100), (60, 20, 10, 3), (10,) * 100])
def test_answers_without_regard_to_the_labels_are_at_chance(counts: tuple[int, ...]) -> None:
    """Of 60 draws none may pass for knowledge, or hardly one: a lucky hit in a rare class is likely enough."""
    targets = labels(*counts)
    generator = torch.Generator().manual_seed(0)
    passed = 0
    for _ in range(60):
        shares = torch.tensor(counts, dtype=torch.float64)
        drawn = torch.multinomial(shares, len(targets), replacement=True, generator=generator)
        passed += standing(made(drawn, targets, len(counts))).informed
    assert passed <= 2


@pytest.mark.parametrize(
    ("counts", "rates"),
    [
        ((400, 10), [0.93, 0.9]),  # trained with class weights: top-1 below the commonest class
        ((950, 50), [0.8, 0.7]),
        ((300, 20, 20), [0.7, 0.8, 0.8]),
        ((50, 50), [0.9, 0.9]),
        ((10,) * 100, [0.3] * 100),
        ((4, 4), [1.0, 1.0]),
    ],
)
def test_a_network_that_knows_rare_classes_passes(counts: tuple[int, ...], rates: list[float]) -> None:
    targets = labels(*counts)
    found = standing(made(right_at(targets, rates, len(counts)), targets, len(counts)))
    assert found.informed
    assert not found.weak
    assert not found.one_class


def test_many_balanced_classes_need_twice_chance() -> None:
    targets = labels(*(100,) * 10)
    found = standing(made(right_at(targets, [0.16] * 10, 10), targets, 10))
    assert found.informed
    assert found.weak


def test_a_commonest_class_that_is_named_as_often_as_it_is_right_is_no_symptom() -> None:
    targets = labels(995, 5)
    assert not standing(made(targets, targets, 2)).one_class


def test_even_rows_bring_rare_classes_and_their_shares_bring_the_accuracy_back() -> None:
    targets = labels(9000, 900, 90)
    predicted = right_at(targets, [0.9, 0.5, 1.0], 3)
    rows = even_rows(targets, 1000)
    assert targets[rows].bincount().tolist() == [455, 455, 90]
    whole, look = (
        standing(made(predicted, targets, 3)),
        standing(made(predicted[rows], targets[rows], 3), targets.bincount()),
    )
    assert look.top1 == pytest.approx(whole.top1, abs=0.03)
    assert look.commonest == whole.commonest
    assert look.named_share == pytest.approx(whole.named_share, abs=0.03)
    assert even_rows(targets[:10], 1000).tolist() == list(range(10))
    assert len(even_rows(torch.arange(3000), 1000).unique()) == 1000


def test_data_of_a_single_class_say_little() -> None:
    targets = torch.zeros(20, dtype=torch.long)
    assert standing(made(targets, targets, 2)).informed
    assert not standing(made(targets + 1, targets, 2)).informed
