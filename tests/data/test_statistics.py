"""Mean and standard deviation of each channel against NumPy."""

import numpy as np
import torch

from wcord.data.split import MemorySplit
from wcord.data.statistics import channel_statistics


def test_bytes_and_floats_agree_with_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 9, 7), dtype=np.uint8)
    for values in (images, (images / 255).astype(np.float32)):
        mean, std = channel_statistics(MemorySplit(torch.from_numpy(values), torch.zeros(50).long()))
        unit = images / 255
        np.testing.assert_allclose(mean, unit.mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(std, unit.std(axis=(0, 2, 3)), rtol=1e-5)
