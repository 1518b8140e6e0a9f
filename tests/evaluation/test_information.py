"""Bounds of information: between nothing and log B, below what is known in closed form; and a critic's."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.data.batch import Batch
from wcord.evaluation.accuracy import Predictions
from wcord.evaluation.information import critic_information, information_bound, map_to_teacher
from wcord.features import Features
from wcord.methods.build import build_objective
from wcord.methods.objective import Objective
from wcord.methods.setting import Setting

CLASSES, WIDTH, TEACHER_WIDTH, ROWS = 3, 8, 12, 256


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(x: torch.Tensor) -> torch.Tensor:
    return F.normalize(x, dim=1)


def naive_bound(x: torch.Tensor, y: torch.Tensor, temperature: float) -> float:
    """InfoNCE of one batch, pair by pair."""
    total = 0.0
    for i in range(len(x)):
        scores = [float(x[i] @ y[j]) / temperature for j in range(len(y))]
        total += scores[i] - math.log(sum(math.exp(score) for score in scores))
    return math.log(len(x)) + total / len(x)


def test_information_lies_between_nothing_and_log_of_the_batch() -> None:
    x, noise = normal(512, 16), normal(512, 16, seed=1)
    same, some, none = (information_bound(unit(x), unit(y)) for y in (x, x + noise, noise))
    assert none < 0.2 < some < same <= math.log(256) + 1e-9  # half of the samples
    assert same > 5


def test_the_bound_is_that_of_a_loop_at_one_of_the_temperatures() -> None:
    x, y = unit(normal(120, 4)), unit(normal(120, 4) + 0.3 * normal(120, 4, seed=1))
    loops = [naive_bound(x[60:], y[60:], t) for t in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)]
    assert min(abs(loop - information_bound(x, y)) for loop in loops) < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 0.98), st.integers(1, 3), st.integers(0, 100))
def test_the_bound_stays_below_the_information_of_normal_variables(correlation: float, dim: int, seed: int) -> None:
    x = normal(2048, dim, seed=seed)
    y = correlation * x + (1 - correlation**2) ** 0.5 * normal(2048, dim, seed=seed + 1000)
    assert information_bound(x, y) <= -0.5 * dim * math.log(1 - correlation**2) + 0.1


def test_a_turned_and_stretched_space_is_mapped_back() -> None:
    x = normal(300, 6)
    y = x @ normal(6, 9, seed=1) + 3
    rows = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    mapped, wanted = map_to_teacher(x, y, fitted=rows[:150], measured=rows[150:])
    assert (mapped - wanted).norm() / wanted.norm() < 0.02


def objective(method: str) -> Objective:
    torch.manual_seed(0)
    setting = Setting(WIDTH, TEACHER_WIDTH, CLASSES, CLASSES, num_samples=ROWS)
    sized = {name: {"num_negatives": 64} for name in ("crd", "crd-std", "gckt", "wcord")}
    options = {name: value for name, value in sized.items() if name in method.split("+")}
    return build_objective(method, setting, options=options)


def seen(embeddings: torch.Tensor) -> Predictions:
    return Predictions(
        torch.zeros(len(embeddings), CLASSES), torch.zeros(len(embeddings), dtype=torch.long), embeddings
    )


def views(seed: int, rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Two linear looks at the same samples."""
    hidden = normal(rows, 4, seed=seed).float()
    return hidden @ normal(4, WIDTH, seed=98).float(), hidden @ normal(4, TEACHER_WIDTH, seed=99).float()


@pytest.mark.parametrize("method", ["crd", "crd-std", "gckt", "wcord", "wcord+kd"])
def test_a_trained_critic_finds_more_than_a_new_one_on_other_samples(method: str) -> None:
    torch.manual_seed(0)
    made = objective(method)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    student, teacher = views(0)
    held_out = [seen(embeddings) for embeddings in views(1)]
    before = critic_information(made, held_out[0], held_out[1])
    for step in range(60):
        rows = torch.arange(64) + 64 * (step % 4)
        sides = [Features(torch.zeros(64, CLASSES), side[rows], {}) for side in (student, teacher)]
        batch = Batch(student[rows], teacher[rows], rows % CLASSES, rows)
        optimizer.zero_grad()
        made(sides[0], sides[1], batch).total.backward()
        optimizer.step()
    state = {name: value.clone() for name, value in made.state_dict().items()}
    after = critic_information(made, held_out[0], held_out[1])
    assert before is not None
    assert after is not None
    assert after > max(before + 0.3, 0.7)
    # Another sample's partner tells nothing.
    strangers = seen(held_out[1].embeddings.roll(1, 0))
    wrong = critic_information(made, held_out[0], strangers)
    assert wrong is not None
    assert wrong < 0.3
    assert made.training
    assert all(torch.equal(value, state[name]) for name, value in made.state_dict().items())


def test_no_critic_and_few_samples_have_no_bound() -> None:
    for method in ("kd", "lckt", "ce", "wcord-a"):
        found = critic_information(objective(method), *map(seen, views(1)))
        assert (found is None) == (method != "wcord-a"), method
    assert critic_information(objective("gckt"), *map(seen, views(1, rows=63))) is None
