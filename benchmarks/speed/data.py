"""Training batches at CIFAR size: the in-memory path against torchvision transforms in a DataLoader with 2 workers."""

import numpy as np
import torch
from harness import interleaved, options, place, report
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from wcord.data.loader import Loader
from wcord.data.split import MemorySplit

SAMPLES, BATCH, WORKERS, TOGETHER, TARGET = 50_000, 64, 2, 16, 5.0


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """The usual pipeline: an array, an image and three transforms for each sample."""

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
    arguments = options(__doc__, repeats=3)
    device = arguments.device
    images = np.random.default_rng(0).integers(0, 256, (SAMPLES, 32, 32, 3), dtype=np.uint8)
    usual = DataLoader(
        Pictures(images),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    split = MemorySplit(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.arange(SAMPLES) % 100)
    ours, together = (
        Loader(split, batch_size=BATCH, augment="crop-flip", shuffle=True, device=device, together=count)
        for count in (1, TOGETHER)
    )
    usual_name = f"torchvision, {WORKERS} workers"
    cases = {
        usual_name: lambda: sum(len(batch.to(device, non_blocking=True)) for batch, _ in usual),
        "wcord, in memory": lambda: sum(len(batch) for batch in ours.batches()),
        f"wcord, in memory, {TOGETHER} batches together": lambda: sum(len(batch) for batch in together.batches()),
    }
    seconds = interleaved(cases, repeats=arguments.repeats, device=device)
    base = seconds[usual_name]
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
    what = f"{SAMPLES:,} images of 32×32, B={BATCH}, crop, flip and scaling"
    report(f"Training batches, {what}, {place(device)}", rows, arguments.out)


if __name__ == "__main__":
    main()
