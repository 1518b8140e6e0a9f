"""Signals become a wish to stop; the second one is not held back."""

import signal
import threading
import time

import pytest
import torch

from wcord.training.interrupt import TIME_IS_UP, Interrupt

CPU = torch.device("cpu")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_sets_the_flag(number: signal.Signals) -> None:
    previous = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert interrupt.received is None
        signal.raise_signal(number)
        assert interrupt.received is number
    assert signal.getsignal(number) is previous


def test_second_ctrl_c_raises() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background ignores Ctrl-C
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.received is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with Interrupt() as interrupt:
            seen.append(interrupt.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_signal_says_more_than_the_end_of_the_time() -> None:
    assert Interrupt().request(CPU) == 0
    assert Interrupt(deadline=time.monotonic() + 60).request(CPU) == 0
    with Interrupt(deadline=time.monotonic() - 1) as interrupt:
        assert interrupt.request(CPU) == TIME_IS_UP
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.request(CPU) == signal.SIGTERM
    assert min(Interrupt.SIGNALS) > TIME_IS_UP
