"""A teacher's outputs kept for other runs: the same numbers with and without, and never those of another teacher."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from wcord import api
from wcord.checks import UsageError
from wcord.features import Features
from wcord.training.config import DistillConfig, configure
from wcord.training.teacher_cache import TeacherCache
from wcord.training.teaching import Teacher

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
    teach = Teacher.__call__

    def counting(teacher: Teacher, images: torch.Tensor) -> Features:
        forwards.append(1)
        return teach(teacher, images)

    monkeypatch.setattr(Teacher, "__call__", counting)
    assert run(tmp_path / "again", teacher_cache=tmp_path / "cache") == plain
    assert len(forwards) == 2  # the first batch of each epoch, to see whether the file can be trusted
    # Another method over the same batches uses it too; another seed does not.
    run(tmp_path / "other", teacher_cache=tmp_path / "cache", method="lskd")
    assert len(forwards) == 4
    run(tmp_path / "seed", teacher_cache=tmp_path / "cache", seed=1)
    assert len(forwards) == 4 + 2 * 3


def test_what_the_key_cannot_hold_shows_in_the_first_batch(tmp_path: Path, monkeypatch: Any) -> None:
    """A teacher that computes otherwise than the one that filled the cache is not answered from it."""
    settings: dict[str, Any] = {"teacher_cache": tmp_path / "cache"}
    run(tmp_path / "filled", **settings)
    teach = Teacher.__call__

    def louder(teacher: Teacher, images: torch.Tensor, **how: Any) -> Features:
        features = teach(teacher, images, **how)
        return Features(2 * features.logits, features.embedding)

    monkeypatch.setattr(Teacher, "__call__", louder)
    assert run(tmp_path / "mistaken", **settings) == run(tmp_path / "without")


def network(scale: float) -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, scale)
    nn.init.zeros_(layer.bias)
    return layer


def ask(cache: TeacherCache, epoch: int, number: int, rows: slice, *, last: bool = False) -> tuple[Features, bool]:
    """Return what the cache says of a batch, and whether the teacher ran."""
    ran: list[bool] = []

    def compute() -> Features:
        ran.append(True)
        return Features(LOGITS[rows], EMBEDDING[rows])

    return cache.features(epoch, number, compute, last=last), bool(ran)


LOGITS, EMBEDDING = torch.arange(10.0).reshape(5, 2), torch.arange(20.0).reshape(5, 4)
BATCHES = (slice(0, 2), slice(2, 4), slice(4, 5))


def filled(folder: Path, say: Callable[[str], None] = print) -> TeacherCache:
    cache = TeacherCache(folder, network(1.0), {"seed": 0}, batch_size=2, say=say)
    for number, rows in enumerate(BATCHES):
        assert ask(cache, 0, number, rows, last=number == 2)[1]
    return cache


def test_what_was_computed_comes_back_for_the_same_teacher_and_batches_only(tmp_path: Path) -> None:
    filled(tmp_path)
    for teacher, about, known in (
        (network(1.0), {"seed": 0}, True),
        (network(1.0), {"seed": 1}, False),
        (network(2.0), {"seed": 0}, False),
    ):
        other = TeacherCache(tmp_path, teacher, about, batch_size=2)
        runs = [ask(other, 0, number, rows) for number, rows in enumerate(BATCHES)]
        assert [ran for _, ran in runs] == ([True, False, False] if known else [True] * 3)
        for (features, _), rows in zip(runs, BATCHES, strict=True):
            assert torch.equal(features.logits, LOGITS[rows])
            assert torch.equal(features.embedding, EMBEDDING[rows])
        assert ask(other, 1, 0, BATCHES[0])[1]


def test_an_epoch_that_was_not_seen_whole_is_not_kept(tmp_path: Path) -> None:
    cache = TeacherCache(tmp_path, network(1.0), {}, batch_size=2)
    ask(cache, 0, 2, BATCHES[2], last=True)  # resumed at batch 2
    assert not list(tmp_path.rglob("epoch-*"))


@pytest.mark.parametrize("damage", ["cut", "first byte", "a logit", "an embedding", "a checksum", "no checksum"])
def test_a_damaged_file_is_computed_again_and_told(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    path = next(tmp_path.rglob("epoch-0000.safetensors"))
    content = bytearray(path.read_bytes())
    places = {"first byte": 0, "a logit": -1, "an embedding": -60, "a checksum": content.index(b"sha256_tensors") + 20}
    if damage in places:
        content[places[damage]] ^= 1
    path.write_bytes(content[: len(content) - 5] if damage == "cut" else content)
    if damage == "no checksum":  # of an earlier version
        save_file({"logits": LOGITS, "embedding": EMBEDDING}, path)
    said: list[str] = []
    assert filled(tmp_path, said.append)
    (line,) = said
    assert line.startswith(f"note: --teacher-cache: {str(path)!r} is not used (")
    assert line.endswith("): the teacher computes it again")
    again = TeacherCache(tmp_path, network(1.0), {"seed": 0}, batch_size=2, say=said.append)
    assert [ask(again, 0, number, rows)[1] for number, rows in enumerate(BATCHES)] == [True, False, False]
    assert len(said) == 1


@pytest.mark.parametrize("place", ["/proc/x", "file", "file/below"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--teacher-cache '.* cannot be written: '"):
        run(tmp_path / "run", teacher_cache=tmp_path / place)
    assert not (tmp_path / "run").exists()


def test_a_full_disk_costs_the_cache_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    cache = TeacherCache(tmp_path, network(1.0), {"seed": 0}, batch_size=5, say=said.append)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert torch.equal(ask(cache, 0, 0, slice(0, 5), last=True)[0].logits, LOGITS)
    assert "note: --teacher-cache: epoch 1 is not saved: cannot write " in said[0]
