"""A teacher's outputs kept for other runs: the same numbers with and without, and never those of another teacher."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wcord import api
from wcord.data.split import MemorySplit
from wcord.features import Features
from wcord.training.config import DistillConfig, configure
from wcord.training.loop import Trainer
from wcord.training.teacher_cache import TeacherCache, fingerprint

SMALL: dict[str, object] = {
    "teacher": "resnet8",
    "student": "resnet8",
    "method": "kd",
    "allow_weak_teacher": True,
    "subset": 6.0,
    "batch_size": 24,
    "epochs": 2,
    "device": "cpu",
}


def run(out: Path, **settings: Any) -> list[dict[str, Any]]:
    result = api.start(configure(DistillConfig, SMALL | {"out": out} | settings), say=lambda line: None)
    lines = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_a_run_from_the_cache_is_the_run_without_it_and_the_teacher_rests(tmp_path: Path, monkeypatch: Any) -> None:
    plain = run(tmp_path / "plain")
    filled = run(tmp_path / "filled", teacher_cache=tmp_path / "cache")
    assert filled == plain
    files = sorted(path.name for path in (tmp_path / "cache").rglob("*"))[1:]
    assert [name for name in files if name.startswith("epoch")] == ["epoch-0000.safetensors", "epoch-0001.safetensors"]

    forwards: list[int] = []
    teach = Trainer._teach

    def counting(trainer: Trainer, batch: Any, teacher: Any) -> Features:
        return teach(trainer, batch, lambda images: forwards.append(1) or teacher(images))

    monkeypatch.setattr(Trainer, "_teach", counting)
    assert run(tmp_path / "again", teacher_cache=tmp_path / "cache") == plain
    assert not forwards
    # Another method over the same batches uses it too; another seed does not.
    run(tmp_path / "other", teacher_cache=tmp_path / "cache", method="lskd")
    assert not forwards
    run(tmp_path / "seed", teacher_cache=tmp_path / "cache", seed=1)
    assert len(forwards) == 2 * 3


def network(scale: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, scale)
    nn.init.zeros_(layer.bias)
    return layer


def test_what_was_written_comes_back_for_the_same_teacher_and_batches_only(tmp_path: Path) -> None:
    features = Features(torch.rand(3, 2), torch.rand(3, 4))
    cache = TeacherCache(tmp_path, network(1.0), {"seed": 0}, batch_size=2)
    assert cache.read(0, 0) is None
    cache.write(0, 0, Features(features.logits[:2], features.embedding[:2]), last=False)
    cache.write(0, 1, Features(features.logits[2:], features.embedding[2:]), last=True)
    for teacher, about, known in (
        (network(1.0), {"seed": 0}, True),
        (network(1.0), {"seed": 1}, False),
        (network(2.0), {"seed": 0}, False),
    ):
        other = TeacherCache(tmp_path, teacher, about, batch_size=2)
        assert (other.read(0, 1) is not None) == known
        assert other.read(1, 0) is None
    again = TeacherCache(tmp_path, network(1.0), {"seed": 0}, batch_size=2)
    for number, rows in enumerate((slice(0, 2), slice(2, 3))):
        found = again.read(0, number)
        assert found is not None
        assert torch.equal(found.logits, features.logits[rows])
        assert torch.equal(found.embedding, features.embedding[rows])


def test_an_epoch_that_was_not_seen_whole_is_not_kept(tmp_path: Path) -> None:
    part = Features(torch.rand(2, 2), torch.rand(2, 4))
    cache = TeacherCache(tmp_path, network(1.0), {}, batch_size=2)
    cache.write(0, 1, part, last=True)  # resumed at batch 1
    assert TeacherCache(tmp_path, network(1.0), {}, batch_size=2).read(0, 0) is None


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    part = Features(torch.rand(2, 2), torch.rand(2, 4))
    cache = TeacherCache(tmp_path, network(1.0), {}, batch_size=2)
    cache.write(0, 0, part, last=True)
    next(tmp_path.rglob("epoch-0000.safetensors")).write_bytes(b"half")
    again = TeacherCache(tmp_path, network(1.0), {}, batch_size=2)
    assert again.read(0, 0) is None
    again.write(0, 0, part, last=True)
    assert TeacherCache(tmp_path, network(1.0), {}, batch_size=2).read(0, 0) is not None


def test_pictures_are_part_of_the_key() -> None:
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    assert fingerprint(MemorySplit(images, torch.zeros(2).long())) != fingerprint(
        MemorySplit(images + 1, torch.zeros(2).long())
    )
