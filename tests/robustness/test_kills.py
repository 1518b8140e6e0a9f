"""Runs that are killed, stopped or short of disk at random, and resumed, end as if nothing had happened."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from wcord.training.config import read_config

pytestmark = pytest.mark.slow
COMMON = ["--data", "sklearn:iris", "--epochs", "3", "--batch-size", "30", "--checkpoint-every", "3", "--device", "cpu"]
TEACHER = ["train", "--model", "mlp16x1", *COMMON]
STUDENT = [
    "distill",
    "--teacher",
    "mlp16x1",
    "--student",
    "mlp8x1",
    "--method",
    "wcord+kd",
    "--set",
    "wcord.num_negatives=64",
]
VOLATILE = ("created", "wall_seconds", "environment", "commit", "cost", "name", "config")
AT_MOST = 7
"""Disturbances of one run."""


class Tally(Protocol):
    """What counts the trials; see `conftest.py`."""

    def __call__(self, kind: str, held: bool) -> bool: ...

    def share(self, ci: int, full: int) -> int: ...


class Nursery:
    """Starts commands in processes that have imported everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, str(Path(__file__).with_name("nursery.py"))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )

    def run(self, arguments: list[str], *, after: float | None = None, by: int = signal.SIGKILL, **order: Any) -> int:
        """Run a command and return its exit code, or the negative number of the signal that has ended it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order |= {"arguments": arguments, "log": str(self.folder / "log"), "below": str(self.folder)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        number = int(self.process.stdout.readline())
        timer = None
        if after is not None:
            timer = threading.Timer(after, send, (number, by))
            timer.start()
        code = int(self.process.stdout.readline())
        if timer is not None:
            timer.cancel()
        return code

    @property
    def told(self) -> str:
        """What the last command printed."""
        return (self.folder / "log").read_text(errors="replace")


def send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(process, number)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("kills"))
    yield nursery
    nursery.process.kill()
    nursery.process.wait()


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery) -> tuple[Path, float]:
    """Return a run that nothing has disturbed, and the seconds that it took."""
    assert nursery.run([*TEACHER, "--out", str(nursery.folder / "teacher")]) == 0, nursery.told
    started = time.monotonic()
    assert nursery.run(beginning(nursery, nursery.folder / "whole")) == 0, nursery.told
    return nursery.folder / "whole", time.monotonic() - started


def beginning(nursery: Nursery, out: Path) -> list[str]:
    weights = str(nursery.folder / "teacher" / "student.safetensors")
    return [*STUDENT, *COMMON, "--teacher-weights", weights, "--out", str(out)]


def next_command(nursery: Nursery, out: Path) -> list[str]:
    """Return what a user would type: go on where there is a run to go on with, else begin."""
    if (out / "config.toml").is_file():
        return ["distill", "--resume", str(out)]
    return [*beginning(nursery, out), *(["--overwrite"] if out.exists() and any(out.iterdir()) else [])]


def measured(run: Path) -> dict[str, Any]:
    """Return all that a run leaves, less what the clock and the machine say."""
    record = json.loads((run / "record.json").read_text())
    epochs = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in record["epochs"]]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        **{name: value for name, value in record.items() if name not in VOLATILE},
        "epochs": epochs,
        "lines": [{name: value for name, value in line.items() if name != "seconds"} for line in lines],
        "student": (run / "student.safetensors").read_bytes(),
        "analysis": (run / "analysis.npz").read_bytes(),
        "page": (run / "report.html").is_file(),
        "files": sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()),
        "seed": read_config(run / "config.toml").training.seed,
    }


def disturb(nursery: Nursery, out: Path, kind: str, seconds: float, draw: random.Random) -> bool | None:
    """Begin a run, or go on with it, and disturb it; return whether it ended as it should, None if it was done before.

    A run that has no more of a disk is refused in one line, with code 1, or 2 where it had not begun.
    """
    command = next_command(nursery, out)
    if kind == "full disk":
        code = nursery.run(command, largest_file=int(10 ** draw.uniform(1, 4.7)))
        lines = [line for line in nursery.told.splitlines() if line.startswith("wcord: ")]
        return None if code == 0 else code in (1, 2) and len(lines) == 1 and "Traceback" not in nursery.told
    if kind == "SIGKILL at a file":
        code = nursery.run(command, die_at=draw.randrange(40))
    else:
        by = signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL
        code = nursery.run(command, after=draw.uniform(0, 0.9 * seconds), by=by)
    ended = (143, -signal.SIGTERM) if kind == "SIGTERM" else (-signal.SIGKILL,)
    return None if code == 0 else code in ended


@pytest.mark.parametrize(
    ("kind", "few", "many"),
    [("SIGKILL", 3, 80), ("SIGKILL at a file", 3, 80), ("SIGTERM", 1, 20), ("full disk", 1, 40)],
)
def test_a_disturbed_run_ends_like_an_undisturbed_one(
    kind: str, few: int, many: int, nursery: Nursery, undisturbed: tuple[Path, float], tally: Tally
) -> None:
    draw, (whole, seconds), left = random.Random(kind), undisturbed, tally.share(few, many)
    expected, number = measured(whole), 0
    while left > 0:
        out = nursery.folder / f"{kind}{number}"
        number += 1
        disturbances = [disturb(nursery, out, kind, seconds, draw) for _ in range(min(left, AT_MOST))]
        code = nursery.run(next_command(nursery, out))
        held = code == 0 and False not in disturbances and measured(out) == expected
        tried = sum(one is not None for one in disturbances)
        left -= tried
        for _ in range(tried):
            tally(kind, held)
        assert code == 0, nursery.told
        assert False not in disturbances, nursery.told
        assert measured(out) == expected


def test_a_kill_while_a_run_is_replaced_leaves_what_can_be_replaced(
    nursery: Nursery, undisturbed: tuple[Path, float], tally: Tally
) -> None:
    whole, _ = undisturbed
    out = nursery.folder / "replaced"
    assert nursery.run(beginning(nursery, out)) == 0, nursery.told
    for number in range(18, -1, -tally.share(9, 1)):
        code = nursery.run([*beginning(nursery, out), "--overwrite"], die_at=number)
        held = code == -signal.SIGKILL and "Traceback" not in nursery.told
        assert tally("SIGKILL while a run is replaced", held), nursery.told
    assert nursery.run([*beginning(nursery, out), "--overwrite"]) == 0, nursery.told
    assert measured(out) == measured(whole)
