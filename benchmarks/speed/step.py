"""A whole training step of resnet56 → resnet20 at 32×32, B=64: the cost of a method over plain KD, and of its parts.

    python benchmarks/speed/step.py --out benchmarks/records/speed/step.json
    python benchmarks/speed/step.py --profile
    python benchmarks/speed/step.py --device cuda --methods all --out benchmarks/records/speed/gpu/methods.json

On a GPU every method is timed eagerly, as a CUDA graph, and as one with the teacher ahead by 16 batches. `MB over kd`
is the peak memory of an eager step with the method's state, such as banks of 50,000 rows. A method that does not fit
the pair or cannot be captured has a row without `ms`; its note gives the reason.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from harness import interleaved, options, peak_bytes, place, report
from profiled import print_profile
from steps import AHEAD, BATCH, CAPTURED, EAGER, SAMPLES, Training, engine, make_batches, make_case, make_training

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.methods.catalogue import METHODS
from wcord.training.captured import CaptureError

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "kd": ("kd", {}),
    "wcord": ("wcord", {}),
    "wcord sampled": ("wcord", {"estimator": "sampled"}),
    "wcord shared": ("wcord", {"estimator": "shared"}),
    "wcord expected": ("wcord", {"estimator": "expected"}),
    "wcord+kd": ("wcord+kd", {}),
    "wcord-a": ("wcord-a", {}),
    "crd": ("crd", {}),
}
"""Name → method, and options of its first term."""
ALL = "all"
RATIOS: dict[tuple[str, str, str], float] = {
    ("cpu", "wcord", EAGER): 1.08,
    ("cuda", "wcord", EAGER): 1.2,
    ("cuda", "wcord", CAPTURED): 1.15,
}
"""Device, case, form → largest allowed ratio to kd in the same form."""
MILLISECONDS = {("cuda", "kd", CAPTURED): 2.0, ("cuda", "kd", AHEAD): 1.5}
MEMORY = {"wcord": 60.0}
"""Case → most MB over kd."""


def chosen(methods: str) -> dict[str, tuple[str, dict[str, object]]]:
    """Return the requested cases; kd, the baseline of all ratios, is always among them."""
    if methods == ALL:
        return {name: (name, {}) for name in ("kd", *(name for name in METHODS if name != "kd"))}
    names = dict.fromkeys(["kd", *(name for name in methods.split(",") if name)])
    return {name: CASES.get(name, (name, {})) for name in names} if methods else CASES


def row_of(name: str, form: str, ms: dict[str, float], extra: float | None, device: str) -> dict[str, object]:
    """Return a row of the table; `extra` is the memory in MB over kd, if measured."""
    ratio = ms[name] / ms["kd"] if "kd" in ms else None
    limits = []
    if ratio is not None and (limit := RATIOS.get((device, name, form))) is not None:
        limits.append((f"≤ {limit} × kd", ratio <= limit))
    if (limit := MILLISECONDS.get((device, name, form))) is not None:
        limits.append((f"≤ {limit} ms", ms[name] <= limit))
    if extra is not None and name in MEMORY:
        limits.append((f"≤ {MEMORY[name]:g} MB", extra <= MEMORY[name]))
    return {
        "method": name,
        "form": form,
        "ms": round(ms[name], 2),
        "ratio to kd": None if ratio is None else round(ratio, 3),
        "MB over kd": None if extra is None else round(extra, 1),
        "target": ", ".join(text for text, _ in limits),
        "met": all(met for _, met in limits) if limits else "",
        "note": "",
    }


def row_without(name: str, form: str, reason: str) -> dict[str, object]:
    """Return the row of a method that is not timed in a form."""
    empty = {"ms": None, "ratio to kd": None, "MB over kd": None, "target": "", "met": ""}
    return {"method": name, "form": form, **empty, "note": reason}


def timed(
    cases: dict[str, tuple[str, dict[str, object]]], forms: list[str], arguments: argparse.Namespace
) -> list[dict[str, object]]:
    """Return a row for each method and form; its note says why one is not timed."""
    device = arguments.device
    engine_and_settings, whole = engine(device), make_batches(arguments.ahead, device)
    pair = tuple(arguments.pair.split(":"))
    rows: list[dict[str, object]] = []
    peaks: dict[str, float] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        trainings: dict[str, Training] = {}
        for name, (method, settings) in cases.items():
            try:
                trainings[name] = make_training(method, settings, pair, engine_and_settings, stack)
            except UsageError as error:
                left_out[name] = f"left out: {error}"
        for form in forms:
            steps, not_captured = prepared(trainings, form, whole)
            reasons = left_out | not_captured
            for name, reason in reasons.items():
                print(f"{name}, {form}: {reason}")
            seconds = interleaved(steps, repeats=arguments.repeats, device=device)
            if form == EAGER:
                peaks = {name: peak_bytes(steps[name], device) + trainings[name].memories for name in steps}
            ms = {name: 1e3 * duration / arguments.ahead for name, duration in seconds.items()}
            for name in cases:
                if name in reasons:
                    rows.append(row_without(name, form, reasons[name]))
                    continue
                extra = (peaks[name] - peaks["kd"]) / 1e6 if form == EAGER else None
                rows.append(row_of(name, form, ms, extra, device.type))
    return rows


def prepared(
    trainings: Mapping[str, Training], form: str, whole: Batch
) -> tuple[dict[str, Callable[[], None]], dict[str, str]]:
    """Return the steps in a form, and why methods cannot be captured."""
    steps: dict[str, Callable[[], None]] = {}
    reasons: dict[str, str] = {}
    for name, training in trainings.items():
        if form != EAGER and training.device.type == "cuda" and training.objective.reads:
            reasons[name] = f"not captured: {training.objective.reads}"
            continue
        try:
            steps[name] = make_case(training, form, whole)
        except CaptureError as error:
            reasons[name] = f"not captured: {error}"
    return steps, reasons


def more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", action="store_true", help="print the parts of a step of kd and wcord instead")
    parser.add_argument("--methods", default="", help="methods, a,b,…, or all of the catalog (default: a selection)")
    parser.add_argument("--pair", default="resnet56:resnet20", help="teacher:student (default: %(default)s)")
    parser.add_argument("--ahead", type=int, help="batches per pass of the teacher (default: 16 on a GPU, else 1)")


def main(argv: list[str]) -> int:
    arguments = options(__doc__, repeats=15, argv=argv, more=more)
    device: torch.device = arguments.device
    on_gpu = device.type == "cuda"
    arguments.ahead = arguments.ahead or (16 if on_gpu else 1)
    if arguments.profile:
        print_profile(device, tuple(arguments.pair.split(":")), arguments.repeats)
        return 0
    forms = [EAGER, *([CAPTURED] if on_gpu else []), *([AHEAD] if arguments.ahead > 1 else [])]
    rows = timed(chosen(arguments.methods), forms, arguments)
    teacher, student = arguments.pair.split(":")
    title = f"Training step {teacher} → {student}, 32×32, B={BATCH}, N={SAMPLES:,}, {place(device)}"
    report(title, rows, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
