"""`wcord report` and `wcord export`: what is made of finished runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from wcord.bounds import File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, print_path, print_records
from wcord.cli.parsing import parse_checked


@dataclass(frozen=True)
class Report:
    """Compare runs on one self-contained HTML page."""

    runs: tyro.conf.Positional[tuple[File, ...]]
    """Folders of runs."""
    out: File = Path("report.html")
    """The page to write; an existing file is replaced only if it is such a page."""


@dataclass(frozen=True)
class Export:
    """Write a run's student for other programs, checked against PyTorch on real batches."""

    run: tyro.conf.Positional[File]
    """Folder of the run."""
    format: Literal["onnx", "torch"] = "onnx"
    """onnx: ONNX; torch: a torch.export program."""
    out: File | None = None
    """File to write; default: student.onnx or student.pt2 in the run's folder. An existing file is replaced only if it
    is such an export."""
    data: Name | None = None
    """Data for the check, where that of the run has moved."""
    model: Name | None = None
    """The student's architecture, where that is code of your own."""


def report(arguments: list[str]) -> int:
    """Write the page and print its table."""
    asked = parse_checked(Report, "report", arguments)
    if not asked.runs:
        raise UsageError("nothing to report on: name the folders of runs")
    from wcord.report.html import write_report
    from wcord.report.record import Record

    written = write_report(asked.runs, asked.out)
    print_records([Record.from_json(run / "record.json") for run in asked.runs])
    print_path("report", written)
    return 0


def export(arguments: list[str]) -> int:
    """Write the student and say how closely it was found to agree."""
    asked = parse_checked(Export, "export", arguments)
    from wcord.export import export

    written = export(asked.run, asked.format, out=asked.out, data=asked.data, model=asked.model)
    OUT.print(
        f"{written.path}  agrees with PyTorch on {written.samples} images of {written.data}: "
        f"largest difference of a logit {written.difference:.1e}",
        soft_wrap=True,
    )
    return 0
