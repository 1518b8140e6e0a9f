"""`wcord benchmark`: run a suite, look at it, or make its tables."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from wcord.bounds import Device, File, Minutes, Name, OptionalName
from wcord.checks import UsageError, require_place
from wcord.cli.console import ERR, OUT, complain, print_path, say
from wcord.cli.parsing import parse_checked

if TYPE_CHECKING:
    from wcord.benchmark.rows import Place, Row
    from wcord.benchmark.runner import Ending
    from wcord.benchmark.suite import Suite
    from wcord.benchmark.teachers import Teachers


@dataclass(frozen=True)
class Benchmark:
    """Run what has not been run yet of a suite: pairs × methods × seeds, in any number of processes over one folder."""

    suite: tyro.conf.Positional[OptionalName] = ""
    """Name of a suite, or a TOML file of one's own."""
    data: Name | None = None
    """Data source: parquet:DIR, imagefolder:DIR, torchvision:NAME@DIR, …"""
    teacher_data: Name | None = None
    """The teacher's data source, in suites where it sees other data than the student."""
    out: File = Path("runs/benchmark")
    """Folder of the runs; it takes a folder for each suite."""
    pairs: OptionalName = ""
    """Pairs, teacher:student,…; default: all of the suite."""
    methods: OptionalName = ""
    """Methods or variants of the suite, kd,wcord+kd,…; default: the suite's list."""
    seeds: OptionalName = ""
    """Seeds, 0,1,2; default: the suite's."""
    teachers: tuple[Name, ...] = ()
    """Folders that hold trained teachers (NAME_vanilla/ckpt_epoch_240.pth, NAME.pth, NAME.safetensors or
    NAME/student.safetensors), or NAME=FILE; the others are trained."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    max_time: Minutes | None = None
    """Minutes within which the command is back; the run that it is at is saved, and gone on with in a later call."""
    override: tuple[Name, ...] = ()
    """Settings that differ from the suite's: precision=bf16 compile=true; tables say so."""
    retry: bool = False
    """Begin runs anew that failed or did not apply."""
    status: bool = False
    """Only show what is done, running and left."""
    tables: bool = False
    """Only write the tables of what is there, or of those --methods and --seeds."""
    baseline: Name | None = None
    """Row that the tables compare with; default: the suite's."""
    records: File | None = None
    """Only write the records of what is there into this folder, in the form that is kept under version control."""
    recipe_of: Name | None = None
    """Only print a row's settings for `wcord distill --recipe`: SUITE/TEACHER-STUDENT/METHOD, or
    SUITE/teachers/NAME for `wcord train --recipe`."""


def benchmark(arguments: list[str]) -> int:
    """Do what was asked with a suite."""
    from wcord.benchmark.rows import Place, choose, find_row, has_data, parse_overrides, recipe
    from wcord.benchmark.suite import read_suite, suite_names

    names = ", ".join(suite_names())
    asked = parse_checked(Benchmark, "benchmark", arguments, more=f" Suites: {names}.")
    if not asked.suite:
        raise UsageError(f"name a suite: {names}, or a TOML file of your own")
    require_place(asked.out, "--out", folder=True)
    if asked.records is not None:
        require_place(asked.records, "--records", folder=True)
    suite = read_suite(asked.suite)
    suite.variant(asked.baseline or suite.baseline)
    place = Place(
        out=asked.out,
        data=asked.data,
        teacher_data=asked.teacher_data,
        device=asked.device,
        override=parse_overrides(asked.override),
    )
    if asked.recipe_of is not None:
        OUT.print(recipe(find_row(suite, asked.recipe_of), place), soft_wrap=True, end="")
        return 0
    rows = choose(suite, pairs=_list(asked.pairs), methods=_list(asked.methods), seeds=_numbers(asked.seeds))
    if asked.records is not None:
        return _write_records(suite, asked.out, asked.records)
    if asked.tables:
        return _write_tables(suite, asked)
    if not asked.status and not has_data(suite, place):
        raise UsageError(f"missing --data: suite {suite.name} needs a data source, such as parquet:DIR")
    return _show(rows, asked) if asked.status else _work(rows, place, asked, arguments)


def _work(rows: "list[Row]", place: "Place", asked: Benchmark, arguments: list[str]) -> int:
    from wcord.benchmark.runner import work
    from wcord.benchmark.tables import require_tables

    teachers = _teachers(rows, asked)
    require_tables(asked.out / rows[0].suite.name)
    ending = work(rows, teachers, place, max_time=asked.max_time, retry=asked.retry, say=say)
    _write_tables(rows[0].suite, asked)
    _show(rows, asked)
    return _exit_code(rows, teachers, ending, asked, arguments)


def _exit_code(
    rows: "list[Row]", teachers: "Teachers", ending: "Ending", asked: Benchmark, arguments: list[str]
) -> int:
    """Say how to go on, or what failed, and return the code for it."""
    from wcord.benchmark.status import overview

    if ending.stopped:
        command = shlex.join(["wcord", "benchmark", *arguments])
        ERR.print(f"{ending.reason}: state saved; go on with: {command}")
        return 0 if ending.signal is None else 128 + ending.signal
    seen = overview(rows, teachers, asked.out)
    failed = [(f"teacher {name}", state) for name, state in seen.teachers.items() if state is not None]
    failed += [(f"{row.name}, seed {row.seed}", state) for row, state in seen.states]
    failed = [(name, state) for name, state in failed if state.status == "failed"]
    if not failed:
        return 0
    name, state = failed[0]
    return complain(f"{len(failed)} failed; the first: {name}: {state.reason}; --retry begins them anew", 1)


def _show(rows: "list[Row]", asked: Benchmark) -> int:
    from wcord.benchmark.status import overview, status_table

    OUT.print(status_table(overview(rows, _teachers(rows, asked, required=False), asked.out)))
    return 0


def _teachers(rows: "list[Row]", asked: Benchmark, *, required: bool = True) -> "Teachers":
    from wcord.benchmark.teachers import find_teachers

    wanted = list({row.teacher.key: row.teacher for row in rows}.values())
    return find_teachers(rows[0].suite, wanted, asked.teachers, asked.out, required=required)


def _write_tables(suite: "Suite", asked: Benchmark) -> int:
    from wcord.benchmark.entries import entries_of_runs
    from wcord.benchmark.results import limited, tabulate
    from wcord.benchmark.tables import write_tables

    found = entries_of_runs(suite, asked.out)
    if asked.tables:  # after work all that is there is shown, whatever this process was asked to do
        suite, found = limited(suite, found, methods=_list(asked.methods), seeds=_numbers(asked.seeds))
    table = tabulate(suite, found, baseline=asked.baseline)
    for path in write_tables(table, asked.out / suite.name):
        print_path("tables", path)
    return 0


def _write_records(suite: "Suite", out: Path, records: Path) -> int:
    from wcord.benchmark.entries import entries_of_runs, keep

    written = [keep(entry, records) for entry in entries_of_runs(suite, out)]
    OUT.print(f"{len(written)} records of {suite.name} in {records / suite.name}", soft_wrap=True)
    return 0


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    if not all(part.isdecimal() for part in _list(text)):
        raise UsageError(f"--seeds takes whole numbers of 0 or more, such as 0,1,2, received {text!r}")
    return [int(part) for part in _list(text)]
