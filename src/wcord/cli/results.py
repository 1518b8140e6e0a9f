"""`wcord report` and `wcord export`: a page and other formats of finished runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wcord.bounds import File, Name
from wcord.checks import UsageError
from wcord.cli.console import OUT, print_path, print_records
from wcord.cli.parsing import parse


@dataclass(frozen=True)
class Report:
    """Compare runs on one self-contained HTML page."""

    runs: tuple[File, ...]
    """Folders of runs."""
    out: File = Path("report.html")
    """The page to write; an existing file is replaced only if it is such a page."""


@dataclass(frozen=True)
class Export:
    """Write a run's student for other programs, and check it against PyTorch on real batches."""

    run: File
    """Folder of the run."""
    format: Literal["onnx", "torch"] = "onnx"
    """onnx: ONNX; torch: a torch.export program."""
    out: File | None = None
    """File to write; default: student.onnx or student.pt2 in the run's folder. An existing file is replaced only if it
    is such an export."""
    data: Name | None = None
    """Data for the check, where the data of the run have moved."""
    model: Name | None = None
    """The student's network, where it is your own code."""


def report(arguments: list[str]) -> int:
    """Write the page and print its table."""
    args = parse(Report, "report", arguments, positional="runs")
    if not args.runs:
        raise UsageError("nothing to report on: name the folders of runs")
    from wcord.report.html import write_report
    from wcord.report.record import Record

    page = write_report(args.runs, args.out)
    print_records([Record.from_json(run / "record.json") for run in args.runs])
    print_path("report", page)
    return 0


def export(arguments: list[str]) -> int:
    """Write the student and print how closely it agrees with PyTorch."""
    args = parse(Export, "export", arguments, positional="run")
    from wcord.export import export

    written = export(args.run, args.format, out=args.out, data=args.data, model=args.model)
    OUT.print(
        f"{written.path}  agrees with PyTorch on {written.samples} images of {written.data}: "
        f"largest difference of a logit {written.difference:.1e}",
        soft_wrap=True,
    )
    return 0
