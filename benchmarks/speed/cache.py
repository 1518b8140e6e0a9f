"""An epoch of the mini protocol with cached teacher outputs (`--teacher-cache`), against one with the teacher.

    python benchmarks/speed/cache.py --out benchmarks/records/speed/cache.json

All runs take turns in one process. The first run over some batches writes the outputs; later runs, of any method that
needs no maps of the teacher, read them.
"""

import argparse
import gc
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import options, place, report

from wcord import api
from wcord.benchmark.rows import Place, Row
from wcord.benchmark.suite import read_suite
from wcord.training.config import DistillConfig

SUITE = "mini"
RUNS, WRITES, READS = "runs", "runs, outputs are written", "outputs are read"


def row_settings(method: str, images: Path, folder: Path, args: argparse.Namespace) -> DistillConfig:
    """Return the settings of an epoch of a row, on random images of the suite's size."""
    suite = read_suite(SUITE)
    override = {"epochs": 1, "subset": None, "eval_every": 1, "label": None}
    where = Place(out=folder, data=f"npz:{images}", device=args.device.type, override=override)
    config = Row(suite, suite.pairs[0], method, 0).config(where, None)
    teacher, student = args.pair.split(":") if args.pair else (config.teacher, config.student)
    return replace(config, allow_weak_teacher=True, teacher=teacher, student=student)


def seconds_of(config: DistillConfig, out: Path, cache: Path | None) -> float:
    """Return the seconds of a run's single epoch, and delete the run."""
    training = replace(config.training, teacher_cache=cache)
    result = api.start(replace(config, out=out, training=training), None, lambda line: None)
    if result.record is None:
        sys.exit(f"stopped: {result.outcome.reason}")
    shutil.rmtree(out)
    return float(result.record.epochs[0]["seconds"])


def more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", default="kd,wcord+kd", help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=10_000, help="training images (default: %(default)s)")
    parser.add_argument("--pair", default="", help="teacher:student (default: the suite's)")


def main(argv: list[str]) -> int:
    args = options(__doc__, repeats=3, argv=argv, more=more)
    device: torch.device = args.device
    draw = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, images, test = Path(scratch), Path(scratch, "images.npz"), 200
        drawn = draw.integers(0, 256, (args.samples + test, 16, 16, 3), np.uint8)
        labels = np.arange(len(drawn)) % 100
        np.savez(images, x_train=drawn[test:], y_train=labels[test:], x_test=drawn[:test], y_test=labels[:test])
        for method in args.methods.split(","):
            config = row_settings(method, images, folder, args)
            least = dict.fromkeys((RUNS, WRITES, READS), float("inf"))
            for turn in range(1 + args.repeats):  # the first one is a warm-up
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for name in least:
                    gc.collect()
                    cache = None if name == RUNS else folder / "cache"
                    seconds = seconds_of(config, folder / "run", cache)
                    least[name] = min(least[name], seconds) if turn else least[name]
            rows += [
                {
                    "method": method,
                    "teacher": name,
                    "s an epoch": round(seconds, 3),
                    "over running": round(seconds / least[RUNS], 3),
                }
                for name, seconds in least.items()
            ]
    report(f"Epoch of {SUITE} with the teacher's outputs kept, {place(device)}", rows, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
