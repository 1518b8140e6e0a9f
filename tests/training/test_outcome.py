"""An outcome says how a call ended, and cannot be changed afterwards."""

import dataclasses

import pytest

from wcord.training.outcome import Outcome


def test_an_outcome_stays_as_it_was() -> None:
    outcome = Outcome("stopped", "received SIGTERM", 15, 2.5)
    assert (outcome.status, outcome.reason, outcome.signal, outcome.seconds) == ("stopped", "received SIGTERM", 15, 2.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.status = "finished"  # that is what is tried
