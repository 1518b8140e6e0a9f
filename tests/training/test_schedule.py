"""The learning rate at each step, against the benchmark's table."""

import itertools
import math

from wcord.training.config import TrainingConfig
from wcord.training.schedule import learning_rate_at


def rate(epoch: float, config: TrainingConfig) -> float:
    return learning_rate_at(int(epoch * 100), steps_per_epoch=100, base=0.05, config=config)


def test_step_schedule_is_the_crd_benchmark() -> None:
    config = TrainingConfig(epochs=240)
    # Epochs count from 1 there: the first reduced ones are 151, 181 and 211.
    for number, expected in [(1, 0.05), (150, 0.05), (151, 5e-3), (180, 5e-3), (181, 5e-4), (211, 5e-5), (240, 5e-5)]:
        assert math.isclose(rate(number - 1, config), expected), number


def test_cosine_goes_from_base_to_almost_zero() -> None:
    config = TrainingConfig(epochs=10, schedule="cosine")
    assert math.isclose(rate(0, config), 0.05)
    assert math.isclose(rate(5, config), 0.025)
    assert rate(9.99, config) < 1e-5


def test_warm_up_is_linear_and_reaches_base() -> None:
    config = TrainingConfig(epochs=10, warmup_epochs=2, schedule="constant")
    rates = [learning_rate_at(i, steps_per_epoch=100, base=0.05, config=config) for i in range(201)]
    assert math.isclose(rates[0], 0.05 / 200)
    assert math.isclose(rates[199], 0.05)
    assert all(a <= b for a, b in itertools.pairwise(rates))
