"""The prior of anchored transport: its value, its course over the steps, its errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.losses import LCKTLoss
from wcord.losses.anchor import Anchor

ROWS = torch.zeros(4, 2, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 0, 2])


def test_is_the_double_loop():
    prior = Anchor(0.3, None, None, "class")(ROWS, LABELS)
    for i in range(4):
        for j in range(4):
            same = [k for k in range(4) if LABELS[k] == LABELS[i]]
            expected = 0.7 / 16 + 0.3 / 4 * (1 / len(same) if j in same else 0)
            assert prior[i, j].item() == pytest.approx(expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.floats(0.01, 1), st.sampled_from(["sample", "class"]))
def test_is_a_joint_distribution_with_uniform_marginals(labels, alpha, to):
    n = len(labels)
    prior = Anchor(alpha, None, None, to)(torch.zeros(n, 1, dtype=torch.float64), torch.tensor(labels))
    torch.testing.assert_close(prior.sum(0), torch.full((n,), 1 / n, dtype=torch.float64))
    torch.testing.assert_close(prior.sum(1), torch.full((n,), 1 / n, dtype=torch.float64))
    assert prior.min() >= 0


def test_classes_that_occur_once_are_samples():
    labels = torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(
        Anchor(0.4, None, None, "class")(ROWS, labels), Anchor(0.4, None, None, "sample")(ROWS, None)
    )


def test_alpha_goes_to_its_end_in_training_mode_only_and_survives_a_restart():
    anchor = Anchor(1.0, 0.0, 4, "sample")
    anchor.eval()
    anchor(ROWS, None)
    assert anchor.alpha == 1.0
    anchor.train()
    seen = []
    for _ in range(6):
        seen.append(anchor.alpha)
        prior = anchor(ROWS, None)
    assert seen == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    torch.testing.assert_close(prior, torch.full((4, 4), 1 / 16, dtype=torch.float64))
    other = Anchor(1.0, 0.0, 4, "sample")
    other.load_state_dict(anchor.state_dict())
    assert other.alpha == 0.0


def test_the_loss_hands_its_labels_on_and_anneals():
    torch.manual_seed(0)
    criterion = LCKTLoss(2, 2, anchor=1.0, anchor_end=0.0, anneal_steps=2)
    student, teacher = torch.randn(4, 2), torch.randn(4, 2)
    masses = [criterion.plan(student, teacher).diagonal_mass.item() for _ in range(3)]
    assert masses[0] == pytest.approx(1.0)
    assert masses[0] > masses[1] > masses[2]
    with pytest.raises(UsageError, match="needs the labels of the batch"):
        LCKTLoss(2, 2, anchor=0.5, anchor_to="class")(student, teacher)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, None, None, "sample"), "anchor must lie between 0 and 1"),
        ((0.5, -0.1, 5, "sample"), "anchor_end must lie between 0 and 1"),
        ((0.5, 0.1, None, "sample"), "anchor_end needs anneal_steps"),
        ((0.5, 0.1, 0, "sample"), "anneal_steps must be a whole number of at least 1"),
        ((0.5, None, None, "row"), "unknown anchor_to 'row'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UsageError, match=message):
        Anchor(*arguments)
