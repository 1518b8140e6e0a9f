"""The state of a run: what is saved is restored, and what does not fit is refused in one line."""

from pathlib import Path

import pytest
import torch

from wcord.checks import RunError, UsageError
from wcord.methods.build import build_objective
from wcord.methods.observe import observe
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.config import TrainingConfig
from wcord.training.engine import make_accelerator
from wcord.training.meter import EpochMeter
from wcord.training.position import Position
from wcord.training.state import RunState
from wcord.training.update import Update


def make(tmp_path: Path, *, batches: int = 5, classes: int = 3) -> RunState:
    student = Network(create_model("resnet8", num_classes=classes), Preprocess((0.5,) * 3, (0.5,) * 3))
    objective = build_objective("ce", observe(student, student, student_sample=torch.zeros(2, 3, 8, 8)))
    config = TrainingConfig(device="cpu")
    update = Update({1.0: [*student.parameters()]}, config, 0.1, make_accelerator(config, tmp_path))
    meter = EpochMeter(("ce",), device=torch.device("cpu"))
    return RunState(Position(batches, 1, 4), student, objective, update, None, meter)


def test_a_restored_run_has_the_weights_position_values_and_random_numbers_of_the_saved_one(tmp_path: Path) -> None:
    run, other = make(tmp_path), make(tmp_path)
    run.at.epoch, run.at.batch = 2, 3
    run.meter.add(0, torch.tensor([2.0, 1.0, 50.0]), 4)
    run.meter.flush()
    state = run.state_dict() | {"step": 13}
    expected = torch.rand(3)
    other.restore(state, rank=0, processes=1, seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert (other.at.epoch, other.at.batch) == (2, 3)
    assert other.meter.means() == run.meter.means()
    for name, value in run.student.state_dict().items():
        assert torch.equal(value, other.student.state_dict()[name]), name


def test_another_number_of_batches_or_another_network_is_refused(tmp_path: Path) -> None:
    state = make(tmp_path).state_dict() | {"step": 0}
    with pytest.raises(UsageError, match=r"has 5 batches an epoch, in 2 process\(es\) it would have 4: resume it in"):
        make(tmp_path, batches=4).restore(state, rank=0, processes=2, seed=0)
    with pytest.raises(RunError, match=r"does not fit the network or ce as this code builds them .*size mismatch"):
        make(tmp_path, classes=4).restore(state, rank=0, processes=1, seed=0)
