"""Workers end with whoever reads from them, in whatever way that ends; tests/robustness kills them."""

import os
import signal
from multiprocessing import active_children
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from wcord.checks import RunError, UsageError
from wcord.data.augment import draw
from wcord.data.images import Form
from wcord.data.split import MemorySplit, StreamSplit
from wcord.data.stores import FileImages
from wcord.data.workers import (
    Decoding,
    WorkerLostError,
    _LostWorkerHandler,
    images_or_raise,
    leave_signals_to_main,
    read_by_workers,
)


class Numbers(Dataset[int]):
    def __init__(self, count: int, fatal: int = -1) -> None:
        self.count, self.fatal = count, fatal

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> int:
        if number == self.fatal:
            os.kill(os.getpid(), signal.SIGBUS)
        return number


def loader(count: int, fatal: int = -1) -> DataLoader[int]:
    generator = torch.Generator()
    options = {"batch_size": None, "num_workers": 2, "worker_init_fn": leave_signals_to_main}
    return DataLoader(Numbers(count, fatal), generator=generator, **options)


def test_items_come_in_order_and_no_worker_is_left() -> None:
    assert list(read_by_workers(loader(20), str)) == list(range(20))
    assert not active_children()


def test_a_reader_that_stops_early_leaves_no_worker() -> None:
    items = read_by_workers(loader(200), str)
    assert next(items) == 0
    assert len(active_children()) == 2
    items.close()
    assert not active_children()


def test_an_error_of_the_reader_leaves_no_worker() -> None:
    with pytest.raises(ZeroDivisionError):
        sum(1 / item for item in read_by_workers(loader(200), str))
    assert not active_children()


def test_a_signal_names_its_likely_cause() -> None:
    with pytest.raises(WorkerLostError, match=r"killed \(signal 7\), most likely for lack of shared memory") as found:
        list(read_by_workers(loader(50, fatal=9), str))
    assert isinstance(found.value, RunError)
    assert not active_children()
    assert list(read_by_workers(loader(3), str)) == [0, 1, 2], "another loader is not concerned"


@pytest.fixture
def split(tmp_path: Path) -> StreamSplit:
    """Four pictures of 12×10 pixels, each of one shade, the last of which is damaged."""
    paths = [tmp_path / f"{shade}.png" for shade in range(4)]
    for shade, path in enumerate(paths):
        Image.fromarray(np.full((12, 10, 3), 50 * shade, np.uint8)).save(path)
    paths[3].write_bytes(paths[3].read_bytes()[:40])
    return StreamSplit(FileImages(paths), torch.arange(4), torch.tensor([0, 1, 0, 1]), Form("RGB", 8, 8))


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Killed. ",
            "was killed .signal 9., most likely for lack of mem",
        ),
        ("DataLoader worker (pid 7) is killed by signal: Terminated. ", "was killed .signal 15.: give --workers 0"),
        (
            "DataLoader worker (pid 7) exited unexpectedly with exit code 3. Details are lost",
            "ended .exit code 3.: give",
        ),
    ],
)
def test_a_worker_whose_exit_code_another_thread_has_taken_is_reported_by_the_signal(report: str, line: str) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise RuntimeError(report)

    with pytest.raises(WorkerLostError, match=line):
        _LostWorkerHandler(handler)(signal.SIGCHLD, None)


def test_each_batch_holds_its_rows(split: StreamSplit) -> None:
    decoding = Decoding(split, [torch.tensor([2, 0]), torch.tensor([1])], None, first=0, views=1)
    assert len(decoding) == 2
    assert [int(picture.max()) for picture in images_or_raise(decoding[0])] == [100, 0]
    assert images_or_raise(decoding[1]).shape == (1, 3, 8, 8)


def test_crops_are_those_of_the_batch_in_its_epoch_in_every_view(split: StreamSplit) -> None:
    numbers: list[int] = []

    def crops(number: int) -> torch.Tensor:
        numbers.append(number)
        return draw("resized-crop", 4, 8, 8, torch.Generator().manual_seed(number))

    decoding = Decoding(split, [torch.tensor([0, 2]), torch.tensor([1, 2])], crops, first=5, views=2)
    assert [int(picture.max()) for picture in images_or_raise(decoding[1])] == [50, 100, 50, 100]
    assert numbers == [6]


@pytest.mark.parametrize("kind", [MemoryError, UsageError])
def test_an_error_is_handed_over_and_raised_by_who_takes_it(
    split: StreamSplit, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    decoding = Decoding(split, [torch.tensor([0, 3])], None, first=0, views=1)
    if kind is MemoryError:

        def full(*_: object) -> None:
            raise MemoryError("no room")

        monkeypatch.setattr(StreamSplit, "read", full)
    handed = decoding[0]
    assert isinstance(handed, kind)
    with pytest.raises(kind, match="no room" if kind is MemoryError else "3.png"):
        images_or_raise(handed)


def test_a_batch_is_named_by_its_number_in_the_epoch_and_its_first_picture(split: StreamSplit) -> None:
    streamed = Decoding(split, [torch.tensor([1, 0])], None, first=7, views=1)
    assert streamed.name(0).startswith("batch 7 of the epoch, from ")
    assert "1.png" in streamed.name(0)
    memory = MemorySplit(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    assert Decoding(memory, [torch.tensor([0])], None, first=0, views=1).name(0) == "batch 0 of the epoch"
