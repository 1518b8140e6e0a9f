"""WCoRD: the weighted sum of its two parts, the routing of options, and states of earlier versions."""

import copy

import pytest
import torch

from wcord.checks import UsageError
from wcord.losses import GCKTLoss, LCKTLoss, WCoRDLoss
from wcord.losses.wcord import REMOVED, WCoRDOptions

B, STUDENT_DIM, TEACHER_DIM, N = 8, 6, 10, 40
SMALL = {"embedding_dim": 5, "num_negatives": 20, "epsilon": 0.5}
INDEX = torch.arange(B) * 3


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(B, STUDENT_DIM, requires_grad=True), torch.randn(B, TEACHER_DIM)


def _loss(**options):
    torch.manual_seed(1)
    return WCoRDLoss(STUDENT_DIM, TEACHER_DIM, **(SMALL | options))


def test_total_is_the_weighted_sum_of_unweighted_parts(features):
    report = _loss(num_samples=N, gckt_weight=0.3, lckt_weight=2.0)(*features, INDEX)
    assert list(report.parts) == ["gckt", "lckt"]
    torch.testing.assert_close(report.total, 0.3 * report.parts["gckt"] + 2.0 * report.parts["lckt"])
    other = _loss(num_samples=N, gckt_weight=3.0, lckt_weight=0.1)(*features, INDEX)
    assert torch.equal(other.parts["lckt"], report.parts["lckt"])


def test_parts_are_those_of_the_two_losses(features):
    torch.manual_seed(1)
    gckt = GCKTLoss(STUDENT_DIM, TEACHER_DIM, num_samples=N, embedding_dim=5, num_negatives=20)
    lckt = LCKTLoss(STUDENT_DIM, TEACHER_DIM, epsilon=0.5)
    both = _loss(num_samples=N)
    torch.manual_seed(2)
    report = both(*features, INDEX)
    torch.manual_seed(2)
    assert torch.equal(gckt(*features, INDEX), report.parts["gckt"])
    plan = lckt.plan(*features)
    assert torch.equal(plan.cost, report.parts["lckt"])
    expected = {"diagonal_mass": plan.diagonal_mass, "marginal_error": plan.marginal_error}
    assert {name: value.item() for name, value in report.diagnostics.items()} == {
        name: value.item() for name, value in expected.items()
    }


@pytest.mark.parametrize(("off", "rest"), [("gckt", "lckt"), ("lckt", "gckt")])
def test_part_of_weight_zero_is_neither_built_nor_computed(features, off, rest):
    criterion = _loss(num_samples=N, **{f"{off}_weight": 0})
    assert list(criterion(*features, INDEX).parts) == [rest]
    assert {name.split(".")[0] for name in criterion.state_dict()} == {rest}


def test_options_are_those_of_the_two_losses():
    accepted = {name for loss in (GCKTLoss, LCKTLoss) for name in loss.__init__.__kwdefaults__}
    assert set(WCoRDOptions.__annotations__) == accepted
    criterion = _loss(estimator="shared", iterations=3, anchor=0.5)
    assert (criterion.gckt.contrast.estimator, criterion.lckt.iterations, criterion.lckt.anchor.alpha) == (
        "shared", 3, 0.5,
    )  # fmt: skip
    assert (WCoRDLoss(8, 9).gckt_weight, WCoRDLoss(8, 9).lckt_weight) == (0.8, 0.05)


def test_states_of_earlier_versions_load(features):
    criterion, fresh = _loss(num_samples=N, anchor=1.0, anchor_end=0.0, anneal_steps=3, lckt_standardize=True), None
    criterion(*features, INDEX).total.backward()
    old = {}
    for key, value in criterion.state_dict().items():
        part, _, rest = key.partition(".")
        old[rest if part == "gckt" else f"local.{rest}"] = value
    assert {"critic.student_moments.running_mean", "contrast.teacher_nce.is_set", "local.student_map.weight"} <= set(
        old
    )
    fresh = _loss(num_samples=N, anchor=1.0, anchor_end=0.0, anneal_steps=3, lckt_standardize=True)
    fresh.load_state_dict(copy.deepcopy(old))
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in criterion.state_dict().items())


@pytest.mark.parametrize("name", REMOVED)
def test_options_that_were_removed_say_what_holds_instead(name):
    with pytest.raises(UsageError, match=f"option '{name}' of WCoRDLoss was removed: .*; leave it out"):
        _loss(**{name: "x"})
    _loss(**{name: REMOVED[name][0]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gckt_weight": 0, "lckt_weight": 0}, "must not both be 0"),
        ({"gckt_weight": -1.0}, "gckt_weight must be a finite number of at least 0, received -1.0"),
        ({"epsilom": 1.0}, "unknown option of WCoRDLoss 'epsilom': did you mean 'epsilon'"),
        ({"num_samples": 0}, "num_samples must be a whole number of at least 1, received 0"),
    ],
)
def test_options_are_checked_when_built(options, message):
    with pytest.raises(UsageError, match=message):
        _loss(**options)
