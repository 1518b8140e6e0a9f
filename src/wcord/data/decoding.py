"""Decode a split batch by batch, in this process or in workers."""

from collections.abc import Callable

from torch import Tensor
from torch.utils.data import Dataset

from wcord.checks import RunError, UsageError
from wcord.data.split import Split, StreamSplit


class Decoding(Dataset["Tensor | Exception"]):
    """Decodes batch by batch in a worker; hands an error over as it is, where raising would wrap it."""

    def __init__(
        self,
        split: Split,
        shares: list[Tensor],
        crops: Callable[[int], Tensor] | None,
        first: int,
        views: int,
    ) -> None:
        self.split = split
        self.shares = shares
        self.crops = crops
        self.first = first
        self.views = views

    def __len__(self) -> int:
        return len(self.shares)

    def name(self, number: int) -> str:
        """Return what batch `number` is for a user."""
        first = (
            f", from {self.split.name(int(self.shares[number][0]))} on" if isinstance(self.split, StreamSplit) else ""
        )
        return f"batch {self.first + number} of the epoch{first}"

    def __getitem__(self, number: int) -> "Tensor | Exception":
        rows = self.shares[number]
        try:
            if self.crops is None:
                return self.split.read(rows)
            assert isinstance(self.split, StreamSplit)
            crops = self.crops(self.first + number)
            return self.split.read(rows.repeat(self.views), crops)
        except (UsageError, RunError) as error:
            return error
        except MemoryError as error:
            return MemoryError(str(error))  # NumPy's own cannot be sent to another process


def given(images: "Tensor | Exception") -> Tensor:
    """Return what a worker has decoded, or raise the error that it met."""
    if isinstance(images, Exception):
        raise images
    return images
