"""A teacher's cache is keyed by everything that its outputs depend on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.training.test_teacher_cache import SMALL

from wcord.data.images import Form
from wcord.data.split import MemorySplit, StreamSplit
from wcord.data.stores import FileImages
from wcord.setup.cache import fingerprint, open_cache
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, configure


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"batch_size": 12},
        {"subset": 7.0},
        {"split_seed": 1},
        {"augment": "none"},
        {"views": 2},
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"precision": "bf16"},
        {"channels_last": True},
        {"teacher_mean": (0.3,)},
        {"teacher_size": 16},
        {"teacher": "resnet14"},
        {"image_size": 10},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_that_changes_the_teachers_answer_has_a_folder_of_its_own(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    def folder(**settings: Any) -> Path:
        config = configure(DistillConfig, SMALL | {"out": tmp_path, "teacher_cache": tmp_path} | settings)
        cache = open_cache(prepare(config, Provided(), lambda line: None), print)
        assert cache is not None
        return cache.folder

    assert folder(**change) != folder()
    assert folder() == folder(method="lskd", epochs=1, lr=0.3, workers=0)


def test_rotated_batches_have_a_folder_of_their_own_which_all_their_methods_share(tmp_path: Path) -> None:
    caches = []
    for method in ("kd", "sskd", "mlkd+kd"):
        config = configure(DistillConfig, SMALL | {"out": tmp_path, "teacher_cache": tmp_path, "method": method})
        caches.append(open_cache(prepare(config, Provided(), lambda line: None), print))
    plain, *rotated = [cache for cache in caches if cache is not None]
    assert [cache.batch_size for cache in rotated] == [4 * plain.batch_size] * 2
    assert plain.folder != rotated[0].folder == rotated[1].folder


def test_pictures_are_part_of_the_key() -> None:
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    assert fingerprint(MemorySplit(images, torch.zeros(2).long())) != fingerprint(
        MemorySplit(images + 1, torch.zeros(2).long())
    )


def test_streamed_pictures_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for folder, value in (("a", 0), ("b", 1), ("c", 0)):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4), value).save(tmp_path / folder / "0.bmp")

    def split(folder: str) -> StreamSplit:
        store = FileImages([tmp_path / folder / "0.bmp"])
        return StreamSplit(store, torch.arange(1), torch.zeros(1).long(), Form("L", 4, 4))

    assert fingerprint(split("a")) == fingerprint(split("a"))
    assert fingerprint(split("a")) != fingerprint(split("b"))
    assert fingerprint(split("a")) == fingerprint(split("c"))  # the same pictures in another place
