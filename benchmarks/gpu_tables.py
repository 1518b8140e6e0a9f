"""What `benchmarks/gpu.py` does before its rows: the GPU tests and the speed tables, each within its share of time."""

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
"""Exit code of a program that ran out of its time, as timeout(1) has it."""
MARKED = re.compile(r"pytest\.mark\.gpu\b")
CAPTURED_TESTS = "test_captured_gpu.py"
OUTCOME = re.compile(r"^\S+::.*? (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*\[ *\d+%\]$", re.MULTILINE)
"""A line of pytest on a test that is over."""


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
    command = [
        sys.executable, "-m", "pytest", "-m", "gpu", "-vv", "-rs", "-p", "no:cacheprovider",
        *(path.relative_to(ROOT).as_posix() for path in gpu_tests()),
    ]  # fmt: skip
    code, text = _run(command, min(TESTS_SECONDS, seconds))
    (out / "tests.txt").write_text(text, encoding="utf-8")
    cut = "out of time" if code == KILLED else f"ended by signal {-code}" if code < 0 else ""
    say(f"GPU tests: {f'{outcomes(text)}, {cut}' if cut else _last_line(text).strip('= ')}")


def gpu_tests() -> list[Path]:
    """Return the files of tests that need a GPU, first the one that compares captured steps with eager ones."""
    found = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARKED.search(path.read_text("utf-8"))]

    def worth(path: Path) -> int:
        if path.name == CAPTURED_TESTS:
            return 0
        return 1 if path.parent == ROOT / "tests" and path.name.startswith("test_gpu") else 2

    return sorted(found, key=worth)


def outcomes(text: str) -> str:
    """Return how many tests had passed and how many had failed by what pytest has said so far."""
    counts = Counter(OUTCOME.findall(text))
    return f"{counts['PASSED']} passed, {counts['FAILED'] + counts['ERROR']} failed"


def run_script(
    script: Script, out: Path, device: torch.device, seconds_left: float, say: Callable[[str], None],
    committed: Path | None = None,
) -> None:  # fmt: skip
    """Write a speed table if it is not there yet, and its share of time is left.

    Args:
        script: what writes it.
        out: folder that takes it, below speed/.
        device: where it computes.
        seconds_left: seconds that are left for tables.
        say: takes the line that tells how it went.
        committed: folder of committed tables; one that is of this GPU and version of torch is not measured again.
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
    """Tell whether a table was measured on this model of GPU with this version of torch, and captured steps too."""
    gpu = gpu_name(device)
    if gpu is None or not file.is_file():
        return False
    table = json.loads(file.read_text(encoding="utf-8"))
    is_same = (table.get("gpu"), table.get("versions", {}).get("torch")) == (gpu, _version("torch"))
    return is_same and (file.stem not in STEPS or _has_captured(table["rows"]))


def gpu_name(device: torch.device) -> str | None:
    """Return the model of GPU, or None where there is none."""
    is_gpu = device.type == "cuda" and torch.cuda.is_available()
    return torch.cuda.get_device_name(device) if is_gpu else None


@dataclass(frozen=True)
class StepTable:
    """What a step takes.

    Attributes:
        steps: method → seconds of its fastest form.
        source: the files, in words; empty where there are none.
    """

    steps: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


def step_table(files: Iterable[Path]) -> StepTable:
    """Return what those of the files that are there tell of steps."""
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
    """Return the steps of this machine, measured in `out` or committed from one like it, and those of others."""
    here, others = [], []
    for name in STEPS:
        measured, known = (folder / f"{name}.json" for folder in (out, committed))
        like_here = not measured.is_file() and is_current(known, device)
        here.append(known if like_here else measured)
        others += [] if like_here else [known]
    return step_table(here), step_table(others)


def shown(path: Path) -> str:
    """Return a path as a reader of the project would write it."""
    whole = path.resolve()
    return whole.relative_to(ROOT).as_posix() if whole.is_relative_to(ROOT) else str(path)


def _has_captured(rows: Sequence[Mapping[str, object]]) -> bool:
    return any(row.get("form") not in (None, "eager") and row.get("ms") for row in rows)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no output")


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
