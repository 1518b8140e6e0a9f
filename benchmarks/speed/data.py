"""Training batches at CIFAR size: the in-memory path against torchvision transforms in a DataLoader with 2 workers."""

import argparse
from pathlib import Path

import numpy as np
import torch
from harness import interleaved, report
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from wcord.data.loader import Loader
from wcord.data.split import MemorySplit

SAMPLES, BATCH, TARGET = 50_000, 64, 5.0


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """The usual way: an array, an image and three transforms for each sample."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.transform = transforms.Compose(
            [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[row])), row % 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (SAMPLES, 32, 32, 3), dtype=np.uint8)
    usual = DataLoader(Pictures(images), batch_size=BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    split = MemorySplit(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.arange(SAMPLES) % 100)
    ours = Loader(split, batch_size=BATCH, augment="crop-flip", shuffle=True)
    cases = {
        "torchvision, 2 workers": lambda: sum(len(target) for _, target in usual),
        "wcord, in memory": lambda: sum(len(batch) for batch in ours.batches()),
    }
    seconds = interleaved(cases, repeats=arguments.repeats)
    base = seconds["torchvision, 2 workers"]
    rows = [
        {
            "path": name,
            "images/s": round(SAMPLES / took),
            "speed-up": round(base / took, 2),
            "target": f"≥ {TARGET:g}" if took != base else "",
            "met": base / took >= TARGET if took != base else "",
        }
        for name, took in seconds.items()
    ]
    report(
        "Training batches, 50,000 images of 32×32, B=64, crop, flip and scaling, 2 cores, one thread a process",
        rows,
        arguments.out,
    )


if __name__ == "__main__":
    main()
