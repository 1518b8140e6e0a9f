"""Several runs on one device: runs per hour of 1, 2, 4 and 8 processes of `wcord distill`.

    python benchmarks/speed/several.py --device cuda --out benchmarks/records/speed/gpu/several.json

Each process trains resnet56 → resnet20 on random images; epochs are counted while all processes train, checkpoints
included. With `nvidia-cuda-mps-control -d`, started before, their kernels run in parallel; otherwise the processes take
turns.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from harness import options, place, report

from wcord.checks import RunError
from wcord.training.run import METRICS

BATCH, EPOCHS, IMAGES = 64, 60, 50_000
"""The size of a run: 60 epochs of 50,000 images."""
TARGET = {4: 2.0}
PATIENCE, POLL = 120.0, 0.02
WARM_UP = 1
"""Epochs of each process that are not counted."""


@dataclass
class Worker:
    """A process, its folder, and the times at which its epochs ended."""

    process: subprocess.Popen[bytes]
    folder: Path
    ends: list[float] = field(default_factory=list)

    def read_state(self) -> None:
        """Add the epochs that ended since the last call."""
        metrics = self.folder / "run" / METRICS
        lines = metrics.read_bytes().count(b"\n") if metrics.is_file() else 0
        self.ends += [time.monotonic()] * (lines - len(self.ends))
        if self.process.poll() is not None:
            output = (self.folder / "log").read_text(errors="replace").strip().splitlines()
            raise RunError(
                f"a process ended with code {self.process.returncode}: {output[-1] if output else 'no output'}"
            )


def rate_of(ends: Sequence[float]) -> float:
    """Return epochs per second between the first and the last of these times.

    >>> rate_of([10.0, 12.0, 14.0])
    0.5
    """
    return (len(ends) - 1) / (ends[-1] - ends[0])


def epochs_a_second(workers: Sequence[Worker], seconds: float) -> float:
    """Return epochs per second of all processes after their warm-up, over some seconds and at least two epochs."""
    start_of_warmup = time.monotonic()
    _watch(workers, lambda: all(len(worker.ends) > WARM_UP for worker in workers), start_of_warmup + PATIENCE)
    start = time.monotonic()

    def counted(worker: Worker) -> list[float]:
        return [end for end in worker.ends if end >= start]

    def enough() -> bool:
        return time.monotonic() >= start + seconds and all(len(counted(worker)) >= 3 for worker in workers)

    _watch(workers, enough, start + seconds + PATIENCE)
    return sum(rate_of(counted(worker)) for worker in workers)


def _watch(workers: Sequence[Worker], enough: Callable[[], bool], until: float) -> None:
    while not enough():
        for worker in workers:
            worker.read_state()
        if time.monotonic() > until:
            raise RunError(f"the processes did not end an epoch within {PATIENCE:g} seconds: lower --samples")
        time.sleep(POLL)


def measured(count: int, images: Path, folder: Path, args: argparse.Namespace) -> float:
    """Return the epochs per second of a number of processes together."""
    workers = [_start(folder / f"{count}-{number}", images, number, args) for number in range(count)]
    try:
        return epochs_a_second(workers, args.seconds)
    finally:
        for worker in workers:
            worker.process.send_signal(signal.SIGKILL)  # their results are not needed
        for worker in workers:
            worker.process.wait()


def _start(folder: Path, images: Path, seed: int, args: argparse.Namespace) -> Worker:
    teacher, student = args.pair.split(":")
    settings = {"teacher": teacher, "student": student, "method": args.method, "data": f"npz:{images}",
                "augment": "crop-flip", "epochs": 10**6, "eval-every": 10**6, "seed": seed,
                "device": args.device.type, "out": folder / "run"}  # fmt: skip
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wcord.cli", "distill", "--allow-weak-teacher", *flags],
            stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return Worker(process, folder)


def mps() -> str:
    """Return whether CUDA's multi-process service runs, with which kernels of several processes run in parallel."""
    program = shutil.which("nvidia-cuda-mps-control")
    if program is None:
        return "not installed"
    output = subprocess.run([program], input=b"get_server_list\n", capture_output=True, check=False, timeout=20)
    return "runs" if output.returncode == 0 else "does not run"


def more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", default="1,2,4,8", help="numbers of processes (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=200 * BATCH, help="training images (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured seconds of each (default: %(default)s)")
    parser.add_argument("--pair", default="resnet56:resnet20", help="teacher:student (default: %(default)s)")
    parser.add_argument("--method", default="wcord+kd")


def main(argv: list[str]) -> int:
    args = options(__doc__, repeats=1, argv=argv, more=more)
    device: torch.device = args.device
    service = mps() if device.type == "cuda" else "no GPU"
    draw = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, images = Path(scratch), Path(scratch, "images.npz")
        shape = (args.samples + BATCH, 32, 32, 3)
        drawn, labels = draw.integers(0, 256, shape, np.uint8), np.arange(args.samples) % min(100, args.samples)
        np.savez(images, x_train=drawn[BATCH:], y_train=labels, x_test=drawn[:BATCH], y_test=labels[:BATCH])
        one = 0.0
        for count in (int(text) for text in args.processes.split(",")):
            try:
                rate = measured(count, images, folder, args)
            except RunError as error:
                print(f"{count} at once: {error}")
                continue
            hourly = 3600 * rate * args.samples / (EPOCHS * IMAGES)
            one = one or hourly / count
            target = TARGET.get(count) if device.type == "cuda" else None
            rows.append(
                {
                    "processes": count,
                    "images/s": round(rate * args.samples),
                    "runs an hour": round(hourly, 2),
                    "times one": round(hourly / one, 2),
                    "MPS": service,
                    "target": "" if target is None else f"≥ {target:g}",
                    "met": "" if target is None else hourly >= target * one,
                }
            )
    if not rows:
        return 1
    what = f"{args.pair.replace(':', ' → ')}, `{args.method}`, {EPOCHS} epochs of {IMAGES:,} images"
    report(f"Runs on one device at once: {what}, {place(device)}", rows, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
