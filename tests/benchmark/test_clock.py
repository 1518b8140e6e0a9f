"""The time that is left, less a reserve."""

import time

import pytest

from wcord.benchmark.attempt import Clock


def test_without_a_limit_there_is_always_time() -> None:
    clock = Clock(None)
    assert clock.left is None
    assert not clock.over


@pytest.mark.parametrize(("minutes", "left"), [(10, 10 - 0.25), (1, 0.9)])
def test_a_part_is_held_back(minutes: float, left: float) -> None:
    assert Clock(minutes).left == pytest.approx(left, abs=0.01)


def test_nothing_is_left_of_nothing() -> None:
    clock = Clock(0.0)
    assert clock.over
    started = time.monotonic()
    clock.sleep(30)
    assert time.monotonic() - started < 1


def test_less_than_half_a_minute_is_too_little_to_begin_with() -> None:
    assert Clock(0.5).over
    assert not Clock(1.0).over
    assert Clock(0.5).reason == "reached --max-time of 0.5 minutes"
