"""Distill between networks and arrays of your own with the trainer of the library."""

import tempfile
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import wcord
from wcord.data import from_arrays


def network(width: int) -> nn.Sequential:
    """Two convolutions and a classifier: any network that ends in a Linear layer works as it is."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 10),
    )


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) * 15.9375).astype("uint8")
    data = from_arrays(images[:1400], labels[:1400], images[1400:], labels[1400:])

    teacher = network(32)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=1e-2)
    pixels, target = torch.from_numpy(images[:1400]).float() / 255, torch.from_numpy(labels[:1400])
    mean, std = pixels.mean(), pixels.std()
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(teacher((pixels - mean) / std), target).backward()
        optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        result = wcord.distill(teacher, network(4), data=data, out=Path(folder) / "run", method="wcord+kd", epochs=5)
        assert result.record is not None
        print(f"student {result.record.metrics['top1_last']:.1f} %")


if __name__ == "__main__":
    main()
