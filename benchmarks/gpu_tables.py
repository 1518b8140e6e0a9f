"""What `benchmarks/gpu.py` does before its rows: the GPU tests and the speed tables, each within its share of time."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wcord.report.record import processor_name, working_commit

ROOT = Path(__file__).resolve().parents[1]
SPEED = ROOT / "benchmarks" / "speed"
TESTS_SECONDS = 75.0
KILLED = 124
"""Exit code of a program that ran out of its time, as timeout(1) has it."""
MARKED = re.compile(r"pytest\.mark\.gpu\b")


@dataclass(frozen=True)
class Script:
    """A speed table, the most seconds that it may take on a GPU, and what writes it there.

    Attributes:
        name: of the table.
        seconds: within which it must be there.
        arguments: of the script.
        script: its name, where it is another than the table's.
    """

    name: str
    seconds: float
    arguments: tuple[str, ...] = ()
    script: str = ""


SCRIPTS = (
    Script("step", 120.0, ("--repeats", "15")),
    Script("kernels", 60.0),
    Script("several", 120.0),
    Script("methods", 150.0, ("--methods", "all", "--repeats", "3", "--ahead", "8"), "step"),
    Script("nce", 40.0, ("--repeats", "60")),
    Script("transport", 40.0, ("--repeats", "60")),
    Script("data", 60.0),
    Script("cache", 60.0),
)
"""In the order of worth."""
STEPS = ("step", "methods")
"""The tables that tell how long a step takes."""


def machine_line(device: torch.device) -> str:
    """Return the machine and the versions in one line."""
    versions = [
        f"torch {torch.__version__}",
        f"triton {_version('triton')}",
        f"wcord {(working_commit() or 'unknown')[:7]}",
    ]
    cores = f"{os.cpu_count()} cores"
    if device.type != "cuda":
        return ", ".join([processor_name(), cores, *versions])
    driver = _first_line(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]) or "unknown"
    gpu = [torch.cuda.get_device_name(device), f"driver {driver}", f"CUDA {torch.version.cuda}"]
    return ", ".join([*gpu, *versions, processor_name(), cores])


def run_tests(out: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Run the tests that need a GPU, write what they say to tests.txt, and say how they ended."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARKED.search(path.read_text("utf-8"))]
    names = [path.relative_to(ROOT).as_posix() for path in files]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rs", "-p", "no:cacheprovider", *names]
    code, text = _run(command, min(TESTS_SECONDS, seconds))
    (out / "tests.txt").write_text(text, encoding="utf-8")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
    say(f"GPU tests: {'out of time' if code == KILLED else last.strip()}")


def run_scripts(
    out: Path, device: torch.device, seconds_left: Callable[[], float], say: Callable[[str], None],
    scripts: Sequence[Script] = SCRIPTS,
) -> None:  # fmt: skip
    """Write the speed tables that are not there yet, each only if its share of time is left."""
    (out / "speed").mkdir(parents=True, exist_ok=True)
    for script in scripts:
        file, source = out / "speed" / f"{script.name}.json", SPEED / f"{script.script or script.name}.py"
        if file.exists() or not source.exists():
            continue
        if seconds_left() < script.seconds:
            say(f"speed/{script.name}: no time")
            continue
        where = source.relative_to(ROOT).as_posix()
        command = [sys.executable, where, "--device", device.type, *script.arguments, "--out", str(file.resolve())]
        code, text = _run(command, script.seconds)
        if not file.exists():
            last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
            say(f"speed/{script.name}: {'out of time' if code == KILLED else f'failed: {last.strip()}'}")
        else:
            say(f"speed/{script.name}: {file}")


def step_table(folders: Sequence[Path]) -> dict[str, float]:
    """Return method → seconds of its fastest step, from the first of the folders that holds tables of steps."""
    table: dict[str, float] = {}
    for folder in folders:
        for name in STEPS:
            file = folder / f"{name}.json"
            rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []
            for row in rows:
                if row.get("ms"):
                    table[row["method"]] = min(table.get(row["method"], float("inf")), float(row["ms"]) / 1e3)
        if table:
            break
    return table


def _run(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a program in the project's folder for so long at most; return its exit code and what it said."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            text, _ = process.communicate(timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its own session: what it has started ends with it
            text, _ = process.communicate()
            return KILLED, text
    return process.returncode, text


def _first_line(command: Sequence[str]) -> str:
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip().partition("\n")[0]


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
