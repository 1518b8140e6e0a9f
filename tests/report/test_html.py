"""One page without any request, for one run and for several, with what is there and nothing else."""

import re
from pathlib import Path

import pytest
import torch

from wcord.checks import UsageError
from wcord.evaluation.accuracy import Predictions
from wcord.report.analysis import Analysis, analyze
from wcord.report.html import write_report
from wcord.report.record import Record


def make_run(folder: Path, method: str, *, teacher: bool = True, analysed: bool = True, classes: int = 4) -> Path:
    generator = torch.Generator().manual_seed(len(method))
    targets = torch.arange(240) % classes
    sure = 3.0 * torch.nn.functional.one_hot(targets, classes)

    def predicted(noise: float) -> Predictions:
        logits = sure + noise * torch.randn(240, classes, generator=generator)
        return Predictions(logits, targets, torch.randn(240, 8, generator=generator) + targets[:, None])

    folder.mkdir()
    student, master = predicted(2.0), predicted(0.5) if teacher else None
    if analysed:
        images = torch.randint(0, 256, (240, 3, 8, 8), dtype=torch.uint8, generator=generator)
        analyze(student, master, lambda rows: images[rows]).save(folder / "analysis.npz")
    epochs = [
        {"epoch": e, "lr": 0.1, "loss": 3 / e, "parts": {"ce": 1 / e}, "test_top1": 60.0 + e, "seconds": 1.0}
        for e in range(1, 5)
    ]
    cost = {"parameters": 1000, "macs": 5000, "latency_ms": 0.3, "size_bytes": 4000}
    Record(
        name=folder.name,
        kind="distill" if teacher else "train",
        method=method,
        student="small<net>",
        teacher="big" if teacher else None,
        data="made up",
        seed=0,
        config={"method": method},
        num_classes=classes,
        classes=[f"class {i}" for i in range(classes)],
        epochs=epochs,
        metrics={"top1_last": 64.0, "top1_best": 64.0, "ece": 0.1},
        teacher_metrics={"top1": 90.0, "ece": 0.1} if teacher else None,
        cost={"student": cost, "teacher": cost if teacher else None},
        environment={"torch": "2"},
        wall_seconds=4.0,
    ).to_json(folder / "record.json")
    return folder


def check(page: str) -> None:
    assert page.lstrip().lower().startswith("<!doctype html>")
    # Self-contained: no address is loaded (namespaces of SVG are names, not requests).
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|\#)""", page)
    assert "@media print" in page
    assert "small<net>" not in page
    assert "small&lt;net&gt;" in page


def test_several_runs_are_compared(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / method, method) for method in ("ce", "kd")]
    page = write_report(runs, tmp_path / "out.html").read_text()
    check(page)
    assert page.count("<svg") >= 3
    assert "64.00" in page


def test_hundred_classes_and_runs_without_teacher_or_analysis(tmp_path: Path) -> None:
    check(write_report([make_run(tmp_path / "many", "kd", classes=100)], tmp_path / "a.html").read_text())
    check(write_report([make_run(tmp_path / "alone", "ce", teacher=False)], tmp_path / "b.html").read_text())
    check(write_report([make_run(tmp_path / "bare", "kd", analysed=False)], tmp_path / "c.html").read_text())


def test_folders_that_are_no_runs_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        write_report([tmp_path / "none"], tmp_path / "x.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is not a run: it has no record\.json"):
        write_report([tmp_path / "empty"], tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_analysis_comes_back_and_damage_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "kd")
    found = Analysis.load(folder / "analysis.npz")
    assert found.plan is not None
    assert found.plan.sum() == pytest.approx(1, abs=1e-3)
    assert ((found.student_top1 != found.targets)[found.gallery_rows]).all()
    (folder / "analysis.npz").write_bytes((folder / "analysis.npz").read_bytes()[:200])
    with pytest.raises(UsageError, match="cannot be read"):
        Analysis.load(folder / "analysis.npz")
