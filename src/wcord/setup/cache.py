"""The cache of a run's teacher, keyed by everything that the teacher's outputs depend on."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping

import torch

from wcord.data import contents
from wcord.data.split import MemorySplit, Split, StreamSplit, ViewedSplit
from wcord.scope import members, scopes
from wcord.setup.job import Job
from wcord.training.config import DistillConfig, TrainConfig, setting_values
from wcord.training.teacher_cache import TeacherCache

SETTINGS = scopes(DistillConfig)


def open_cache(job: Job, say: Callable[[str], None]) -> TeacherCache | None:
    """Return the cache of a run, if it has one, keyed by everything that the teacher's outputs depend on.

    Raises:
        UsageError: its folder cannot be written.
    """
    training, folder = job.config.training, job.config.training.teacher_cache
    if folder is None or job.teacher is None or job.train.world_size > 1:
        return None
    if job.objective.teaches:
        say("note: the teacher trains, so its outputs change from step to step: --teacher-cache has no effect")
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
    if job.train.rotations > 1:
        about["rotations"] = job.train.rotations
    return TeacherCache(folder, job.teacher, about, batch_size=training.batch_size * job.train.copies, say=say)


def _pairing_key(job: Job) -> dict[str, object]:
    """Return the settings that pair the teacher's samples with the batches."""
    if isinstance(job.config, TrainConfig):
        return {}
    names = {name for table in ("teacher_data", "pairing") for name in members(DistillConfig)[table]}
    paired = {name: value for name, value in setting_values(job.config).items() if name in names}
    key = _key(paired, job.data.of_teacher.name)
    if job.data.teacher is not None and job.data.pairs == "label":  # labels select the sample drawn
        whole = contents.contents_of(job.data)
        key |= {"labels": [whole["train"]["labels"], whole["teacher"]["train"]["labels"]]}
    return key


def _key(settings: Mapping[str, object], source: str) -> dict[str, object]:
    """Return the settings that select the samples of a batch: the source by its name, nothing about the machine."""
    key: dict[str, object] = {}
    for name, value in settings.items():
        affects = SETTINGS[name]
        key[name] = None if affects.may_change or "file" in affects.facts else value
        if "source" in affects.facts:
            key[name] = source
    return key


def fingerprint(split: Split) -> str:
    """Return what identifies a split's pictures: a digest of them if they are in memory, else of their files."""
    if isinstance(split, ViewedSplit):
        return f"{fingerprint(split.base)} {split.view.text}"
    if isinstance(split, StreamSplit):
        return f"{contents.fingerprint(split.origin)} {split.form}"
    assert isinstance(split, MemorySplit)
    return hashlib.sha256(split.images.cpu().contiguous().numpy().tobytes()).hexdigest()
