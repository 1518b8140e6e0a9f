"""A dry forward finds widths and classes and leaves the networks as they were."""

from typing import ClassVar

import pytest
import torch

from wcord.checks import UsageError
from wcord.methods.build import build_objective
from wcord.methods.observe import observe, rehearse
from wcord.models.create import create_model


def test_widths_and_classes_are_found_and_nothing_moves() -> None:
    student, teacher = create_model("resnet8", num_classes=7), create_model("resnet8x4", num_classes=9)
    student.train()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    setting = observe(student, teacher, num_samples=10, batch_size=4)
    assert (setting.student_dim, setting.teacher_dim) == (64, 256)
    assert (setting.student_classes, setting.teacher_classes) == (7, 9)
    assert student.training
    for key, value in student.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_sample_that_does_not_fit_is_told() -> None:
    student = create_model("resnet8", num_classes=7)
    with pytest.raises(UsageError, match=r"the student fails on an input of shape \(2, 1, 32, 32\)"):
        observe(student, student, student_sample=torch.zeros(2, 1, 32, 32))


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_map_is_named_once(role: str) -> None:
    network = create_model("resnet8", num_classes=7)
    names = {f"{role}_maps": ["stem", "stage2", "stage2"]}
    with pytest.raises(UsageError, match=f"{role}'s maps contain 'stage2' more than once: name each map once"):
        observe(network, network, **names)


class StaleMaps(torch.nn.Module):
    """A network that states a map which its forward does not run."""

    map_paths: ClassVar[dict[str, str]] = {"stem": "unused", "last": "unused"}

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Linear(4, 4)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


def test_stated_maps_that_do_not_run_are_missed_by_methods_on_maps_only() -> None:
    network, sample = StaleMaps(), torch.zeros(2, 4)
    setting = observe(network, network, student_sample=sample)
    assert (setting.student_dim, setting.student_maps) == (4, {})
    build_objective("kd", setting)
    with pytest.raises(UsageError, match="at reads feature maps, but the student states none"):
        build_objective("at", setting)
    with pytest.raises(UsageError, match="did not run"):
        observe(network, network, student_sample=sample, student_maps=["unused"])


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("at", {"at": {"p": "two"}}, "at: p must be a finite number of at least 1, received 'two'"),
        ("ab+kd", {"kd": {"temperature": 0}}, "kd: temperature must be a finite number above 0, received 0"),
        ("kdsvd", {"kdsvd": {"k": 200}}, "kdsvd: k must be at most"),
        ("ab", {"ab": {"margin": "far"}}, "ab: margin must be a finite number above 0, received 'far'"),
    ],
)
def test_options_that_cannot_be_meant_show_in_the_rehearsal(
    method: str, options: dict[str, dict[str, object]], message: str
) -> None:
    student, teacher = create_model("resnet8", num_classes=5), create_model("resnet14", num_classes=5)
    images = torch.zeros(2, 3, 16, 16)
    objective = build_objective(method, observe(student, teacher, student_sample=images), options=options)
    with pytest.raises(UsageError, match=message):
        rehearse(objective, student, teacher, images, images)


def test_a_rehearsal_moves_nothing() -> None:
    student, teacher = create_model("resnet8", num_classes=5), create_model("resnet14", num_classes=5)
    images = torch.rand(2, 3, 16, 16)
    setting = observe(student, teacher, student_sample=images, num_samples=9, total_steps=4)
    objective = build_objective("wcord+dkd+ft+fitnet", setting, options={"wcord": {"num_negatives": 4}})
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    rehearse(objective, student, teacher, images, images)
    assert objective.training
    assert all(torch.equal(value, before[key]) for key, value in objective.state_dict().items())


def test_options_that_a_term_cannot_be_built_with_are_told() -> None:
    student, teacher = create_model("resnet8", num_classes=5), create_model("resnet14", num_classes=5)
    setting = observe(student, teacher)
    wrong = (("cc", "embedding_dim", -3), ("fitnet", "hint", 1.5), ("ft", "rate", "half"))
    for method, option, value in wrong:
        with pytest.raises(UsageError, match=f"{method}: {option} must be"):
            build_objective(method, setting, options={method: {option: value}})
