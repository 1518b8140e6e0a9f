"""Multilayer perceptrons for tables of numbers, which may have gaps."""

import itertools
import math

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Hidden layers of one width with ReLU, over all values of a record and over marks of the missing ones.

    h⁰ = [x̃, m] with x̃ = x where x is known and 0 (the mean, as columns come standardized) where it is NaN, and
    m = 1 where it is NaN; hⁱ = ReLU(Wⁱ hⁱ⁻¹ + bⁱ); logits = W h + b. The visits that a subject does not have are NaN,
    so that the network sees how many there are.

    Args:
        num_classes: number of logits.
        in_channels: columns of a record, C.
        image_size: its other two sides, V×1 for V visits.
        width: units of a hidden layer.
        depth: hidden layers.

    >>> record = torch.tensor([[[[0.5]], [[float("nan")]]]])
    >>> MLP(num_classes=2, in_channels=2, width=8, depth=1)(record).isfinite().all().item()
    True
    """

    def __init__(
        self, *, num_classes: int, in_channels: int, image_size: tuple[int, int] = (1, 1), width: int, depth: int
    ) -> None:
        super().__init__()
        widths = [2 * in_channels * math.prod(image_size), *[width] * depth]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, records: Tensor) -> Tensor:
        """Return logits, B×classes, of standardized records, B×C×V×1."""
        missing = records.isnan()
        known = torch.where(missing, torch.zeros_like(records), records)
        return self.fc(self.hidden(torch.cat([known.flatten(1), missing.flatten(1).to(known.dtype)], dim=1)))
