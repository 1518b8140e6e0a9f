"""The teacher's logits and embeddings of whole epochs on disk, so that runs over the same batches share one teacher.

Batch k of epoch e depends on seed, e and k alone, so all methods that train with one seed show their teacher the same
samples. Outputs are stored one file per epoch, written atomically with a digest of its contents; an epoch without a
digest, or with a wrong one, is computed again. The key covers what is known of teacher and samples. What it cannot
cover (the code of a user's teacher, files that changed in place, the arithmetic of another machine) shows in the first
batch of each file: the teacher runs on it too, and if the outputs differ, the epoch is computed again.
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
        batch_size: rows of a batch, which locate a batch in its epoch.
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
        try:  # now, rather than after an epoch
            write_atomically(self.folder / "about.json", text.encode())
        except RunError as error:
            raise UsageError(f"--teacher-cache: {error}") from None
        self._epoch: int | None = None
        self._known: dict[str, Tensor] | None = None
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
        known = self._read(number)
        if known is not None and self._trusted:
            return known
        computed = compute()
        self._trusted = known is not None and _equal(known, computed)
        if not self._trusted:
            self._known = None
            self._note(epoch, number, computed, last=last)
        return computed

    def _read(self, number: int) -> Features | None:
        if self._known is None:
            return None
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return Features(self._known["logits"][rows], self._known["embedding"][rows])

    def _note(self, epoch: int, number: int, features: Features, *, last: bool) -> None:
        if number != len(self._fresh):
            return  # the run was resumed within the epoch
        self._fresh.append(Features(features.logits.detach().cpu(), features.embedding.detach().cpu()))
        if last:
            tensors = {
                "logits": torch.cat([one.logits for one in self._fresh]),
                "embedding": torch.cat([one.embedding for one in self._fresh]),
            }
            self._fresh = []
            try:
                write_atomically(self._path(epoch), save(tensors, sealed({}, tensors)))
            except RunError as error:  # the run does without it
                self.say(f"note: --teacher-cache: epoch {epoch + 1} is not kept: {error}")

    def _turn_to(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._epoch, self._fresh, self._known, self._trusted = epoch, [], None, False
        path = self._path(epoch)
        if not path.is_file():
            return
        try:
            with safe_open(path, "pt") as file:
                metadata, known = file.metadata(), file.get_tensors()
        except (OSError, SafetensorError) as error:
            damage = " ".join(str(error).split())
        else:
            damage = damage_of_tensors(metadata, known) if is_sealed(metadata) else "it holds no checksum"
            self._known = known if damage is None else None
        if damage is not None:
            self.say(f"note: --teacher-cache: {str(path)!r} is not used ({damage}): the teacher computes it again")

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.safetensors"


def _equal(one: Features, other: Features) -> bool:
    pairs = ((one.logits, other.logits), (one.embedding, other.embedding))
    return all(torch.equal(known, computed.detach().cpu()) for known, computed in pairs)
