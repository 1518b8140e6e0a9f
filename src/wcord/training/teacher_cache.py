"""The teacher's logits and embeddings of whole epochs on disk, so that runs over the same batches compute them once.

Batch k of epoch e depends on seed, e and k alone, so the teacher gets the same samples in all methods with one seed.
Outputs are stored in one file per epoch, written atomically with a digest of its contents; an epoch without a digest,
or with a wrong one, is computed again. The key covers the settings of teacher and samples. What it cannot cover (the
code of a user's teacher, files changed in place, the arithmetic of another machine) shows in the first batch of each
file: the teacher runs on it too, and if the outputs differ, the epoch is computed again.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wcord.checks import RunError, UsageError
from wcord.features import Features
from wcord.files import write_atomically
from wcord.seal import damage_of_tensors, digest_of, is_sealed, sealed


class TeacherCache:
    """A teacher's outputs for the batches of one seed.

    Several processes may fill it at once: they compute equal values, and the last to finish an epoch writes its file.

    Args:
        folder: folder of all teachers' outputs.
        teacher: the network; its weights are part of the key.
        about: everything else that the batches and the arithmetic depend on, as JSON values.
        batch_size: rows of a batch, to locate a batch in its epoch.
        say: takes a line for each file that is damaged or cannot be written.

    Raises:
        UsageError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        teacher: nn.Module,
        about: Mapping[str, object],
        *,
        batch_size: int,
        say: Callable[[str], None] = print,
    ) -> None:
        text = json.dumps(about, sort_keys=True, default=str)
        self.folder = folder / digest_of(teacher.state_dict(), text)[:20]
        self.batch_size = batch_size
        self.say = say
        try:  # fail now rather than after an epoch
            write_atomically(self.folder / "about.json", text.encode())
        except RunError as error:
            raise UsageError(f"--teacher-cache: {error}") from None
        self._epoch: int | None = None
        self._stored: dict[str, Tensor] | None = None
        self._trusted = False
        self._fresh: list[Features] = []

    def features(self, epoch: int, number: int, compute: Callable[[], Features], *, last: bool) -> Features:
        """Return the teacher's outputs for a batch, from the epoch's file or computed.

        An epoch that was computed from its first batch is saved with its last one.

        Args:
            epoch: number of the epoch, which fixes order and augmentation.
            number: position of the batch in its epoch.
            compute: runs the teacher on the batch.
            last: whether the batch is the epoch's last.
        """
        self._turn_to(epoch)
        stored = self._read(number)
        if stored is not None and self._trusted:
            return stored
        computed = compute()
        self._trusted = stored is not None and _equal(stored, computed)
        if not self._trusted:
            self._stored = None
            self._note(epoch, number, computed, last=last)
        return computed

    def _read(self, number: int) -> Features | None:
        if self._stored is None:
            return None
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return Features(self._stored["logits"][rows], self._stored["embedding"][rows])

    def _note(self, epoch: int, number: int, features: Features, *, last: bool) -> None:
        if number != len(self._fresh):
            return  # the run was resumed in mid-epoch
        self._fresh.append(Features(features.logits.detach().cpu(), features.embedding.detach().cpu()))
        if last:
            tensors = {
                "logits": torch.cat([one.logits for one in self._fresh]),
                "embedding": torch.cat([one.embedding for one in self._fresh]),
            }
            self._fresh = []
            try:
                write_atomically(self._path(epoch), save(tensors, sealed({}, tensors)))
            except RunError as error:  # the run does not need it
                self.say(f"note: --teacher-cache: epoch {epoch + 1} is not saved: {error}")

    def _turn_to(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, self._fresh, self._stored, self._trusted = epoch, [], None, False
        path = self._path(epoch)
        if not path.is_file():
            return
        try:
            with safe_open(path, "pt") as file:
                metadata, stored = file.metadata(), file.get_tensors()
        except (OSError, SafetensorError) as error:
            damage = " ".join(str(error).split())
        else:
            damage = damage_of_tensors(metadata, stored) if is_sealed(metadata) else "it holds no checksum"
            self._stored = stored if damage is None else None
        if damage is not None:
            self.say(f"note: --teacher-cache: {str(path)!r} is not used ({damage}): the teacher computes it again")

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.safetensors"


def _equal(one: Features, other: Features) -> bool:
    pairs = ((one.logits, other.logits), (one.embedding, other.embedding))
    return all(torch.equal(stored, computed.detach().cpu()) for stored, computed in pairs)
