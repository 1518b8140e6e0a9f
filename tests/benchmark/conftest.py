"""A suite that takes seconds, and records that were never run."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from wcord.benchmark.entries import Entry
from wcord.benchmark.rows import Place, Row, TeacherRun
from wcord.benchmark.suite import Pair, Suite, read_suite
from wcord.report.record import Record
from wcord.training.config import to_settings

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = """
title = "Tiny"
protocol = "Twelve digits a class, one epoch."
pairs = [["resnet14", "resnet8"]]
methods = ["ce", "kd"]
seeds = [0, 1]
baseline = "ce"

[data]
data = "digits"
subset = 12.0

[training]
epochs = 1

[distill]
allow_weak_teacher = true

[teacher]
epochs = 2

[variants.warm]
method = "kd"
set = ["kd.temperature=2"]
"""
STEP = """
import json, sys
rows = [{"method": "kd", "form": "eager", "ms": 20.0}, {"method": "kd", "form": "captured", "ms": 2.0},
        {"method": "crd", "form": "captured", "ms": None}]
open(sys.argv[sys.argv.index("--out") + 1], "w").write(json.dumps({"rows": rows}))
"""


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Return what imports a script of benchmarks/ or benchmarks/speed/ by its name, as it would be started."""

    def load(name: str) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(BENCHMARKS))
            patch.syspath_prepend(str(BENCHMARKS / "speed"))
            return importlib.import_module(name)

    return load


@pytest.fixture
def tables(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of tests and speed tables over a project with one GPU test and one script."""
    module = script("gpu_tables")
    (tmp_path / "tests").mkdir()
    (tmp_path / "speed").mkdir()
    marked = "import pytest\n@pytest.mark.gpu\ndef test_it():\n    pytest.skip('needs a CUDA device')\n"
    (tmp_path / "tests" / "test_one.py").write_text(marked)
    (tmp_path / "tests" / "test_other.py").write_text("raise SystemExit\n")
    (tmp_path / "speed" / "step.py").write_text(STEP)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "SPEED", tmp_path / "speed")
    return module


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny(tiny_file: Path) -> Suite:
    return read_suite(str(tiny_file))


@pytest.fixture
def made_up() -> Callable[..., Record]:
    """Return what makes the record of a row that reached a number."""

    def make(row: Row | TeacherRun, top1: float, *, override: dict[str, object] | None = None) -> Record:
        place = Place(out=Path("runs"), override=override or {})
        config = row.config(place) if isinstance(row, TeacherRun) else row.config(place, Path("far/teachers/t.pth"))
        return Record(
            name=f"seed{row.seed}",
            kind="train" if isinstance(row, TeacherRun) else "distill",
            method="ce" if isinstance(row, TeacherRun) else row.suite.variant(row.label).method,
            student="ce" if isinstance(row, TeacherRun) else row.pair.student,
            teacher=None if isinstance(row, TeacherRun) else row.pair.teacher,
            data="made up",
            seed=row.seed,
            config=to_settings(config),
            num_classes=2,
            classes=["a", "b"],
            epochs=[{"epoch": 1, "test_top1": top1 - 1, "loss": 1.0}, {"epoch": 2, "test_top1": top1, "loss": 0.5}],
            metrics={"top1_last": top1, "top1_best": top1 + 0.25, "top5": 99.0, "ece": 0.1, "agreement": 80.0},
            teacher_metrics=None if isinstance(row, TeacherRun) else {"top1": 75.123},
            cost={"student": None, "teacher": None},
            environment={"hardware": "abacus", "device": "cpu", "threads": 1, "torch": "2.x"},
            commit="0123456789abcdef",
            wall_seconds=90.0,
        )

    return make


@pytest.fixture
def entry(made_up: Callable[..., Record]) -> Callable[..., Entry]:
    """Return what makes the entry of a row by its place in a suite."""

    def make(suite: Suite, label: str, seed: int, top1: float, *, pair: Pair | None = None, **more: object) -> Entry:
        row = Row(suite, pair or suite.pairs[0], label, seed)
        return Entry(row, "done", "", made_up(row, top1, **more))

    return make
