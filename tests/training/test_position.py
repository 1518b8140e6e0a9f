"""Counting: whatever is accumulated, batches make the steps of the optimiser that their number says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.training.position import Position


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 3), st.integers(0, 2))
def test_walking_through_a_run_counts_each_step_once(
    batches: int, accumulation: int, epochs: int, prepared: int
) -> None:
    at = Position(batches=batches, accumulation=accumulation, epochs=epochs, prepared_epochs=prepared)
    at.stage = "preparation" if prepared else "main"
    steps = 0
    for stage in ("preparation", "main") if prepared else ("main",):
        at.stage, at.epoch = stage, 0
        for _ in range(at.stage_epochs):
            waiting: list[int] = []
            for _ in range(batches):
                assert at.between_steps == (not waiting)
                assert at.steps_done == steps
                waiting.append(at.batch)
                if at.closes_step:
                    assert waiting == list(at.batches_of_step)
                    waiting, steps = [], steps + 1
                at.batch += 1
            assert not waiting
            assert at.between_steps
            assert at.steps_done == steps
            at.epoch, at.batch = at.epoch + 1, 0
    assert steps == at.steps_done == at.total_steps


@pytest.mark.parametrize(("accumulation", "steps"), [(1, 7), (2, 4), (3, 3), (7, 1), (100, 1)])
def test_the_last_step_of_an_epoch_may_have_fewer_batches(accumulation: int, steps: int) -> None:
    at = Position(batches=7, accumulation=accumulation, epochs=1)
    assert at.epoch_steps == steps
    at.batch = 6
    assert at.closes_step
    assert at.batches_of_step.stop == 7
