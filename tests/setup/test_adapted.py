"""What a run makes of its teacher before the method is built, and on what the teacher is measured."""

from pathlib import Path
from typing import Any

import pytest
import torch

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.loader import Loader
from wcord.data.opening import open_data
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.setup.adapted import adapted_teacher, teacher_batches
from wcord.training.config import DistillConfig, configure

SAMPLES = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)


def network(name: str) -> Network:
    return Network(create_model(name, num_classes=3, in_channels=1), Preprocess((0.5,), (0.5,)))


def config(method: str, **settings: Any) -> DistillConfig:
    names = {"teacher": "resnet14", "student": "resnet8", "data": "digits", "out": Path("run")}
    return configure(DistillConfig, {**names, "method": method, **settings})


def test_a_method_that_adds_nothing_gets_the_teacher_itself() -> None:
    teacher = network("resnet14")
    assert adapted_teacher(config("kd"), teacher, network("resnet8"), SAMPLES) is teacher
    assert adapted_teacher(config("kd"), None, network("resnet8"), SAMPLES) is None


def test_the_adapted_copy_trains_in_its_additions_alone_and_takes_the_options() -> None:
    teacher = network("resnet14")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    adapted = adapted_teacher(config("4ds", set=["4ds.theta=-0.5"]), teacher, network("resnet8"), SAMPLES)
    assert adapted is not None
    assert adapted is not teacher
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(".adapter." in name for name in trained)
    assert adapted.get_parameter("backbone.layer1.adapter.theta").tolist() == [-0.5, 0.5]
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in teacher.parameters())


def test_half_precision_with_a_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="4ds trains parts of the teacher, which --precision fp16 does not support"):
        adapted_teacher(config("4ds", precision="fp16"), network("resnet14"), network("resnet8"), SAMPLES)


def test_the_teacher_is_measured_on_its_own_view_of_the_evaluation_samples() -> None:
    data = open_data(DataConfig(data="digits", view="resize=4"), {"view": "resize=16"})
    batches = teacher_batches(data, Loader(data.test, batch_size=50), workers=0)
    assert batches is not None
    first = next(batches.batches())
    assert first.student_input.shape[1:] == (1, 16, 16)
    assert torch.equal(first.target, data.test.targets[:50])
