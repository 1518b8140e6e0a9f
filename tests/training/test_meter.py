"""Means over samples, and the first value that is not finite by name and step."""

import math

import pytest
import torch

from wcord.checks import RunError
from torch import Tensor

from wcord.losses import LossReport
from wcord.training.meter import EpochMeter, measured

CPU = torch.device("cpu")


def row(total: float, kd: float, correct: int, samples: int) -> Tensor:
    return measured(LossReport(torch.tensor(total), {"kd": torch.tensor(kd)}), torch.tensor(correct), samples)


def test_means_weigh_batches_by_their_size() -> None:
    meter = EpochMeter(("kd",), device=CPU)
    meter.add(0, row(1.0, 10.0, 3, 6), 6)
    meter.add(1, row(4.0, 40.0, 0, 2), 2)
    meter.flush()
    means = meter.means()
    assert means == {"loss": (6 * 1 + 2 * 4) / 8, "kd": (60 + 80) / 8, "train_top1": 100 * 3 / 8}
    assert meter.latest["kd"] == 40


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_part_that_went_wrong_is_named_with_its_step(bad: float) -> None:
    meter = EpochMeter(("kd",), device=CPU)
    meter.add(6, row(1.0, 1.0, 0, 1), 1)
    meter.add(7, row(bad, bad, 0, 1), 1)
    with pytest.raises(RunError, match=f"kd became {bad} at step 7"):
        meter.flush()


def test_state_goes_on() -> None:
    meter, other = EpochMeter(("kd",), device=CPU), EpochMeter(("kd",), device=CPU)
    meter.add(0, row(1.0, 2.0, 1, 4), 4)
    meter.flush()
    other.load_state_dict(meter.state_dict())
    for each in (meter, other):
        each.add(1, row(3.0, 5.0, 2, 4), 4)
        each.flush()
    assert meter.means() == other.means()
