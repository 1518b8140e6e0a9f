"""Every pair of every suite, and every method on one pair, resolves its networks and does one step."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from wcord.benchmark.rows import Place, Row, choose
from wcord.benchmark.suite_file import read_suite, suite_names
from wcord.checks import UsageError
from wcord.data.sources import from_arrays
from wcord.data.split import DataSet
from wcord.features import capture
from wcord.training.distiller import Distiller
from wcord.training.job import Own, prepare

SIZES = {"mini": 16, "mini_hard": 16}


def images(size: int) -> DataSet:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (12, 3, size, size), np.uint8), np.arange(12) % 4
    return dataclasses.replace(from_arrays(x, y, x[:4], y[:4]), augment="crop-flip")


def step(row: Row, size: int) -> None:
    config = dataclasses.replace(
        row.config(Place(out=Path("none"), data="npz:none", device="cpu"), None), allow_weak_teacher=True
    )
    job = prepare(config, Own(data=images(size)), lambda line: None)
    objective = job.objective
    assert job.teacher is not None
    with (
        capture(job.student, maps=objective.student_map_names) as student,
        capture(job.teacher, maps=objective.teacher_map_names) as teacher,
    ):
        batch = next(iter(job.train.batches()))
        assert len(batch) == 12 * config.data.views
        with torch.no_grad():
            seen = teacher(batch.teacher_input)
        trained = Distiller(job.student, objective, student).train()
        optimizer = torch.optim.SGD([*job.student.parameters(), *objective.parameters()], lr=1e-6)
        report, _ = trained(batch, seen)
        report.total.backward()
        optimizer.step()
    assert report.total.isfinite()
    assert all(parameter.isfinite().all() for parameter in job.student.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in suite_names() if name not in ("strong", "mini_hard")])
def test_every_pair_does_one_step(name: str) -> None:
    # The suites left out share their pairs with another.
    for row in choose(read_suite(name), methods=["kd"], seeds=[0]):
        step(row, SIZES.get(name, 32))


@pytest.mark.parametrize("name", suite_names())
def test_every_row_resolves(name: str) -> None:
    for row in choose(read_suite(name)):
        config = row.config(Place(out=Path("runs"), data="npz:none"), Path("teacher.pth"))
        assert config.out == Path("runs", *row.name.split("/"), f"seed{row.seed}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mini", "strong"])
def test_every_method_does_one_step_or_says_why_not(name: str) -> None:
    suite = read_suite(name)
    refused: list[str] = []
    for row in choose(suite, pairs=[suite.pairs[0].flag], seeds=[0]):
        try:
            step(row, SIZES.get(name, 32))
        except UsageError as error:
            refused.append(f"{row.name}: {error}")
    # Methods that need equal channels do not apply to this pair.
    assert all("channels" in told for told in refused), refused
