"""`wcord benchmark`: run a suite, show its status, or write its tables."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wcord.bounds import Device, File, Minutes, Name, OptionalName
from wcord.checks import UsageError
from wcord.cli.console import ERR, OUT, complain, print_path, say
from wcord.cli.parsing import parse
from wcord.paths import require_place

if TYPE_CHECKING:
    from wcord.benchmark.rows import Place, Row
    from wcord.benchmark.runner import Ending
    from wcord.benchmark.suite import Suite
    from wcord.benchmark.teachers import Teachers


@dataclass(frozen=True)
class Benchmark:
    """Run the missing runs of a suite: pairs × methods × seeds. Any number of processes can share one folder."""

    suite: OptionalName = ""
    """Name of a suite, or your own TOML file."""
    data: Name | None = None
    """Data source: parquet:DIR, imagefolder:DIR, torchvision:NAME@DIR, …"""
    teacher_data: Name | None = None
    """The teacher's data source, in suites where it differs from the student's."""
    out: File = Path("runs/benchmark")
    """Folder of the runs; each suite gets a folder in it."""
    pairs: OptionalName = ""
    """Pairs, teacher:student,…; default: all of the suite."""
    methods: OptionalName = ""
    """Methods or variants of the suite, kd,wcord+kd,…; default: the suite's list."""
    seeds: OptionalName = ""
    """Seeds, 0,1,2; default: the suite's."""
    teachers: tuple[Name, ...] = ()
    """Folders of trained teachers (NAME_vanilla/ckpt_epoch_240.pth, NAME.pth, NAME.safetensors or
    NAME/student.safetensors), or NAME=FILE; the other teachers are trained."""
    device: Device = "auto"
    """auto | cpu | cuda | cuda:1 | mps"""
    max_time: Minutes | None = None
    """Minutes after which the command saves its present run and stops; a later call resumes it."""
    override: tuple[Name, ...] = ()
    """Settings that differ from the suite's, such as precision=bf16 compile=true; the tables state them."""
    retry: bool = False
    """Repeat the runs that failed or did not apply."""
    status: bool = False
    """Only show which runs are done, running and left."""
    tables: bool = False
    """Only write the tables of the finished runs, or of those of --methods and --seeds."""
    baseline: Name | None = None
    """Method that the tables compare with; default: the suite's."""
    records: File | None = None
    """Only write the records of the finished runs into this folder, in their form for version control."""
    recipe_of: Name | None = None
    """Only print the settings of a row, SUITE/TEACHER-STUDENT/METHOD, as a recipe for `wcord distill --recipe`; or of
    a teacher, SUITE/teachers/NAME, for `wcord train --recipe`."""


def benchmark(arguments: list[str]) -> int:
    """Run a suite, or do one of the other things that the options name."""
    from wcord.benchmark.rows import Place, choose, find_row, has_data, parse_overrides, recipe
    from wcord.benchmark.suite import read_suite, suite_names

    names = ", ".join(suite_names())
    args = parse(Benchmark, "benchmark", arguments, positional="suite", note=f"Suites: {names}.")
    if not args.suite:
        raise UsageError(f"name a suite: {names}, or a TOML file of your own")
    require_place(args.out, "--out", folder=True)
    if args.records is not None:
        require_place(args.records, "--records", folder=True)
    suite = read_suite(args.suite)
    suite.variant(args.baseline or suite.baseline)
    place = Place(
        out=args.out,
        data=args.data,
        teacher_data=args.teacher_data,
        device=args.device,
        override=parse_overrides(args.override),
    )
    if args.recipe_of is not None:
        OUT.print(recipe(find_row(suite, args.recipe_of), place), soft_wrap=True, end="")
        return 0
    rows = choose(suite, pairs=_list(args.pairs), methods=_list(args.methods), seeds=_numbers(args.seeds))
    if args.records is not None:
        return _write_records(suite, args.out, args.records)
    if args.tables:
        return _write_tables(suite, args)
    if not args.status and not has_data(suite, place):
        raise UsageError(f"missing --data: suite {suite.name} needs a data source, such as parquet:DIR")
    return _show(rows, args) if args.status else _work(rows, place, args, arguments)


def _work(rows: "list[Row]", place: "Place", args: Benchmark, arguments: list[str]) -> int:
    from wcord.benchmark.runner import work
    from wcord.benchmark.tables import require_tables

    teachers = _teachers(rows, args)
    require_tables(args.out / rows[0].suite.name)
    ending = work(rows, teachers, place, max_time=args.max_time, retry=args.retry, say=say)
    _write_tables(rows[0].suite, args)
    _show(rows, args)
    return _exit_code(rows, teachers, ending, args, arguments)


def _exit_code(rows: "list[Row]", teachers: "Teachers", ending: "Ending", args: Benchmark, arguments: list[str]) -> int:
    """Print how to resume the suite, or which run failed, and return the exit code."""
    from wcord.benchmark.status import overview

    if ending.stopped:
        command = shlex.join(["wcord", "benchmark", *arguments])
        ERR.print(f"{ending.reason}: state saved; resume with: {command}")
        return 0 if ending.signal is None else 128 + ending.signal
    states = overview(rows, teachers, args.out)
    failed = [(f"teacher {name}", state) for name, state in states.teachers.items() if state is not None]
    failed += [(f"{row.name}, seed {row.seed}", state) for row, state in states.states]
    failed = [(name, state) for name, state in failed if state.status == "failed"]
    if not failed:
        return 0
    name, state = failed[0]
    return complain(f"{len(failed)} failed; the first: {name}: {state.reason}; --retry repeats them", 1)


def _show(rows: "list[Row]", args: Benchmark) -> int:
    from wcord.benchmark.status import overview, status_table

    OUT.print(status_table(overview(rows, _teachers(rows, args, required=False), args.out)))
    return 0


def _teachers(rows: "list[Row]", args: Benchmark, *, required: bool = True) -> "Teachers":
    from wcord.benchmark.teachers import find_teachers

    teachers = list({row.teacher.key: row.teacher for row in rows}.values())
    return find_teachers(rows[0].suite, teachers, args.teachers, args.out, required=required)


def _write_tables(suite: "Suite", args: Benchmark) -> int:
    from wcord.benchmark.entries import entries_of_runs
    from wcord.benchmark.results import limited, tabulate
    from wcord.benchmark.tables import write_tables

    entries = entries_of_runs(suite, args.out)
    if args.tables:  # after work, the tables show all finished runs, also those of other processes
        suite, entries = limited(suite, entries, methods=_list(args.methods), seeds=_numbers(args.seeds))
    table = tabulate(suite, entries, baseline=args.baseline)
    for path in write_tables(table, args.out / suite.name):
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
