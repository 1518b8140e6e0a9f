"""Drawing negatives of other classes: one pass for all anchors against one for each class.

    python benchmarks/speed/draw.py --out benchmarks/records/speed/draw.json

Shows the best `LARGEST_CLASS`, up to which `draw_other_class` uses the first form.
"""

from collections.abc import Callable
from unittest.mock import patch

import torch
from harness import interleaved, options, place, report
from torch import Tensor

from wcord.contrast import draws

BATCH, DRAWN, ROWS = 64, 16384, 50_000
CLASSES = (2, 10, 20, 100)


def drawing(rows: Tensor, anchors: Tensor, largest_class: float) -> Callable[[], object]:
    def run() -> None:
        with patch.object(draws, "LARGEST_CLASS", largest_class):
            draws.draw_other_class(rows, anchors, DRAWN)

    return run


def main() -> None:
    arguments = options(__doc__, repeats=15)
    device = arguments.device
    rows: list[dict[str, object]] = []
    for classes in CLASSES:
        torch.manual_seed(0)
        labels = torch.arange(ROWS, device=device) % classes
        anchors = torch.randint(classes, (BATCH,), device=device)
        cases = {"together": drawing(labels, anchors, float("inf")), "by class": drawing(labels, anchors, -1.0)}
        seconds = interleaved(cases, repeats=arguments.repeats, device=device)
        rows.append(
            {
                "classes": classes,
                "class / draw": ROWS / classes / DRAWN,
                "together, ms": 1e3 * seconds["together"],
                "by class, ms": 1e3 * seconds["by class"],
                "taken": "together" if ROWS / classes <= draws.LARGEST_CLASS * DRAWN else "by class",
            }
        )
    what = f"B={BATCH}, K={DRAWN}, N={ROWS}"
    report(f"Drawing negatives of other classes: {what}, {place(device)}", rows, arguments.out)


if __name__ == "__main__":
    main()
