"""One command for a GPU: its tests, the speed tables, and then full-size rows as long as the minutes last.

    python benchmarks/gpu.py --data DIR --minutes 14 --out OUT --teachers DIR
    python benchmarks/gpu.py --data DIR --minutes 14 --out OUT --plan

A later call, also on another machine, continues with the rows that have no record yet, committed or in OUT. Everything
to bring back is in OUT/bring_back.tar.*, in parts below 16 MiB: `cat bring_back.tar.* | tar x`. A speed table
that is committed for the same model of GPU and version of torch is not measured again, unless --remeasure is given.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_plan import FULL, QUICK, Run, by_pair, full_size
from gpu_runs import Rows, attempt_with, bundle, go_through
from gpu_tables import ROOT, SCRIPTS, machine_line, run_script, run_tests, step_tables

from wcord.benchmark.rows import Place, TeacherRun, has_data
from wcord.benchmark.runner import Attempts, Clock
from wcord.benchmark.suite import read_suite
from wcord.checks import RunError, UsageError, require_choice, require_place
from wcord.training.engine import resolve_device

PHASES = ("tests", "speed", "rows")
SPEED_SHARE = 0.5
"""Of the minutes, what tests and speed tables may take."""
CLOSING = 10.0
"""Seconds for what comes before and after: loading torch, the summary."""


def parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of CIFAR-100's parquet files, or a source such as npz:FILE")
    parser.add_argument("--minutes", type=float, required=True, help="minutes within which the command ends")
    parser.add_argument("--out", type=Path, required=True, help="folder that takes speed tables, records and the runs")
    parser.add_argument("--runs", type=Path, help="folder of the runs themselves (default: OUT/runs)")
    parser.add_argument("--plan", action="store_true", help="only print the order with the minutes expected")
    parser.add_argument("--teachers", nargs="*", default=[], help="folders of trained teachers, or NAME=FILE")
    parser.add_argument("--device", default="cuda", help="cuda (default) | cpu")
    parser.add_argument("--skip", default="", help=f"phases to leave out, of {','.join(PHASES)}")
    parser.add_argument(
        "--remeasure", action="store_true", help="write speed tables that are committed for this GPU too"
    )
    parser.add_argument("--suite", nargs="*", default=[], help="suites (names or TOML files) instead of the usual rows")
    parser.add_argument("--workers", type=int, default=1, help="processes that make runs at once (default: 1)")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks" / "records", help="records that are there")
    parser.add_argument("--helps", action="store_true", help=argparse.SUPPRESS)  # one of several processes
    return parser.parse_args(argv)


def checked(given: argparse.Namespace) -> set[str]:
    """Refuse what cannot be done, and return the phases that are left out."""
    if not 0 < given.minutes < float("inf"):
        raise UsageError(f"--minutes must be above 0, received {given.minutes:g}")
    if given.workers < 1:
        raise UsageError(f"--workers must be 1 or more, received {given.workers}")
    skipped = {name.strip() for name in given.skip.split(",") if name.strip()}
    for name in skipped:
        require_choice("phase to skip", name, PHASES)
    if ":" in given.device:  # the scripts of the speed tables take no number
        raise UsageError(f"--device {given.device}: choose the GPU by CUDA_VISIBLE_DEVICES and give cuda")
    require_choice("device", given.device, ("cuda", "cpu"))
    require_place(given.out, "--out", folder=True)
    if given.data is not None and ":" not in given.data:
        if not Path(given.data).is_dir():
            raise UsageError(f"--data {given.data!r} is no folder: name one that holds CIFAR-100 as parquet files")
        given.data = f"parquet:{given.data}"
    if not given.plan:
        resolve_device(given.device)
    return skipped


def order(given: argparse.Namespace) -> list[Run]:
    """Return the runs in the order of their worth."""
    if given.suite:
        return [run for name in given.suite for run in by_pair(read_suite(name))]
    return [*by_pair(read_suite(QUICK)), *full_size(read_suite(FULL))]


def gathered(given: argparse.Namespace, attempts: Attempts, runs: list[Run]) -> Rows:
    """Return the runs with all that is known of them."""
    first = runs[0]
    place = attempts.place
    if not has_data(first.suite, place):
        raise UsageError("missing --data: name the folder that holds CIFAR-100 as parquet files")
    config = first.config(place) if isinstance(first, TeacherRun) else first.config(place, None)
    samples = len(attempts.data(config).train)
    here, others = step_tables(given.out / "speed", tables_of(given), torch.device(given.device))
    return Rows(runs, place, given.out, given.records, given.teachers, samples, here, others)


def tables_of(given: argparse.Namespace) -> Path:
    """Return the folder of the committed speed tables of GPUs."""
    return given.records / "speed" / "gpu"


def print_plan(rows: Rows, seconds_left: float) -> None:
    planned = rows.planned(seconds_left)
    print(f"speeds: {rows.sources()}")
    if missing := rows.missing_teachers():
        print(f"--teachers gives no {', no '.join(missing)}: trained first, before the rows that need it")
    print(f"{seconds_left / 60:.1f} minutes are left for rows; * marks what can end in them and is started")
    for number, one in enumerate(planned, start=1):
        left = "" if one.item.left == 1 else f", the last {100 * one.item.left:.0f} %"
        print(f"{number:4} {'*' if one.starts else ' '} {one.seconds / 60:6.1f} min  {one.item.key}{left}")
    total = sum(one.seconds for one in planned) / 3600
    started = sum(one.starts for one in planned)
    print(f"{len(planned)} open, {started} (*) of them in this time; all take about {total:.1f} h")


def summary(rows: Rows, parts: list[Path]) -> str:
    """Return the last line."""
    planned = rows.planned(0.0)
    done = [key for key in rows.there() if key not in rows.before]
    failed = {**rows.failures(), **rows.failed}
    told = [
        f"done: {len(done)} ({', '.join(done) or 'none'})",
        *([f"failed: {'; '.join(f'{key}: {reason}' for key, reason in failed.items())}"] if failed else []),
        f"left: {len(planned)}, about {sum(one.seconds for one in planned) / 3600:.1f} h",
    ]
    size = sum(part.stat().st_size for part in parts)
    names = f"{parts[0]}" + (f" to {parts[-1].name}" if len(parts) > 1 else "")
    return f"{'; '.join(told)}; bring back {names} ({size / 2**20:.2f} MiB)"


def start_others(given: argparse.Namespace, argv: list[str], minutes: float) -> list[subprocess.Popen[bytes]]:
    """Start the other processes that make runs; they claim theirs as workers of `wcord benchmark` do."""
    own = ["--workers", "1", "--skip", "tests,speed", "--minutes", f"{minutes:.2f}", "--helps"]
    command = [sys.executable, str(Path(__file__).resolve()), *argv, *own]
    return [subprocess.Popen(command) for _ in range(given.workers - 1)]


def prepare(given: argparse.Namespace, skipped: set[str], seconds_left: Callable[[], float]) -> None:
    """Run the tests and write the speed tables in their share of the time."""
    for_rows = (1 - SPEED_SHARE) * seconds_left()
    if "tests" not in skipped:
        run_tests(given.out, seconds_left() - for_rows, say)
        bundle(given.out)
    committed = None if given.remeasure else tables_of(given)
    for script in () if "speed" in skipped else SCRIPTS:
        run_script(script, given.out, resolve_device(given.device), seconds_left() - for_rows, say, committed)
        bundle(given.out)


def work(given: argparse.Namespace, argv: list[str]) -> int:
    skipped = checked(given)
    clock = Clock(given.minutes)
    place = Place(out=given.runs or given.out / "runs", data=given.data, device=given.device)
    attempts = Attempts(place, clock, say)
    runs = order(given)

    def seconds_left() -> float:
        return 60 * (clock.left or 0.0) - CLOSING

    if given.plan:
        lasts = seconds_left() * (1 if {"tests", "speed"} <= skipped else 1 - SPEED_SHARE)
        print_plan(gathered(given, attempts, runs), lasts)
        return 0
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.helps:
        say(machine_line(resolve_device(given.device)))
    gathered(given, attempts, runs).catch_up()  # a mistake shows before any time is spent
    prepare(given, skipped, seconds_left)
    others = start_others(given, argv, seconds_left() / 60) if given.workers > 1 and "rows" not in skipped else []
    rows = gathered(given, attempts, runs)  # with the speed just measured
    if "rows" not in skipped:
        go_through(
            rows, attempt_with(rows, attempts, lambda: None if given.helps else bundle(given.out)), seconds_left, say
        )
    for other in others:
        other.wait()
    if not given.helps:
        say(summary(rows, bundle(given.out)))
    return 0 if attempts.stop is None or attempts.stop.signal is None else 128 + attempts.stop.signal


def say(line: str) -> None:
    print(line, flush=True)


def main(argv: list[str]) -> int:
    try:
        return work(parsed(argv), argv)
    except UsageError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
