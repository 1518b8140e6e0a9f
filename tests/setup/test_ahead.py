"""How far a teacher is ahead is recorded, bounded by an epoch and by memory, and left to a cache where there is one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_captured import SETTINGS
from tests.training.test_loop import SMALL, silent

from wcord import api
from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.images import Form
from wcord.data.split import MemorySplit, Split, StreamSplit
from wcord.data.stores import FileImages
from wcord.setup.ahead import made_together, with_teacher_ahead
from wcord.training.config import DistillConfig, TrainConfig, configure

CPU = torch.device("cpu")


@pytest.mark.parametrize(("given", "kept"), [({}, 1), ({"teacher_ahead": 3}, 3), ({"teacher_ahead": 1000}, 5)])
def test_how_far_the_teacher_is_ahead_is_recorded(tmp_path: Path, given: dict[str, int], kept: int) -> None:
    """At most an epoch, which here has 5 batches."""
    config = configure(DistillConfig, SMALL | {"out": tmp_path / "run", "method": "kd", "set": [], "epochs": 1} | given)
    api.start(config, say=silent)
    settings = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["training"]
    assert settings["teacher_ahead"] == kept


@pytest.mark.parametrize(("given", "message"), [(0, "teacher_ahead must be"), (2.5, "teacher_ahead")])
def test_a_teacher_that_is_no_batch_ahead_is_refused(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(DistillConfig, SMALL | {"out": tmp_path / "run", "teacher_ahead": given})


def test_a_cache_and_a_teacher_ahead_do_the_same_work(tmp_path: Path) -> None:
    settings = SMALL | {"out": tmp_path / "run", "teacher_ahead": 2, "teacher_cache": tmp_path / "cache"}
    with pytest.raises(UsageError, match="--teacher-cache holds what --teacher-ahead would compute: leave out one"):
        api.start(configure(DistillConfig, settings), say=silent)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("size", "streamed", "ahead", "together"),
    [(8, False, 16, 16), (112, False, 13, 13), (512, False, 1, 1), (8, True, 1, 1)],
)
def test_on_a_gpu_small_batches_are_made_together(size: int, streamed: bool, ahead: int, together: int) -> None:
    """Both networks' inputs of a pass stay below 64 MB, and pictures that have to be decoded come one batch a time."""
    targets = torch.arange(400) % 4
    shape = (3, size, size)
    if streamed:
        split: Split = StreamSplit(FileImages([]), torch.arange(400), targets, Form("RGB", size, size))
    else:
        split = MemorySplit(torch.zeros(1, dtype=torch.uint8).expand(400, *shape), targets)
    data = DataSet(split, split, ("a", "b", "c", "d"), "made up", "none")
    config = configure(DistillConfig, SETTINGS | {"out": "run", "batch_size": 16})
    assert with_teacher_ahead(config, data, CPU).training.teacher_ahead == 1
    on_gpu = with_teacher_ahead(config, data, torch.device("cuda"))
    assert on_gpu.training.teacher_ahead == ahead
    assert made_together(on_gpu, data, torch.device("cuda")) == together
    alone = configure(TrainConfig, {"model": "resnet8", "out": "run", "batch_size": 16})
    assert with_teacher_ahead(alone, data, torch.device("cuda")).training.teacher_ahead == 1
    assert made_together(alone, data, torch.device("cuda")) == together
