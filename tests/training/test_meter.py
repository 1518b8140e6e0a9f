"""Means over samples, and the first value that is not finite by name and step."""

import math

import pytest
import torch

from wcord.checks import RunError
from wcord.losses import LossReport
from wcord.training.meter import EpochMeter

CPU = torch.device("cpu")


def report(total: float, kd: float) -> LossReport:
    return LossReport(torch.tensor(total), {"kd": torch.tensor(kd)})


def test_means_weigh_batches_by_their_size() -> None:
    meter = EpochMeter(("kd",), device=CPU)
    meter.add(0, report(1.0, 10.0), torch.tensor(3), 6)
    meter.add(1, report(4.0, 40.0), torch.tensor(0), 2)
    meter.flush()
    means = meter.means()
    assert means == {"loss": (6 * 1 + 2 * 4) / 8, "kd": (60 + 80) / 8, "train_top1": 100 * 3 / 8}
    assert meter.latest["kd"] == 40


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_part_that_went_wrong_is_named_with_its_step(bad: float) -> None:
    meter = EpochMeter(("kd",), device=CPU)
    meter.add(6, report(1.0, 1.0), torch.tensor(0), 1)
    meter.add(7, report(bad, bad), torch.tensor(0), 1)
    with pytest.raises(RunError, match=f"kd became {bad} at step 7"):
        meter.flush()


def test_state_goes_on() -> None:
    meter, other = EpochMeter(("kd",), device=CPU), EpochMeter(("kd",), device=CPU)
    meter.add(0, report(1.0, 2.0), torch.tensor(1), 4)
    meter.flush()
    other.load_state_dict(meter.state_dict())
    for each in (meter, other):
        each.add(1, report(3.0, 5.0), torch.tensor(2), 4)
        each.flush()
    assert meter.means() == other.means()
