"""Each doubt is one sentence with its usual causes, and a sound result has none."""

import pytest
import torch
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.chance import Standing, standing
from wcord.evaluation.symptoms import below_training, doubts, training_gap


def found(predicted: Tensor, targets: Tensor, classes: int = 2) -> Standing:
    return standing(Predictions(torch.eye(classes)[predicted], targets, torch.zeros(len(targets), 1)))


def reaching(percent: int, samples: int = 1000, classes: int = 10) -> Standing:
    targets = torch.arange(samples) % classes
    right = torch.arange(samples) < samples * percent // 100
    return found(torch.where(right, targets, (targets + 1) % classes), targets, classes)


def test_chance_and_one_class_are_told_apart() -> None:
    targets = torch.arange(200) // 190
    (constant,) = doubts(found(torch.zeros_like(targets), targets), "the student", ["well", "ill"], "causes")
    assert constant == (
        "the student is at chance: 95.00 % are right (balanced accuracy 50.00 %); the commonest class alone reaches "
        "95.00 %; one class, 'well', is predicted for 100.00 % of the samples. Usual causes: causes"
    )
    rare = torch.arange(2000) // 1900
    nearly = torch.where(torch.arange(2000) > 1985, 1, 0)
    (sentence,) = doubts(found(nearly, rare), "the teacher", [], "causes")
    assert sentence.startswith("the teacher predicts one class, '0', for 99.30 % of the samples; 95.00 % belong to it")
    assert doubts(found(rare, rare), "the student", [], "causes") == []


def test_samples_of_one_class_measure_nothing() -> None:
    zeros = torch.zeros(30, dtype=torch.long)
    for predicted in (zeros, zeros + 1):  # all right, all wrong
        (told,) = doubts(found(predicted, zeros), "the student", ["a", "b"], "causes")
        assert told.startswith("all 30 samples on which the student is measured are of one class")


def test_what_would_be_refused_as_a_teacher_is_told_of_a_student() -> None:
    draw = torch.Generator().manual_seed(0)
    targets = torch.tensor([0] * 160 + [1] * 20 + [2] * 20)
    predicted = torch.where(torch.rand(200, generator=draw) < 0.35, targets, 0)
    weak = found(predicted, targets, 3)
    assert weak.weak
    assert weak.informed
    (told,) = doubts(weak, "the student", [], "causes")
    assert told.startswith("the student is near chance: ")


@pytest.mark.parametrize(
    ("test", "train", "samples", "wide"),
    [(10, 55.6, 1000, True), (31, 98.0, 360, True), (50, 98.0, 1000, True), (72, 99.0, 1000, False),
     (90, 97.0, 1000, False), (60, 100.0, 10, False), (98, 60.0, 1000, False)],
)  # fmt: skip
def test_a_wide_gap_is_told_where_samples_suffice(test: int, train: float, samples: int, wide: bool) -> None:
    told = training_gap(reaching(test, samples), train)
    assert len(told) == wide
    assert not told or (f"{train:.2f} %" in told[0] and "Usual causes" in told[0])


@pytest.mark.parametrize(
    ("now", "then", "told"), [(60, 98.0, True), (90, 98.0, True), (95, 98.0, False), (99, 50.0, False)]
)
def test_a_network_far_below_its_own_training_is_told(now: int, then: float, told: bool) -> None:
    assert bool(below_training(reaching(now), "the teacher", then)) == told
