"""The teacher's logits and embeddings of whole epochs on disk, so that runs over the same batches share one teacher.

Batch k of epoch e depends on seed, e and k alone, so all methods that train with one seed show their teacher the same
pictures. What it said to them is kept by epoch, each in a file of its own that is there whole or not at all, with a
digest of what it holds; where the two differ, or there is no digest, the epoch is computed again. The key
holds what can be known of teacher and pictures; what it cannot hold (the code of a teacher of one's own, files that
changed in place, another machine's arithmetic) shows in the first batch that a run takes from each file: the teacher
runs on it too, and where the two differ the epoch is computed again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wcord.checks import RunError, UsageError
from wcord.data import contents
from wcord.data.split import MemorySplit, Split, StreamSplit, ViewedSplit
from wcord.features import Features
from wcord.files import write_atomically
from wcord.scope import members, scopes
from wcord.seal import damage_of_tensors, digest_of, is_sealed, sealed
from wcord.training.config import DistillConfig, TrainConfig, setting_values
from wcord.training.job import Job

SETTINGS = scopes(DistillConfig)


class TeacherCache:
    """What a teacher gives for the batches of one seed.

    Several processes may fill it at once: they compute the same, and the last to finish an epoch leaves its file.

    Args:
        folder: where all teachers' outputs are kept.
        teacher: the network; its weights are part of the key.
        about: everything else that the batches and the arithmetic depend on, as JSON can hold it.
        batch_size: rows of a batch, to find a batch in its epoch.
        say: takes a line on each file that is damaged or cannot be written.

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
        told = json.dumps(about, sort_keys=True, default=str)
        self.folder = folder / digest_of(teacher.state_dict(), told)[:20]
        self.batch_size = batch_size
        self.say = say
        try:  # now, rather than after an epoch
            write_atomically(self.folder / "about.json", told.encode())
        except RunError as error:
            raise UsageError(f"--teacher-cache: {error}") from None
        self._epoch: int | None = None
        self._known: dict[str, Tensor] | None = None
        self._trusted = False
        self._fresh: list[Features] = []

    def features(self, epoch: int, number: int, compute: Callable[[], Features], *, last: bool) -> Features:
        """Return what the teacher gives for a batch: from the epoch's file, else computed and noted.

        With the last batch an epoch that was computed from its first is saved.

        Args:
            epoch: which order and augmentation.
            number: of the batch in its epoch.
            compute: runs the teacher on the batch.
            last: whether it is the epoch's last.
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


def open_cache(job: Job, say: Callable[[str], None]) -> TeacherCache | None:
    """Return the cache of a run, if it has one, keyed by everything that the teacher's outputs depend on.

    Raises:
        UsageError: its folder cannot be written.
    """
    training, folder = job.config.training, job.config.training.teacher_cache
    if folder is None or job.teacher is None or job.train.world_size > 1:
        return None
    about = {
        "data": _key(vars(job.config.data), job.data.name),
        "pairing": _pairing_key(job),
        "augment": job.data.augment,
        "pictures": fingerprint(job.data.of_teacher.train),
        "preprocess": {name: value.tolist() for name, value in job.teacher.preprocess.named_buffers()},
        "size": job.teacher.preprocess.size,
        "merge": [value.tolist() for name, value in job.teacher.named_buffers(recurse=False) if name == "merge"],
        "network": repr(job.teacher.backbone),
        "device": str(job.train.device.type),
        "torch": torch.__version__,
    }
    about |= {name: value for name, value in vars(training).items() if "teacher outputs" in SETTINGS[name].facts}
    if job.train.mixing is not None:
        about["mixing"] = dataclasses.asdict(job.train.mixing)
    return TeacherCache(folder, job.teacher, about, batch_size=training.batch_size * job.train.views, say=say)


def _pairing_key(job: Job) -> dict[str, object]:
    """Return how the teacher's samples belong to the batches."""
    if isinstance(job.config, TrainConfig):
        return {}
    names = {name for table in ("teacher_data", "pairing") for name in members(DistillConfig)[table]}
    paired = {name: value for name, value in setting_values(job.config).items() if name in names}
    key = _key(paired, job.data.of_teacher.name)
    if job.data.teacher is not None and job.data.pairs == "label":  # then labels decide which sample is drawn
        whole = contents.contents_of(job.data)
        key |= {"labels": [whole["train"]["labels"], whole["teacher"]["train"]["labels"]]}
    return key


def _key(settings: Mapping[str, object], source: str) -> dict[str, object]:
    """Return the settings that select the samples of a batch: the source by its name, nothing of one machine."""
    key: dict[str, object] = {}
    for name, value in settings.items():
        affects = SETTINGS[name]
        key[name] = None if affects.may_change or "file" in affects.facts else value
        if "source" in affects.facts:
            key[name] = source
    return key


def fingerprint(split: Split) -> str:
    """Return what identifies a split's pictures: a digest of them where they are in memory, else of their files."""
    if isinstance(split, ViewedSplit):
        return f"{fingerprint(split.base)} {split.view.text}"
    if isinstance(split, StreamSplit):
        return f"{contents.fingerprint(split.origin)} {split.form}"
    assert isinstance(split, MemorySplit)
    return hashlib.sha256(split.images.cpu().contiguous().numpy().tobytes()).hexdigest()


def _equal(one: Features, other: Features) -> bool:
    pairs = ((one.logits, other.logits), (one.embedding, other.embedding))
    return all(torch.equal(known, computed.detach().cpu()) for known, computed in pairs)
