"""An epoch of the mini protocol with the teacher's outputs kept (`--teacher-cache`), over one in which it runs.

    python benchmarks/speed/cache.py --out benchmarks/records/speed/cache.json

All runs are made in one process and take turns. The first over some batches writes the outputs, all later ones, of
any method that reads no maps of the teacher, read them.
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


def configured(method: str, images: Path, folder: Path, given: argparse.Namespace) -> DistillConfig:
    """Return an epoch of a row of the suite, over random images of its size."""
    suite = read_suite(SUITE)
    override = {"epochs": 1, "subset": None, "eval_every": 1, "label": None}
    where = Place(out=folder, data=f"npz:{images}", device=given.device.type, override=override)
    config = Row(suite, suite.pairs[0], method, 0).config(where, None)
    teacher, student = given.pair.split(":") if given.pair else (config.teacher, config.student)
    return replace(config, allow_weak_teacher=True, teacher=teacher, student=student)


def seconds_of(config: DistillConfig, out: Path, cache: Path | None) -> float:
    """Return the seconds of a run's one epoch of training, and leave nothing of the run."""
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
    given = options(__doc__, repeats=3, argv=argv, more=more)
    device: torch.device = given.device
    draw = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as held:
        folder, images, test = Path(held), Path(held, "images.npz"), 200
        drawn = draw.integers(0, 256, (given.samples + test, 16, 16, 3), np.uint8)
        labels = np.arange(len(drawn)) % 100
        np.savez(images, x_train=drawn[test:], y_train=labels[test:], x_test=drawn[:test], y_test=labels[:test])
        for method in given.methods.split(","):
            config = configured(method, images, folder, given)
            least = dict.fromkeys((RUNS, WRITES, READS), float("inf"))
            for turn in range(1 + given.repeats):  # the first one warms up
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for name in least:
                    gc.collect()
                    cache = None if name == RUNS else folder / "cache"
                    took = seconds_of(config, folder / "run", cache)
                    least[name] = min(least[name], took) if turn else least[name]
            rows += [
                {
                    "method": method,
                    "teacher": name,
                    "s an epoch": round(took, 3),
                    "over running": round(took / least[RUNS], 3),
                }
                for name, took in least.items()
            ]
    report(f"Epoch of {SUITE} with the teacher's outputs kept, {place(device)}", rows, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
