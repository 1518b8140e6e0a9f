"""Precision and F1 against loops over thresholds and samples; labels that nobody has; what cannot be measured."""

import math
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.evaluation.accuracy import Predictions, accuracy
from wcord.evaluation.several import several_accuracy


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 30), labels=st.integers(2, 6), absent=st.booleans())
def test_is_what_loops_say(seed: int, rows: int, labels: int, absent: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, labels, generator=generator).mul(4).round().div(2)  # so that some are equal
    targets = torch.randint(2, (rows, labels), generator=generator).float()
    targets[0, 0] = 1
    if absent:
        targets[:, 1] = 0
    found = several_accuracy(logits, targets)
    kept = [c for c in range(labels) if targets[:, c].sum()]
    true, said = targets.bool().tolist(), (logits >= 0).tolist()
    precisions = [average_precision([row[c] for row in true], logits[:, c].tolist()) for c in kept]
    scored = [f1([row[c] for row in true], [row[c] for row in said]) for c in kept]
    assert found["map"] == pytest.approx(100 * sum(precisions) / len(kept), rel=1e-4)
    assert found["macro_f1"] == pytest.approx(100 * sum(scored) / len(kept), rel=1e-4)
    assert found["micro_f1"] == pytest.approx(100 * f1([*chain(*true)], [*chain(*said)]), rel=1e-4)


def average_precision(true: list[bool], scores: list[float]) -> float:
    """Sum over the thresholds, from high to low, of the precision times what the recall gains."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        above = [hit for hit, score in zip(true, scores, strict=True) if score >= threshold]
        reached = sum(above) / sum(true)
        total, recall = total + (reached - recall) * sum(above) / len(above), reached
    return total


def f1(true: list[bool], said: list[bool]) -> float:
    hits = sum(a and b for a, b in zip(true, said, strict=True))
    return 2 * hits / max(1, sum(true) + sum(said))


def test_nll_is_the_loop_and_accuracy_tells_by_the_targets() -> None:
    logits, targets = torch.randn(5, 3), torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]])
    expected = 0.0
    for i in range(5):
        for c in range(3):
            yes = 1 / (1 + math.exp(-logits[i, c]))
            expected -= math.log(yes if targets[i, c] else 1 - yes) / 15
    told = accuracy(Predictions(logits, targets, torch.zeros(5, 1)))
    assert set(told) == {"map", "macro_f1", "micro_f1", "nll"}
    assert told["nll"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3), "no sample has a label"),
        (torch.zeros(2, 3), torch.ones(2, 2), "same shape"),
        (torch.full((2, 3), math.nan), torch.ones(2, 3), "NaN or infinite"),
    ],
)
def test_errors(logits: torch.Tensor, targets: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        several_accuracy(logits, targets)
