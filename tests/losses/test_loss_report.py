"""A report keeps what it was given and cannot be changed."""

import dataclasses

import pytest
import torch

from wcord.losses import LossReport


def test_parts_can_be_differentiated_by_themselves():
    x = torch.tensor(2.0, requires_grad=True)
    report = LossReport(0.5 * x**2, {"square": x**2})
    report.parts["square"].backward()
    assert x.grad == 4.0


def test_diagnostics_are_apart_and_not_shared():
    first, second = (LossReport(torch.zeros(()), {}) for _ in range(2))
    first.diagnostics["mass"] = torch.ones(())
    assert second.diagnostics == {}
    assert first.parts == {}


def test_is_frozen():
    report = LossReport(torch.zeros(()), {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.total = torch.ones(())
