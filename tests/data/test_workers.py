"""Workers end with whoever reads from them, in whatever way that ends; tests/robustness kills them."""

import os
import signal
from multiprocessing import active_children

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from wcord.checks import RunError
from wcord.data.workers import WorkerLostError, leave_signals_to_main, read_by_workers


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
