"""Classes in another order are told from a network that does not know them."""

import pytest
import torch
from torch import Tensor

from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.order import other_order


def knowing(rate: float, classes: int, each: int = 10) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(classes).repeat(each)
    wrong = torch.randint(0, classes, targets.shape, generator=generator)
    return torch.where(torch.rand(targets.shape, generator=generator) < rate, targets, wrong), targets


def made(predicted: Tensor, targets: Tensor, classes: int) -> Predictions:
    return Predictions(torch.eye(classes)[predicted], targets, torch.zeros(len(targets), 1))


def as_text(classes: int) -> list[str]:
    return sorted(map(str, range(classes)))


@pytest.mark.parametrize(("classes", "rate"), [(12, 0.9), (100, 0.72), (100, 0.3)])
def test_whole_numbers_are_tried_in_both_orders(classes: int, rate: float) -> None:
    """Output k of the network is class k in the order of the numbers, the data's place k its k-th name as text."""
    predicted, targets = knowing(rate, classes)
    place = torch.tensor([as_text(classes).index(str(number)) for number in range(classes)])
    found = other_order(made(predicted, place[targets], classes), as_text(classes))
    assert found is not None
    assert found.by == "number"
    assert found.reached == pytest.approx(100 * float((predicted == targets).double().mean()))
    assert found.remedy == "add --class-order number"
    number = torch.tensor([int(name) for name in as_text(classes)])
    back = other_order(made(place[predicted], targets, classes), [str(k) for k in range(classes)])
    assert back is not None
    assert back.by == "name"
    assert int(number[place[3]]) == 3


@pytest.mark.parametrize("order", [[1, 0], [1, 2, 0], [0, 1, 3, 2], [4, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]])
def test_permuted_classes_are_matched(order: list[int]) -> None:
    classes = len(order)
    predicted, targets = knowing(0.95, classes, each=60)
    found = other_order(made(torch.tensor(order)[predicted], targets, classes), [f"class {k}" for k in order])
    assert found is not None
    assert found.by == "match"
    assert found.reached == pytest.approx(100 * float((predicted == targets).double().mean()), abs=0.01)
    assert f"it reaches {found.reached:.2f} %" in found.text


@pytest.mark.parametrize(
    ("classes", "rate", "each"), [(10, 0.0, 100), (100, 0.0, 10), (10, 0.5, 100), (2, 0.6, 50), (300, 0.7, 2)]
)
def test_a_network_that_is_merely_wrong_has_no_other_order(classes: int, rate: float, each: int) -> None:
    """Matching on the samples that are counted would find one in any noise."""
    predicted, targets = knowing(rate, classes, each)
    assert other_order(made(predicted, targets, classes), as_text(classes)) is None


@pytest.mark.parametrize("counts", [(200, 5), (950, 50), (100, 60, 4)])
def test_answers_of_a_rare_class_alone_have_no_other_order(counts: tuple[int, ...]) -> None:
    """Matched to the commonest class they would be right most of the time, and know as little."""
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    last = torch.full_like(targets, len(counts) - 1)
    assert other_order(made(last, targets, len(counts))) is None
    nearly = torch.where(torch.arange(len(targets)) % 9 == 0, 0, last)
    assert other_order(made(nearly, targets, len(counts))) is None


def test_a_constant_has_no_other_order() -> None:
    targets = torch.arange(10).repeat(20)
    assert other_order(made(torch.full_like(targets, 3), targets, 10), as_text(10)) is None


def test_a_matching_that_itself_reaches_little_is_no_evidence() -> None:
    """Of other pictures, say: the answers lean a little to a class each, but none of them is known."""
    classes = 12
    predicted, targets = knowing(0.1, classes, each=300)
    assert other_order(made((predicted + 1) % classes, targets, classes)) is None
    predicted, targets = knowing(0.4, classes, each=300)
    assert other_order(made((predicted + 1) % classes, targets, classes)) is not None
