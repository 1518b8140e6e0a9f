"""Transport loss against POT and geomloss, forward and backward: python benchmarks/speed/transport.py [--out FILE]."""

import sys
from collections.abc import Callable

import ot
import torch
from geomloss import SamplesLoss
from harness import interleaved, options, peak_bytes, place, report
from torch import Tensor

from wcord.numerics import unit_rows
from wcord.transport import cosine_cost, transport_loss

WIDTH, EPSILON, ITERATIONS = 512, 0.05, 10
SIZES = (256, 1024)
TARGETS = {(256, "POT"): 2.5, (256, "geomloss"): 2.0, (1024, "POT"): 4.0, (1024, "geomloss"): 2.0}


def features(batch: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return penultimate features of two networks on one batch, after a ReLU: 20 classes, independent noise."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(20, WIDTH, generator=generator)[torch.randint(20, (batch,), generator=generator)]
    noise = [0.7 * torch.randn(batch, WIDTH, generator=generator) for _ in range(3)]
    return (centers + noise[0] + noise[1]).relu_(), (centers + noise[0] + noise[2]).relu_()


def ours(gradient: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, y: transport_loss(x, y, epsilon=EPSILON, iterations=ITERATIONS, gradient=gradient)


def pot(x: Tensor, y: Tensor) -> Tensor:
    cost = cosine_cost(x, y)
    a, b = (cost.new_full((size,), 1 / size) for size in cost.shape)
    plan = ot.sinkhorn(a, b, cost, EPSILON, method="sinkhorn_log", numItermax=ITERATIONS, stopThr=0, warn=False)
    return (plan * cost).sum()


def geomloss(x: Tensor, y: Tensor) -> Tensor:
    # On unit vectors |x − y|²/2 is the cosine cost, and blur² its epsilon; geomloss chooses the number of steps.
    criterion = SamplesLoss("sinkhorn", p=2, blur=EPSILON**0.5, debias=False, backend="tensorized")
    return criterion(unit_rows(x), unit_rows(y))


CASES = {"wcord": ours("entropic"), "wcord, sharp": ours("sharp"), "POT": pot, "geomloss": geomloss}


def step(loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Callable[[], object]:
    """Return a forward and backward pass with a fresh leaf, as a training step has."""

    def run() -> None:
        loss(x.detach().requires_grad_(), y).backward()

    return run


def rows_of(batch: int, repeats: int, device: torch.device) -> list[dict[str, object]]:
    x, y = (side.to(device) for side in features(batch, seed=0))
    steps = {name: step(loss, x, y) for name, loss in CASES.items()}
    seconds = interleaved(steps, repeats=repeats, device=device)
    allowed = 3 * batch**2 + 6 * batch * WIDTH
    rows = []
    for name, run in steps.items():
        target = TARGETS.get((batch, name))
        ratio = seconds[name] / seconds["wcord"]
        floats = peak_bytes(run, device) // 4
        reached = ratio >= target if target is not None else floats <= allowed
        rows.append(
            {
                "B": batch,
                "form": name,
                "ms": 1e3 * seconds[name],
                "times wcord": ratio,
                "to reach": target,
                "peak floats": floats,
                "peak / (B²)": floats / batch**2,
                "allowed": allowed if target is None else None,
                "reached": reached,
            }
        )
    return rows


def main(argv: list[str]) -> int:
    arguments = options(__doc__, repeats=15, argv=argv)
    device = arguments.device
    rows = [row for batch in SIZES for row in rows_of(batch, arguments.repeats, device)]
    title = f"LCKT forward + backward, D={WIDTH}, ε={EPSILON}, {ITERATIONS} iterations, {place(device)}"
    report(title, rows, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
