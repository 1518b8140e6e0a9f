"""Train a few small networks and write the report pages of the gallery: python tools/gallery.py FOLDER."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import wcord
from wcord.report import write_report

DIGITS: dict[str, Any] = {"data": "digits", "epochs": 3, "lr": 0.1, "schedule": "cosine", "device": "cpu"}
COLUMNS: dict[str, Any] = {"data": "sklearn:breast_cancer", "epochs": 20, "lr": 0.02, "batch_size": 32, "device": "cpu"}


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        digits(runs, out)
        columns(runs, out)


def digits(runs: Path, out: Path) -> None:
    """Compare labels alone with WCoRD on handwritten digits: one page of two runs, one page of a single run."""
    wcord.train("resnet14", out=runs / "teacher", **DIGITS)
    weights = runs / "teacher" / "student.safetensors"
    students = []
    for method in ("ce", "wcord+kd"):
        students.append(runs / method)
        wcord.distill("resnet14", "resnet8", teacher_weights=weights, method=method, out=students[-1], **DIGITS)
    write_report(students, out / "digits.html")
    write_report(students[1:], out / "one_run.html")


def columns(runs: Path, out: Path) -> None:
    """Distill from 30 columns of a table to 2: the page of privileged information."""
    wcord.train("mlp64x2", out=runs / "all", **COLUMNS)
    students = []
    for method in ("ce", "wcord+kd"):
        students.append(runs / f"two-{method}")
        wcord.distill(
            "mlp64x2",
            "mlp32x1",
            teacher_weights=runs / "all" / "student.safetensors",
            student_input=("mean texture", "mean smoothness"),
            method=method,
            out=students[-1],
            **COLUMNS,
        )
    write_report(students, out / "columns.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
