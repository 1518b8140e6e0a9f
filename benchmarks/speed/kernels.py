"""Each GPU kernel against its torch path, in the loss (eager and as a CUDA graph) and alone, and whether to keep it.

    python benchmarks/speed/kernels.py --device cuda --out benchmarks/records/speed/gpu/kernels.json

A kernel is kept at a size if it speeds up the captured loss, forward and backward, or is three times as fast alone.
The last line is a value for `wcord.kernels.KEPT`.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from unittest.mock import patch

import torch
from harness import interleaved, options, place, report
from nce import BATCH, DRAWN, LOG_MEAN_EXP, ROWS, TEMPERATURE, WIDTH, gathered_direction
from torch import Tensor

from wcord.checks import UsageError
from wcord.contrast import nce_loss
from wcord.contrast.draws import draw_rows
from wcord.contrast.estimate import Negatives, _sum_by_kernel, _sum_by_torch
from wcord.kernels import VARIABLE
from wcord.numerics import unit_rows
from wcord.transport import transport_loss
from wcord.transport.sinkhorn import _alternate, uniform

SINKHORN_WIDTH, EPSILON, ITERATIONS = 512, 0.05, 10
SIZES = (64, 128, 256, 512, 1024)
CALLS = 20
"""Calls that are timed together; one is shorter than a synchronization."""
FASTER, ALONE = 1.02, 3.0
"""Least speed-up to keep a kernel: in the captured loss (less is noise), or alone."""

Run = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """One size of one loss, timed with kernels on or off."""

    name: str
    kernel: str
    size: int
    loss: Run
    """Forward and backward; returns the loss and the gradients."""
    alone: Run
    """The computation that the kernel replaces."""


def transport_case(batch: int, device: torch.device) -> Case:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, batch, SINKHORN_WIDTH, generator=generator).relu_().to(device)
    x.requires_grad_()

    def loss() -> tuple[Tensor, ...]:
        value = transport_loss(x, y, epsilon=EPSILON, iterations=ITERATIONS)
        return value.detach(), *torch.autograd.grad(value, x)

    kernel = (unit_rows(x.detach()) @ unit_rows(y).T / EPSILON).exp()
    weights = uniform(batch, kernel)

    def alone() -> tuple[Tensor, ...]:
        return _alternate(kernel, weights, weights, weights, ITERATIONS, None, made=0)[:2]

    return Case(f"Sinkhorn B={batch}", "sinkhorn", batch, loss, alone)


@dataclass(frozen=True)
class NCEData:
    """Both directions of a contrastive step."""

    anchors: list[Tensor]
    banks: list[Tensor]
    own: Tensor
    bias: Tensor

    def step(self, direction: Callable[[Tensor, Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        sides = zip(self.anchors, self.banks, strict=True)
        value = torch.stack([direction(anchor, bank, self.own) for anchor, bank in sides]).sum()
        return value.detach(), *torch.autograd.grad(value, self.anchors)


def nce_data(batch: int, rows: int, device: torch.device) -> NCEData:
    generator = torch.Generator().manual_seed(0)
    banks = [unit_rows(torch.randn(rows, WIDTH, generator=generator)).to(device) for _ in range(2)]
    anchors = [unit_rows(torch.randn(batch, WIDTH, generator=generator)).to(device).requires_grad_() for _ in range(2)]
    own = torch.randperm(rows, generator=generator)[:batch].to(device)
    return NCEData(anchors, banks, own, torch.tensor(LOG_MEAN_EXP, device=device))


def nce_case(name: str, data: NCEData, index: Tensor | None) -> Case:
    def direction(anchor: Tensor, bank: Tensor, own: Tensor) -> Tensor:
        settings = {"temperature": TEMPERATURE, "log_mean_exp": data.bias, "num_negatives": DRAWN}
        return nce_loss(anchor, bank[own], bank, index, **settings)

    def alone() -> tuple[Tensor, ...]:
        with torch.no_grad():
            parts = []
            for anchor, bank in zip(data.anchors, data.banks, strict=True):
                args = (anchor * (1 / TEMPERATURE), Negatives(bank, index, DRAWN), data.bias, True)
                parts += _sum_by_kernel(*args) or _sum_by_torch(*args)
            return tuple(parts)

    size = data.anchors[0].shape[0]
    return Case(f"NCE {name} B={size}", "nce", size, partial(data.step, direction), alone)


@dataclass(frozen=True)
class Form:
    """An implementation: torch, or a kernel in one of its precisions."""

    name: str
    kernels: str = "on"
    precision: str = "ieee"

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Use this form in the context; a failing kernel raises its warning, and is tried again in the next context."""
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, {VARIABLE: self.kernels}))
            stack.enter_context(patch("wcord.kernels._failed", set()))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("error", RuntimeWarning)
            if self.kernels == "on":
                stack.enter_context(patch("wcord.contrast.kernel.PRECISION", self.precision))
            yield


TORCH = Form("torch", kernels="off")
KERNEL = Form("kernel")
FORMS = {"sinkhorn": (TORCH, KERNEL), "nce": (TORCH, KERNEL, Form("kernel, tf32x3", precision="tf32x3"))}


def captured(run: Run) -> Callable[[], object]:
    """Return a function that replays a run as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def ways(form: Form, runs: dict[str, Run], device: torch.device) -> dict[str, Callable[[], object]]:
    """Return the calls to time for one form: each run eager and, on a GPU, captured."""
    calls: dict[str, Callable[[], object]] = {}
    for name, run in runs.items():
        calls[name] = partial(_repeat, run, form.chosen)
        if device.type == "cuda":
            with form.chosen():
                calls[f"captured {name}"] = partial(_repeat, captured(run))
    return calls


def _repeat(call: Callable[[], object], within: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
    with within():
        for _ in range(CALLS):
            call()


def difference(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Return the largest error of a tensor relative to its norm."""
    pairs = zip(ours, reference, strict=True)
    return max(float((our - other).norm() / other.norm().clamp(min=1e-30)) for our, other in pairs)


def verdict(in_loss: float | None, alone: float | None) -> str:
    """Return whether to keep a kernel, by its speed-up over torch in the captured loss and alone."""
    if in_loss is None or alone is None:
        return "not measured"
    return "keep" if in_loss >= FASTER or alone >= ALONE else "drop"


def rows_of(case: Case, repeats: int, device: torch.device) -> list[dict[str, object]]:
    with TORCH.chosen():
        exact = case.loss()
    timed: dict[str, Callable[[], object]] = {}
    outcome: dict[str, float | str] = {}
    for form in FORMS[case.kernel]:
        try:
            with form.chosen():
                outcome[form.name] = difference(case.loss(), exact)
            calls = ways(form, {"loss": case.loss, "alone": case.alone}, device)
        except RuntimeWarning as error:
            outcome[form.name] = str(error)
            continue
        timed |= {f"{form.name}: {name}": call for name, call in calls.items()}
    seconds = interleaved(timed, repeats=repeats, warmup=2, device=device)

    def ms(form: Form, name: str) -> float | None:
        duration = seconds.get(f"{form.name}: {name}")
        return None if duration is None else 1e3 * duration / CALLS

    def gain(form: Form, name: str) -> float | None:
        before, now = ms(TORCH, name), ms(form, name)
        return None if before is None or now is None else before / now

    rows = []
    for form in FORMS[case.kernel]:
        error = outcome[form.name]
        in_loss, alone = (gain(form, f"captured {name}") for name in ("loss", "alone"))
        rows.append(
            {
                "case": case.name,
                "form": form.name,
                "eager ms": ms(form, "loss"),
                "captured ms": ms(form, "captured loss"),
                "alone ms": ms(form, "captured alone"),
                "times as fast": in_loss,
                "alone": alone,
                "difference": error if isinstance(error, float) else None,
                "verdict": error if isinstance(error, str) else "" if form is TORCH else verdict(in_loss, alone),
            }
        )
    return rows


def gathering_row(data: NCEData, index: Tensor, repeats: int, device: torch.device) -> dict[str, object]:
    """Return the row of CRD's form, which gathers the drawn rows of both banks."""
    run = partial(data.step, partial(gathered_direction, index=index))
    seconds = interleaved(ways(TORCH, {"loss": run}, device), repeats=repeats, warmup=2, device=device)
    ms = {name: 1e3 * duration / CALLS for name, duration in seconds.items()}
    times = {"eager ms": ms["loss"], "captured ms": ms.get("captured loss")}
    empty = dict.fromkeys(("alone ms", "times as fast", "alone", "difference"))
    return {"case": f"NCE sampled B={len(index)}", "form": "gather both banks (CRD)", **times, **empty, "verdict": ""}


def sizes_to_keep(rows: Sequence[dict[str, object]], cases: Sequence[Case]) -> dict[str, int]:
    """Return kernel → the largest size up to which it is kept in every measured case."""
    keeps = {row["case"]: row["verdict"] == "keep" for row in rows if row["form"] == KERNEL.name}
    sizes: dict[str, int] = {}
    for kernel in {case.kernel for case in cases}:
        dropped = [case.size for case in cases if case.kernel == kernel and not keeps[case.name]]
        smaller = [case.size for case in cases if case.kernel == kernel and case.size < min(dropped, default=inf)]
        if smaller:
            sizes[kernel] = max(smaller)
    return sizes


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = options(__doc__, repeats=20, argv=argv)
    except UsageError as error:
        sys.exit(f"kernels.py: {error}")
    device = arguments.device
    if device.type != "cuda":
        sys.exit("kernels.py: kernels run only on a GPU: add --device cuda on a machine with one")
    torch.manual_seed(0)
    draw = draw_rows(ROWS, DRAWN, batch=BATCH, device=device)
    cases = [transport_case(batch, device) for batch in SIZES]
    for batch in (BATCH, 4 * BATCH):
        data = nce_data(batch, ROWS, device)
        cases += [nce_case("expected", data, None), nce_case("shared", data, draw[0].contiguous())]
    rows = [row for case in cases for row in rows_of(case, arguments.repeats, device)]
    rows.append(gathering_row(nce_data(BATCH, ROWS, device), draw, arguments.repeats, device))
    title = (
        f"Kernels: Sinkhorn, D={SINKHORN_WIDTH}, {ITERATIONS} iterations, and NCE, both directions, D={WIDTH}, "
        f"N={ROWS}, K={DRAWN}; forward + backward, {place(device)}"
    )
    report(title, rows, arguments.out)
    print(f"KEPT = {sizes_to_keep(rows, cases)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
