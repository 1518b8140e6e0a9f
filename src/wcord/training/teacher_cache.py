"""The teacher's logits and embeddings of whole epochs on disk, so that runs over the same batches share one teacher.

Batch k of epoch e depends on seed, e and k alone, so all methods that train with one seed show their teacher the same
pictures. What it said to them is kept by epoch, each in a file of its own that is there whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from wcord.data.split import MemorySplit, Split
from wcord.features import Features
from wcord.files import write_atomically


class TeacherCache:
    """What a teacher gives for the batches of one seed.

    Several processes may fill it at once: they compute the same, and the last to finish an epoch leaves its file.

    Args:
        folder: where all teachers' outputs are kept.
        teacher: the network; its weights are part of the key.
        about: everything else that the batches and the arithmetic depend on, as JSON can hold it.
        batch_size: rows of a batch, to find a batch in its epoch.
    """

    def __init__(self, folder: Path, teacher: nn.Module, about: Mapping[str, object], *, batch_size: int) -> None:
        told = json.dumps(about, sort_keys=True, default=str)
        self.folder = folder / _digest(teacher, told)
        self.about = told
        self.batch_size = batch_size
        self._epoch: int | None = None
        self._known: dict[str, Tensor] | None = None
        self._fresh: list[Features] = []

    def read(self, epoch: int, number: int) -> Features | None:
        """Return what the teacher gave for a batch, or None where that is not known yet."""
        self._turn_to(epoch)
        if self._known is None:
            return None
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return Features(self._known["logits"][rows], self._known["embedding"][rows])

    def write(self, epoch: int, number: int, features: Features, *, last: bool) -> None:
        """Note what the teacher gave; with the last batch an epoch that was seen from its first is saved."""
        self._turn_to(epoch)
        if number != len(self._fresh):
            return  # the run was resumed within the epoch
        self._fresh.append(Features(features.logits.detach().cpu(), features.embedding.detach().cpu()))
        if last:
            tensors = {
                "logits": torch.cat([one.logits for one in self._fresh]),
                "embedding": torch.cat([one.embedding for one in self._fresh]),
            }
            write_atomically(self.folder / "about.json", self.about.encode())
            write_atomically(self._path(epoch), save(tensors))
            self._fresh = []

    def _turn_to(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, self._fresh, self._known = epoch, [], None
        if self._path(epoch).is_file():
            try:
                self._known = load_file(self._path(epoch))
            except (OSError, SafetensorError):
                self._known = None  # a damaged file is computed and written again

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.safetensors"


def fingerprint(split: Split) -> str:
    """Return what identifies a split's pictures: a digest of them where they are in memory, else their number."""
    if not isinstance(split, MemorySplit):
        return f"{len(split)} streamed"
    return hashlib.sha256(split.images.cpu().contiguous().numpy().tobytes()).hexdigest()


def _digest(teacher: nn.Module, about: str) -> str:
    """Return a name that depends on every weight and setting."""
    digest = hashlib.sha256(about.encode())
    for name, value in teacher.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:20]
