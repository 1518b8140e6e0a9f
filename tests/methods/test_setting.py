"""A setting lends the networks to a method, which reads them while it is built and keeps none of them."""

import pytest
import torch
from tests.support.training_step import make_step

from wcord.methods.catalogue import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_no_weight_of_a_network_becomes_one_of_the_objective(method: str) -> None:
    step = make_step(method)
    networks = {id(p) for network in (step.student, step.teacher) for p in network.parameters()}
    assert not networks & {id(parameter) for parameter in step.objective.parameters()}
    buffers = {b.data_ptr() for network in (step.student, step.teacher) for b in network.buffers() if b.numel()}
    assert not buffers & {b.data_ptr() for b in step.objective.buffers() if b.numel() and torch.is_floating_point(b)}
