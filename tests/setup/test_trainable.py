"""Students that cannot be trained are refused before the first step."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wcord import api
from wcord.checks import UsageError
from wcord.data.opening import from_arrays
from wcord.models.create import create_model
from wcord.setup.trainable import require_normalizable, require_own_weights, require_trainable


def quiet(line: str) -> None:
    """Say nothing."""


def tiny(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_students_share_nothing_with_their_teachers() -> None:
    teacher = create_model("resnet8", num_classes=3)
    require_own_weights(deepcopy(teacher), teacher)
    with pytest.raises(UsageError, match="the student is the teacher itself"):
        require_own_weights(teacher, teacher)
    half = nn.Sequential(teacher.get_submodule("conv1"), nn.Linear(2, 2))
    with pytest.raises(UsageError, match=r"shares 1 of its weights with the teacher \('0.weight'"):
        require_own_weights(half, teacher)
    wrapped = nn.DataParallel(teacher)
    with pytest.raises(UsageError, match=r"shares|itself"):
        require_own_weights(wrapped, teacher)
    with pytest.raises(UsageError, match="Linear has no trainable weights"):
        require_trainable(nn.Linear(2, 2).requires_grad_(False))


@pytest.mark.parametrize(
    ("norm", "side", "batch", "refused"),
    [
        (nn.BatchNorm2d(4), 3, 1, "normalizes over the batch"),
        (nn.BatchNorm2d(4), 4, 1, None),
        (nn.BatchNorm2d(4), 3, 2, None),
        (nn.SyncBatchNorm(4), 3, 1, "normalizes over the batch"),
        (nn.InstanceNorm2d(4), 3, 8, "normalizes over the positions"),
        (nn.InstanceNorm2d(4), 4, 1, None),
        (nn.GroupNorm(2, 4), 3, 1, None),
    ],
)
def test_layers_that_would_normalise_one_value_are_found(
    norm: nn.Module, side: int, batch: int, refused: str | None
) -> None:
    network, sample = tiny(norm), torch.zeros(2, 1, side, side)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    if refused is None:
        require_normalizable(network, sample, batch)
        network.train()(sample[:1] if batch == 1 else sample)
    else:
        with pytest.raises(UsageError, match=f"the student's '1' {refused}"):
            require_normalizable(network, sample, batch)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in before.items())


def test_runs_are_refused_before_their_folder_is_made(tmp_path: Path) -> None:
    data = from_arrays(np.random.default_rng(0).random((12, 3, 3)), [0, 1] * 6)
    student = tiny(nn.BatchNorm2d(4))
    same: dict[str, Any] = {"out": tmp_path / "run", "data": data, "epochs": 1, "method": "kd", "device": "cpu"}
    same["allow_weak_teacher"] = True
    with pytest.raises(UsageError, match="the student is the teacher itself"):
        api.distill(student, student, **same)
    with pytest.raises(UsageError, match="raise --batch-size to 2"):
        api.distill(deepcopy(student), student, batch_size=1, **same)
    with pytest.raises(UsageError, match="no trainable weights"):
        api.distill(deepcopy(student), deepcopy(student).requires_grad_(False), **same)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="the student is the teacher itself"):
        api.build_method("kd", student, student, sample=torch.zeros(2, 1, 3, 3))
    assert api.build_method("ce", student, student, sample=torch.zeros(2, 1, 3, 3)).formula == "1 ce"
