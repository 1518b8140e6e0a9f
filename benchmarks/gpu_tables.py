"""The GPU tests and speed tables of `benchmarks/gpu.py`, each within its time limit."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from wcord.report.record import processor_name, working_commit

ROOT = Path(__file__).resolve().parents[1]
SPEED = ROOT / "benchmarks" / "speed"
TESTS_SECONDS = 75.0
KILLED = 124
"""Exit code of a program that timed out, as of timeout(1)."""
MARKED = re.compile(r"pytest\.mark\.gpu\b")
CAPTURED_TESTS = "test_captured_gpu.py"
OUTCOME = re.compile(r"^\S+::.*? (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*\[ *\d+%\]$", re.MULTILINE)
"""A line of pytest about a finished test."""


@dataclass(frozen=True)
class Script:
    """A speed table, its time limit on a GPU, and its script.

    Attributes:
        name: name of the table.
        seconds: its time limit.
        arguments: arguments of the script.
        script: name of the script, if different.
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
"""The speed tables by priority."""
STEPS = ("step", "methods")
"""The tables of step times."""


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
    """Run the tests that need a GPU, write their output to tests.txt, and report the result."""
    command = [
        sys.executable, "-m", "pytest", "-m", "gpu", "-vv", "-rs", "-p", "no:cacheprovider",
        *(path.relative_to(ROOT).as_posix() for path in gpu_tests()),
    ]  # fmt: skip
    code, text = _run(command, min(TESTS_SECONDS, seconds))
    (out / "tests.txt").write_text(text, encoding="utf-8")
    cut = "out of time" if code == KILLED else f"ended by signal {-code}" if code < 0 else ""
    say(f"GPU tests: {f'{outcomes(text)}, {cut}' if cut else _last_line(text).strip('= ')}")


def gpu_tests() -> list[Path]:
    """Return the test files that need a GPU; the one that compares captured with eager steps comes first."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARKED.search(path.read_text("utf-8"))]

    def priority(path: Path) -> int:
        if path.name == CAPTURED_TESTS:
            return 0
        return 1 if path.parent == ROOT / "tests" and path.name.startswith("test_gpu") else 2

    return sorted(files, key=priority)


def outcomes(text: str) -> str:
    """Return the numbers of passed and failed tests in an output of pytest."""
    counts = Counter(OUTCOME.findall(text))
    return f"{counts['PASSED']} passed, {counts['FAILED'] + counts['ERROR']} failed"


def run_script(
    script: Script, out: Path, device: torch.device, seconds_left: float, say: Callable[[str], None],
    committed: Path | None = None,
) -> None:  # fmt: skip
    """Write a speed table if it is missing and enough time is left.

    Args:
        script: the table.
        out: output folder; the table is in its speed/.
        device: the device.
        seconds_left: seconds left for tables.
        say: takes the line that reports the result.
        committed: folder of committed tables; one of this GPU model and torch version is not measured again.
    """
    file, source = out / "speed" / f"{script.name}.json", SPEED / f"{script.script or script.name}.py"
    if file.exists() or not source.exists():
        return
    known = None if committed is None else committed / file.name
    if known is not None and is_current(known, device):
        say(f"speed/{script.name}: {shown(known)} is of this GPU and torch, not measured again (--remeasure does)")
        return
    if seconds_left < script.seconds:
        say(f"speed/{script.name}: no time")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    where = source.relative_to(ROOT).as_posix()
    command = [sys.executable, where, "--device", device.type, *script.arguments, "--out", str(file.resolve())]
    code, text = _run(command, script.seconds)
    if file.exists():
        say(f"speed/{script.name}: {file}")
    else:
        say(f"speed/{script.name}: {'out of time' if code == KILLED else f'failed: {_last_line(text).strip()}'}")


def is_current(file: Path, device: torch.device) -> bool:
    """Return whether a table is of this GPU model and torch version, with captured steps if it has steps."""
    gpu = gpu_name(device)
    if gpu is None or not file.is_file():
        return False
    table = json.loads(file.read_text(encoding="utf-8"))
    is_same = (table.get("gpu"), table.get("versions", {}).get("torch")) == (gpu, _version("torch"))
    return is_same and (file.stem not in STEPS or _has_captured(table["rows"]))


def gpu_name(device: torch.device) -> str | None:
    """Return the GPU model, or None without a GPU."""
    is_gpu = device.type == "cuda" and torch.cuda.is_available()
    return torch.cuda.get_device_name(device) if is_gpu else None


@dataclass(frozen=True)
class StepTable:
    """Step times.

    Attributes:
        steps: method → seconds of its fastest form.
        source: the files, in words; empty without files.
    """

    steps: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


def step_table(files: Iterable[Path]) -> StepTable:
    """Return the step times in the files that exist."""
    steps: dict[str, float] = {}
    sources: list[str] = []
    for file in files:
        if not file.is_file():
            continue
        table = json.loads(file.read_text(encoding="utf-8"))
        for row in table["rows"]:
            if row.get("ms"):
                steps[row["method"]] = min(steps.get(row["method"], float("inf")), float(row["ms"]) / 1e3)
        form = "captured" if _has_captured(table["rows"]) else "eager: captured steps are faster"
        sources.append(f"{shown(file)} ({table.get('gpu') or 'no GPU'}, {form})")
    return StepTable(steps, " and ".join(sources))


def step_tables(out: Path, committed: Path, device: torch.device) -> tuple[StepTable, StepTable]:
    """Return the step times of this machine, from `out` or committed ones of a machine like it, and those of others."""
    here, others = [], []
    for name in STEPS:
        measured, known = (folder / f"{name}.json" for folder in (out, committed))
        like_here = not measured.is_file() and is_current(known, device)
        here.append(known if like_here else measured)
        others += [] if like_here else [known]
    return step_table(here), step_table(others)


def shown(path: Path) -> str:
    """Return a path relative to the project, if it is in it."""
    whole = path.resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else str(path)


def _has_captured(rows: Sequence[Mapping[str, object]]) -> bool:
    return any(row.get("form") not in (None, "eager") and row.get("ms") for row in rows)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no output")


def _run(command: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a program in the project's folder with a time limit; return its exit code and output."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            text, _ = process.communicate(timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its session includes its children
            text, _ = process.communicate()
            return KILLED, text
    return process.returncode, text


def _first_line(command: Sequence[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip().partition("\n")[0]


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
