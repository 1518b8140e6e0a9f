"""One command for a GPU: its tests, the speed tables, and full-size rows until the minutes are over.

    python benchmarks/gpu.py --data DIR --minutes 14 --out OUT --teachers DIR
    python benchmarks/gpu.py --data DIR --minutes 14 --out OUT --plan

A later call, also on another machine, continues with the rows that have no record yet, committed or in OUT. All results
are in OUT/bring_back.tar.*, in parts below 16 MiB: `cat bring_back.tar.* | tar x`. A speed table that is committed for
the same GPU model and torch version is not measured again, except with --remeasure.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_plan import FULL, QUICK, Run, by_pair, full_size
from gpu_runs import Rows, bundle, make_attempt, run_rows
from gpu_tables import ROOT, SCRIPTS, machine_line, run_script, run_tests, step_tables

from wcord.benchmark.rows import Place, TeacherRun, has_data
from wcord.benchmark.runner import Attempts, Clock
from wcord.benchmark.suite import read_suite
from wcord.checks import RunError, UsageError, require_choice
from wcord.paths import require_place
from wcord.training.engine import resolve_device

PHASES = ("tests", "speed", "rows")
SPEED_SHARE = 0.5
"""Share of the minutes for tests and speed tables."""
CLOSING = 10.0
"""Seconds reserved for loading torch and for the summary."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of CIFAR-100's parquet files, or a source such as npz:FILE")
    parser.add_argument("--minutes", type=float, required=True, help="time limit of the command in minutes")
    parser.add_argument("--out", type=Path, required=True, help="output folder: speed tables, records and runs")
    parser.add_argument("--runs", type=Path, help="folder of the runs (default: OUT/runs)")
    parser.add_argument("--plan", action="store_true", help="only print the order and the expected minutes")
    parser.add_argument("--teachers", nargs="*", default=[], help="folders of trained teachers, or NAME=FILE")
    parser.add_argument("--device", default="cuda", help="cuda (default) | cpu")
    parser.add_argument("--skip", default="", help=f"phases to skip, of {','.join(PHASES)}")
    parser.add_argument(
        "--remeasure", action="store_true", help="also measure speed tables that are committed for this GPU"
    )
    parser.add_argument(
        "--suite", nargs="*", default=[], help="suites (names or TOML files) instead of the default rows"
    )
    parser.add_argument("--workers", type=int, default=1, help="parallel processes (default: 1)")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks" / "records", help="committed records")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of several processes
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> set[str]:
    """Validate the arguments and return the skipped phases.

    Raises:
        UsageError: on an invalid argument.
    """
    if not 0 < args.minutes < float("inf"):
        raise UsageError(f"--minutes must be above 0, received {args.minutes:g}")
    if args.workers < 1:
        raise UsageError(f"--workers must be 1 or more, received {args.workers}")
    skipped = {name.strip() for name in args.skip.split(",") if name.strip()}
    for name in skipped:
        require_choice("phase to skip", name, PHASES)
    if ":" in args.device:  # the speed scripts accept no number
        raise UsageError(f"--device {args.device}: choose the GPU by CUDA_VISIBLE_DEVICES and use cuda")
    require_choice("device", args.device, ("cuda", "cpu"))
    require_place(args.out, "--out", folder=True)
    if args.data is not None and ":" not in args.data:
        if not Path(args.data).is_dir():
            raise UsageError(f"--data {args.data!r} is not a folder: name one with CIFAR-100 as parquet files")
        args.data = f"parquet:{args.data}"
    if not args.plan:
        resolve_device(args.device)
    return skipped


def order(args: argparse.Namespace) -> list[Run]:
    """Return the runs by priority."""
    if args.suite:
        return [run for name in args.suite for run in by_pair(read_suite(name))]
    return [*by_pair(read_suite(QUICK)), *full_size(read_suite(FULL))]


def make_rows(args: argparse.Namespace, attempts: Attempts, runs: list[Run]) -> Rows:
    """Return the runs with their state and speeds."""
    first = runs[0]
    place = attempts.place
    if not has_data(first.suite, place):
        raise UsageError("missing --data: name the folder with CIFAR-100 as parquet files")
    config = first.config(place) if isinstance(first, TeacherRun) else first.config(place, None)
    samples = len(attempts.data(config).train)
    here, others = step_tables(args.out / "speed", tables_of(args), torch.device(args.device))
    return Rows(runs, place, args.out, args.records, args.teachers, samples, here, others)


def tables_of(args: argparse.Namespace) -> Path:
    """Return the folder of the committed speed tables of GPUs."""
    return args.records / "speed" / "gpu"


def print_plan(rows: Rows, seconds_left: float) -> None:
    planned = rows.planned(seconds_left)
    print(f"speeds: {rows.sources()}")
    if missing := rows.missing_teachers():
        print(f"--teachers lacks {', '.join(missing)}: trained before the rows that need it")
    print(f"{seconds_left / 60:.1f} minutes are left for rows; * marks runs that fit and are started")
    for number, one in enumerate(planned, start=1):
        left = "" if one.item.left == 1 else f", the last {100 * one.item.left:.0f} %"
        print(f"{number:4} {'*' if one.starts else ' '} {one.seconds / 60:6.1f} min  {one.item.key}{left}")
    total = sum(one.seconds for one in planned) / 3600
    started = sum(one.starts for one in planned)
    print(f"{len(planned)} open, {started} (*) of them in this time; all take about {total:.1f} h")


def summary(rows: Rows, parts: list[Path]) -> str:
    """Return the last line."""
    planned = rows.planned(0.0)
    done = [key for key in rows.finished() if key not in rows.finished_before]
    failed = {**rows.failures(), **rows.failed}
    clauses = [
        f"done: {len(done)} ({', '.join(done) or 'none'})",
        *([f"failed: {'; '.join(f'{key}: {reason}' for key, reason in failed.items())}"] if failed else []),
        f"left: {len(planned)}, about {sum(one.seconds for one in planned) / 3600:.1f} h",
    ]
    size = sum(part.stat().st_size for part in parts)
    names = f"{parts[0]}" + (f" to {parts[-1].name}" if len(parts) > 1 else "")
    return f"{'; '.join(clauses)}; copy {names} ({size / 2**20:.2f} MiB)"


def start_others(args: argparse.Namespace, argv: list[str], minutes: float) -> list[subprocess.Popen[bytes]]:
    """Start the other worker processes, which claim runs as workers of `wcord benchmark` do."""
    flags = ["--workers", "1", "--skip", "tests,speed", "--minutes", f"{minutes:.2f}", "--worker"]
    command = [sys.executable, str(Path(__file__).resolve()), *argv, *flags]
    return [subprocess.Popen(command) for _ in range(args.workers - 1)]


def prepare(args: argparse.Namespace, skipped: set[str], seconds_left: Callable[[], float]) -> None:
    """Run the tests and write the speed tables within their share of the time."""
    for_rows = (1 - SPEED_SHARE) * seconds_left()
    if "tests" not in skipped:
        run_tests(args.out, seconds_left() - for_rows, say)
        bundle(args.out)
    committed = None if args.remeasure else tables_of(args)
    for script in () if "speed" in skipped else SCRIPTS:
        run_script(script, args.out, resolve_device(args.device), seconds_left() - for_rows, say, committed)
        bundle(args.out)


def work(args: argparse.Namespace, argv: list[str]) -> int:
    skipped = check_args(args)
    clock = Clock(args.minutes)
    place = Place(out=args.runs or args.out / "runs", data=args.data, device=args.device)
    attempts = Attempts(place, clock, say)
    runs = order(args)

    def seconds_left() -> float:
        return 60 * (clock.left or 0.0) - CLOSING

    if args.plan:
        seconds = seconds_left() * (1 if {"tests", "speed"} <= skipped else 1 - SPEED_SHARE)
        print_plan(make_rows(args, attempts, runs), seconds)
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.worker:
        say(machine_line(resolve_device(args.device)))
    make_rows(args, attempts, runs).catch_up()  # reports mistakes before any time is spent
    prepare(args, skipped, seconds_left)
    others = start_others(args, argv, seconds_left() / 60) if args.workers > 1 and "rows" not in skipped else []
    rows = make_rows(args, attempts, runs)  # with the measured speeds
    if "rows" not in skipped:
        run_rows(
            rows, make_attempt(rows, attempts, lambda: None if args.worker else bundle(args.out)), seconds_left, say
        )
    for other in others:
        other.wait()
    if not args.worker:
        say(summary(rows, bundle(args.out)))
    return 0 if attempts.stop is None or attempts.stop.signal is None else 128 + attempts.stop.signal


def say(line: str) -> None:
    print(line, flush=True)


def main(argv: list[str]) -> int:
    try:
        return work(parse_args(argv), argv)
    except UsageError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
