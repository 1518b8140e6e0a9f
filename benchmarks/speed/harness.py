"""Shared by the speed benchmarks: interleaved timing, peak memory, and tables with JSON files."""

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any, cast

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before any profiling; its notices would hide the table

import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from wcord.report.record import processor_name
from wcord.training.engine import resolve_device

Row = Mapping[str, object]
CPU = torch.device("cpu")


def options(
    description: str | None,
    *,
    repeats: int,
    argv: list[str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> argparse.Namespace:
    """Return a script's `out`, `repeats`, `device` and the arguments of `more`; a CPU computes in one thread."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument(
        "--repeats", type=int, default=repeats, help=f"timed rounds, of which the fastest counts (default: {repeats})"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    more(parser)
    torch.set_num_threads(1)
    args = parser.parse_args(argv)
    args.device = resolve_device(args.device)
    return args


def interleaved(
    cases: Mapping[str, Callable[[], object]], *, repeats: int, warmup: int = 1, device: torch.device = CPU
) -> dict[str, float]:
    """Return the least seconds of each case; the cases run in turn.

    Taking turns spreads a varying load of the machine over all cases; the minimum is the least disturbed run.

    Args:
        cases: name → a callable without arguments; its whole duration is measured.
        repeats: timed rounds; in each round every case runs once.
        warmup: untimed rounds before these.
        device: the device; a GPU is synchronized.
    """
    done = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    least = dict.fromkeys(cases, float("inf"))
    gc.freeze()  # speeds up the collections below
    for turn in range(warmup + repeats):
        for name, case in cases.items():
            gc.collect()
            done()
            start = perf_counter()
            case()
            done()
            seconds = perf_counter() - start
            if turn >= warmup:
                least[name] = min(least[name], seconds)
    return least


def peak_bytes(case: Callable[[], object], device: torch.device = CPU) -> int:
    """Return the peak bytes of tensors on the device that were allocated during `case()`.

    Buffers inside an operation count too; tensors that exist before the call do not. On a CPU the profiler's
    allocation events are counted. The case runs once beforehand, to exclude lazy initialization.
    """
    case()
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        case()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        case()
    results = profiler.profiler.kineto_results if profiler.profiler is not None else None
    recorded = [] if results is None else cast("list[Any]", results.events())  # the stubs lack nbytes
    events = [event for event in recorded if event.name() == "[memory]"]
    if not events:
        raise RuntimeError("the profiler recorded no allocation: this version of torch reports memory differently")
    events.sort(key=lambda event: event.start_ns())
    return max(0, *accumulate(event.nbytes() for event in events))


def place(device: torch.device) -> str:
    """Return the device as text for a title."""
    return "one thread" if device.type == "cpu" else f"one {torch.cuda.get_device_name(device)}"


def report(title: str, rows: Sequence[Row], out: Path | None) -> None:
    """Print the rows as a table and, with `out`, write them with the machine and the versions as JSON.

    Args:
        title: heading of the table.
        rows: column name → value; all rows have the same columns, numbers are shown with four digits.
        out: JSON file to write, or None.
    """
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if out is not None:
        content = {
            "title": title,
            "command": _command(sys.argv, out),
            **_machine(),
            "rows": [dict(row) for row in rows],
        }
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _command(argv: Sequence[str], out: Path) -> str:
    """Return the command that writes such a table where tables are kept, whatever folders it was written through."""
    script = Path(argv[0])
    args = list(argv[1:])
    if "--out" in args:
        at = args.index("--out")
        del args[at : at + 2]
    folder = "benchmarks/records/speed" + ("/gpu" if "cuda" in args else "")
    return " ".join(["python", f"benchmarks/speed/{script.name}", *args, "--out", f"{folder}/{out.name}"])


def _machine() -> dict[str, object]:
    return {
        "cpu": processor_name(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("torch", "torchvision", "pot", "geomloss")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
