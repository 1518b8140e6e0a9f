"""Every pair of every suite, and every method on one pair, resolves its networks and does one step."""

import dataclasses
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from wcord.benchmark.rows import Place, Row, choose
from wcord.benchmark.suite import read_suite, suite_names
from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.features import capture
from wcord.setup.job import Job, Provided, prepare
from wcord.training.distiller import Distiller

SIZES = {"mini": 16, "mini_hard": 16}
TASKS = [name for name in suite_names() if name.startswith(("privileged", "crossmodal", "crossdomain", "classes"))]
"""Suites in which teacher and student see or know different things: they need data of their own form."""


def images(size: int) -> DataSet:
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (12, 3, size, size), np.uint8), np.arange(12) % 4
    return dataclasses.replace(from_arrays(x, y, x[:4], y[:4]), augment="crop-flip")


def two_labels(folder: Path) -> str:
    """Write colour pictures with a fine and a coarse label, as CIFAR-100's, 10 of each fine class."""
    draw = np.random.default_rng(0)
    kinds = datasets.Features(
        img=datasets.Image(), fine_label=datasets.Value("int64"), coarse_label=datasets.Value("int64")
    )
    for split, count in (("train", 40), ("test", 8)):
        pictures = [Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(count)]
        fine = [i % 4 for i in range(count)]
        columns = {"img": pictures, "fine_label": fine, "coarse_label": [label // 2 for label in fine]}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(folder / f"{split}.parquet")
    return f"parquet:{folder}"


def visits(folder: Path) -> str:
    """Write a table with the columns of OASIS-2."""
    lines = ["Subject ID,Group,Visit,MR Delay,Sex,Age,EDUC,SES,MMSE,eTIV,nWBV,ASF"]
    for subject in range(30):
        group = ("Nondemented", "Demented", "Converted")[subject % 3]
        lines += [f"S{subject},{group},{v},{200 * v},{'MF'[v % 2]},{70 + v},12,,29,1500,0.7,1.1" for v in (1, 2, 3)]
    (folder / "visits.csv").write_text("\n".join(lines))
    return f"table:{folder / 'visits.csv'}"


def digits(folder: Path, size: int) -> str:
    draw = np.random.default_rng(size)
    np.savez(
        folder / f"{size}.npz", x_train=draw.integers(0, 256, (600, size, size), np.uint8), y_train=np.arange(600) % 10
    )
    return f"npz:{folder / f'{size}.npz'}"


def task_place(name: str, folder: Path) -> Place:
    """Return small data of the form that a suite asks for."""
    out = folder / "out"
    if name == "privileged_columns":
        return Place(out=out, device="cpu")
    if name == "privileged_visits":
        return Place(out=out, data=visits(folder), device="cpu")
    if "digits" in name:
        return Place(out=out, data=digits(folder, 16), teacher_data=digits(folder, 28), device="cpu")
    return Place(out=out, data=two_labels(folder), device="cpu", override={"subset": 8})


def ready(row: Row, place: Place, data: DataSet | None) -> Job:
    config = dataclasses.replace(row.config(place, None), allow_weak_teacher=True)
    return prepare(config, Provided(data=data, opened=True), lambda line: None)


def step(job: Job) -> None:
    objective = job.objective
    assert job.teacher is not None
    with (
        capture(job.student, maps=objective.student_map_names, cut=objective.cuts) as student,
        capture(job.teacher, maps=objective.teacher_map_names) as teacher,
    ):
        batch = next(iter(job.train.batches()))
        assert len(batch) == min(job.train.batch_size, len(job.data.train)) * job.train.copies
        with torch.no_grad():
            seen = teacher(batch.teacher_input)
        trained = Distiller(job.student, objective, student).train()
        optimizer = torch.optim.SGD([*job.student.parameters(), *objective.parameters()], lr=1e-6)
        report, _ = trained(batch, seen)
        report.total.backward()
        optimizer.step()
    assert report.total.isfinite()
    assert all(parameter.isfinite().all() for parameter in job.student.parameters())


def step_on_images(row: Row, size: int) -> None:
    step(ready(row, Place(out=Path("none"), data="npz:none", device="cpu"), images(size)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_every_row_of_a_task_does_one_step(name: str, tmp_path: Path) -> None:
    place = task_place(name, tmp_path)
    suite = read_suite(name)
    for row in choose(suite, seeds=[suite.seeds[0]]):
        step(ready(row, place, None))
        row.teacher.config(place)


def pairs_by_suite() -> dict[str, list[str]]:
    """Return the pairs of each suite, each once for a size of pictures, in the first suite that has it."""
    first: dict[tuple[int, str], str] = {}
    for name in suite_names():
        if name not in TASKS:
            for pair in read_suite(name).pairs:
                first.setdefault((SIZES.get(name, 32), pair.flag), name)
    return {name: [flag for (_, flag), at in first.items() if at == name] for name in first.values()}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pairs"), pairs_by_suite().items(), ids=pairs_by_suite())
def test_every_pair_does_one_step(name: str, pairs: list[str]) -> None:
    for row in choose(read_suite(name), methods=["kd"], pairs=pairs, seeds=[0]):
        step_on_images(row, SIZES.get(name, 32))


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
            step_on_images(row, SIZES.get(name, 32))
        except UsageError as error:
            refused.append(f"{row.name}: {error}")
    # Methods that need equal channels, or a Swin teacher, do not apply to this pair.
    assert all("channels" in reason or "Swin" in reason for reason in refused), refused


@pytest.mark.slow
def test_every_row_of_imagenet_does_one_step() -> None:
    suite = read_suite("imagenet")
    small = {"image_size": 64, "batch_size": 4}
    for row in choose(suite, pairs=[suite.pairs[1].flag]):
        step(ready(row, Place(out=Path("none"), data="npz:none", device="cpu", override=small), images(64)))
