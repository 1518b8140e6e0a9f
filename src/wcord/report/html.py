"""One self-contained page about one run, or about several compared."""

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from wcord.checks import UsageError
from wcord.files import write_atomically
from wcord.marks import generator, is_page_of
from wcord.overwriting import Output, require_writable, write_output
from wcord.paths import require_folder
from wcord.report import canvas, tables
from wcord.report.analysis import Analysis
from wcord.report.figures import Series
from wcord.report.headline import Side, baseline_side, certainty, headline, main_side
from wcord.report.pictures import thumbnail
from wcord.report.record import Record
from wcord.report.schema import require_sound_analysis
from wcord.report.sections import Shown, sections
from wcord.training.run import ANALYSIS, CONFIG, RECORD, REPORT

PAGE = Output("a page of wcord report", (".html", ".htm"), is_page_of("report"))


@dataclass(frozen=True)
class Run:
    """The contents of a run folder that a report needs."""

    folder: Path
    record: Record
    analysis: Analysis | None
    config: str


def load_run(folder: str | Path) -> Run:
    """Read a finished run.

    Raises:
        UsageError: if the folder is missing or contains no finished run; the message names the missing file.
    """
    path = require_folder(folder, "run folder")
    if not (path / RECORD).is_file():
        if (path / CONFIG).is_file():
            raise UsageError(f"run {str(path)!r} is not finished: it has no {RECORD} yet; resume it first")
        raise UsageError(f"{str(path)!r} is not a run: it has no {RECORD} (and no {CONFIG}); name the run's folder")
    record = Record.from_json(path / RECORD)
    return Run(folder=path, record=record, analysis=_analysis(path / ANALYSIS, record), config=_config(path, record))


def _analysis(path: Path, record: Record) -> Analysis | None:
    """Return the analysis of a run, if it has one.

    Raises:
        UsageError: if it is damaged or does not fit the record.
    """
    if not path.is_file():
        return None
    analysis = Analysis.load(path)
    try:
        require_sound_analysis(analysis, record.num_classes)
    except UsageError as error:
        raise UsageError(
            f"analysis {str(path)!r} is damaged or of another run: {error}; delete the file for a report without it"
        ) from None
    return analysis


def _config(folder: Path, record: Record) -> str:
    """Return the settings of a run as text, from its file, else from its record."""
    path = folder / CONFIG
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else tomli_w.dumps(_without_none(record.config))
    except UnicodeDecodeError:
        raise UsageError(
            f"settings {str(path)!r} are not UTF-8: the file is damaged; delete it, and the report uses the settings "
            "in the record"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"record {str(folder / RECORD)!r} is damaged: its config is not a table of settings ({error})"
        ) from None


def write_report(run_dirs: Sequence[str | Path], out: str | Path) -> Path:
    """Write one HTML file about runs, which loads nothing from the network or other files, and return its path.

    Runs that differ only in the seed are one configuration, shown as mean ± standard deviation.

    Args:
        run_dirs: folders of finished runs, at least one.
        out: the file to write, complete or untouched at any moment; an existing file is replaced only if it is such a
            page.

    Raises:
        UsageError: if a folder is not a finished run or is named twice, or `out` cannot be written.
        RunError: if the file cannot be written.
    """
    if not run_dirs:
        raise UsageError("a report needs at least one run folder: name the folders of the runs to show")
    resolved = [Path(folder).resolve() for folder in run_dirs]
    if len(set(resolved)) < len(resolved):
        raise UsageError("a run folder is named twice: name each run once")
    target = Path(out)
    require_writable(target, PAGE)
    write_output(target, _page(run_dirs), PAGE)
    return target


def write_run_report(run: Path) -> Path:
    """Write the page of a finished run into its folder, and return its path."""
    write_atomically(run / REPORT, _page([run]))
    return run / REPORT


def _page(run_dirs: Sequence[str | Path]) -> bytes:
    return render([load_run(folder) for folder in run_dirs]).encode(errors="replace")


def render(runs: Sequence[Run]) -> str:
    """Return the page about runs."""
    shown = _arrange(runs)
    subject = shown.subject
    baseline = None if shown.baseline is None else shown.sides[shown.baseline]
    teacher = tables.teacher_row(subject.record)
    headings = tables.headings([*shown.teachers, *(side.row for side in shown.sides)])
    template = importlib.resources.files("wcord.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        generator=Markup(generator("report")),
        title=_title(shown),
        headline=headline(subject, baseline, teacher).replace(" %", "\u00a0%"),  # no line starts with a %
        certainty=certainty(subject, baseline),
        headings=headings,
        text_columns=tables.TEXT_COLUMNS,
        rows=_table(shown, headings),
        sections=sections(shown),
        gallery=_gallery(subject),
        subject=subject,
        runs=runs,
        without_analysis=[run.record.name for run in runs if run.analysis is None],
        svg=Markup,  # drawings come from matplotlib; all other text is escaped
    )


def _arrange(runs: Sequence[Run]) -> Shown:
    """Group the runs by configuration and choose the subject and its baseline."""
    records = [run.record for run in runs]
    groups = tables.group(records)
    rows = [tables.group_row([records[i] for i in positions]) for positions in groups]
    sides = [
        Side(row, records[positions[0]], runs[positions[0]].analysis)
        for row, positions in zip(rows, groups, strict=True)
    ]
    main = main_side(sides)
    return Shown(
        sides=sides,
        series=[
            Series(row.run, number, tuple(records[i] for i in positions))
            for number, (row, positions) in enumerate(zip(rows, groups, strict=True))
        ],
        teachers=[row for row in tables.rows(records) if row.is_teacher],
        main=main,
        baseline=baseline_side(sides, main),
        seeds=[[a for i in positions if (a := runs[i].analysis) is not None] for positions in groups],
    )


def _title(shown: Shown) -> str:
    if len(shown.sides) > 1:
        return f"{len(shown.sides)} configurations on {shown.subject.record.data} compared"
    row = shown.subject.row
    return f"{row.student} by {row.method} on {shown.subject.record.data}"


def _table(shown: Shown, names: Sequence[str]) -> list[dict[str, Any]]:
    teachers = [
        {"cells": tables.cells(row, names), "color": canvas.TEACHER_COLOR, "teacher": True} for row in shown.teachers
    ]
    return teachers + [
        {"cells": tables.cells(side.row, names), "color": canvas.color(number), "teacher": False}
        for number, side in enumerate(shown.sides)
    ]


def _gallery(side: Side) -> list[dict[str, str]]:
    """Return the samples that the student gets wrong: picture, true class, predicted class."""
    analysis, names = side.analysis, side.record.classes
    if analysis is None:
        return []
    return [
        {
            "source": thumbnail(image),
            "truth": names[int(analysis.targets[row])],
            "student": names[int(analysis.student_top1[row])],
        }
        for row, image in zip(analysis.gallery_rows, analysis.gallery, strict=True)
    ]


def _without_none(value: Any) -> Any:
    """Return settings without None, which TOML lacks."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value
