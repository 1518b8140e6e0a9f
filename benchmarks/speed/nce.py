"""Time and peak memory of one NCE step, both directions, against CRD's form that gathers both banks.

    python benchmarks/speed/nce.py --out benchmarks/records/speed/nce.json

Drawing is excluded. Exits with 1 if a target is missed, or if loss or gradient on the same draw differ.
"""

import sys
from collections.abc import Callable
from functools import partial

import torch
from harness import interleaved, options, peak_bytes, place, report
from torch import Tensor

from wcord.contrast import nce_loss
from wcord.contrast.draws import draw_rows

BATCH, DRAWN, WIDTH, ROWS, TEMPERATURE = 64, 16384, 128, 50_000, 0.07
LOG_MEAN_EXP = 1 / (2 * WIDTH * TEMPERATURE**2)
MIB = 2**20
TARGETS = {"sampled": (15.0, 32.0), "expected": (15.0, 8.0), "shared": (15.0, 32.0)}
"""Estimator → least speed-up over the reference, largest peak in MiB."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def gathered_direction(anchor: Tensor, bank: Tensor, own: Tensor, index: Tensor, eps: float = 1e-7) -> Tensor:
    """CRD's form: gather the rows of positive and negatives, exponentiate, and let autograd differentiate."""
    chosen = torch.cat([own.unsqueeze(1), index], dim=1)
    rows = torch.index_select(bank, 0, chosen.flatten()).reshape(anchor.shape[0], -1, WIDTH)
    scores = torch.exp(torch.bmm(rows, anchor.unsqueeze(2)).squeeze(2) / TEMPERATURE)
    probability = scores / (torch.tensor(LOG_MEAN_EXP).exp() * ROWS)
    noise = DRAWN / ROWS
    pulled = torch.log(probability[:, 0] / (probability[:, 0] + noise + eps))
    pushed = torch.log(noise / (probability[:, 1:] + noise + eps))
    return -(pulled.sum() + pushed.sum()) / anchor.shape[0]


def our_direction(anchor: Tensor, bank: Tensor, own: Tensor, index: Tensor | None) -> Tensor:
    return nce_loss(
        anchor,
        bank[own],
        bank,
        index,
        temperature=TEMPERATURE,
        log_mean_exp=LOG_MEAN_EXP,
        num_negatives=DRAWN,
    )


class Step:
    """Forward and backward of both directions with one form of the loss."""

    def __init__(self, direction: Callable[..., Tensor], index: Tensor | None, device: torch.device) -> None:
        fixed = torch.Generator().manual_seed(0)
        bound = (WIDTH / 3) ** -0.5
        self.banks = [torch.empty(ROWS, WIDTH).uniform_(-bound, bound, generator=fixed).to(device) for _ in range(2)]
        unit = torch.nn.functional.normalize(torch.randn(2, BATCH, WIDTH, generator=fixed), dim=2)
        self.anchors = [side.clone().to(device).requires_grad_() for side in unit]
        self.own = torch.randperm(ROWS, generator=fixed)[:BATCH].to(device)
        self.losses = [partial(direction, index=index, own=self.own, bank=bank) for bank in self.banks]

    def __call__(self) -> tuple[float, Tensor]:
        for anchor in self.anchors:
            anchor.grad = None
        loss = torch.stack([loss(anchor) for loss, anchor in zip(self.losses, self.anchors, strict=True)]).sum()
        loss.backward()
        grads = [anchor.grad for anchor in self.anchors if anchor.grad is not None]
        return loss.item(), torch.stack(grads)


def main(argv: list[str] | None = None) -> int:
    arguments = options(__doc__, repeats=5, argv=argv)
    device = arguments.device
    torch.manual_seed(0)
    index = draw_rows(ROWS, DRAWN, batch=BATCH, device=device)
    steps = {
        "gather both banks (CRD)": Step(gathered_direction, index, device),
        "sampled": Step(our_direction, index, device),
        "expected": Step(our_direction, None, device),
        "shared": Step(our_direction, index[0], device),
    }
    reference = next(iter(steps))
    seconds = interleaved(dict(steps), repeats=arguments.repeats, device=device)
    # CRD's 1e-7 in both logarithms shifts its loss by 2e-7·N, without effect on gradients; the comparison omits it.
    expected_loss, expected_grad = Step(partial(gathered_direction, eps=0.0), index, device)()
    rows: list[dict[str, object]] = []
    failed = []
    for name, step in steps.items():
        loss, grad = step()
        same_draw = name in (reference, "sampled")
        difference = float((grad - expected_grad).norm() / expected_grad.norm())
        row = {
            "form": name,
            "ms": seconds[name] * 1e3,
            "times faster": seconds[reference] / seconds[name],
            "peak MiB": peak_bytes(step, device) / MIB,
            "loss": loss,
            "loss difference": abs(loss - expected_loss) / expected_loss if same_draw else None,
            "gradient difference": difference if same_draw else None,
        }
        rows.append(row)
        faster, peak = TARGETS.get(name, (0.0, float("inf")))
        agrees = name != "sampled" or (abs(loss - expected_loss) <= 1e-5 * expected_loss and difference <= 1e-5)
        if row["times faster"] < faster or row["peak MiB"] > peak or not agrees:
            failed.append(name)
    title = f"NCE step: B={BATCH}, K={DRAWN}, D={WIDTH}, N={ROWS}, both directions, {place(device)}"
    report(title, rows, arguments.out)
    print("targets missed: " + ", ".join(failed) if failed else "all targets reached")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
