"""The feature overhaul: connectors, weights of the stages, and margins from the right normalisation of each family."""

import dataclasses

import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.losses.ofd import ofd_loss, ofd_margin
from wcord.methods.maps import MapPair
from wcord.methods.observe import observe
from wcord.methods.ofd import OFDTerm, margin_norm
from wcord.models.create import create_model

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, IMAGES, torch.arange(4))

NORMS = {
    "resnet14": ("layer1.1.bn2", "layer2.1.bn2", "layer3.1.bn2"),
    "resnet8x4": ("layer1.0.bn2", "layer2.0.bn2", "layer3.0.bn2"),
    "wrn_16_2": ("block2.layer.0.bn1", "block3.layer.0.bn1", "bn1"),
    "vgg13": ("block1.4", "block2.4", "block3.4", "block4.4"),
    "ResNet50": ("layer1.2.bn3", "layer2.3.bn3", "layer3.5.bn3", "layer4.2.bn3"),
    "MobileNetV2": ("blocks.1.1.conv.7", "blocks.2.2.conv.7", "blocks.4.2.conv.7", "blocks.6.0.conv.7"),
    "ShuffleV1": ("layer1.3.bn3", "layer2.7.bn3", "layer3.3.bn3"),
}
"""Of each family of teachers, as public code takes them; it has none for ShuffleV1, which adds like a resnet."""


def _features(term: OFDTerm, student: nn.Module, teacher: nn.Module) -> tuple[Features, Features]:
    with capture(student, term.student_map_names) as tap, capture(teacher.eval(), term.teacher_map_names) as other:
        with torch.no_grad():
            seen = other(IMAGES)
        return tap(IMAGES), seen


@pytest.mark.parametrize("name", NORMS)
def test_margins_come_from_the_normalisation_before_the_relu(name: str) -> None:
    teacher = create_model(name)
    setting = observe(create_model("resnet8"), teacher, student_sample=IMAGES)
    stages = list(setting.teacher_maps.items())[1:]
    found = [margin_norm(teacher, MapPair("", stage, shape, shape)) for stage, shape in stages]
    paths = {module: path for path, module in teacher.named_modules()}
    assert tuple(paths[norm] for norm in found) == NORMS[name]


def test_later_stages_weigh_twice_the_one_before() -> None:
    torch.manual_seed(0)
    student, teacher = create_model("resnet8"), create_model("wrn_16_2")
    nn.init.normal_(teacher.bn1.bias)
    nn.init.normal_(teacher.bn1.weight)
    term = OFDTerm("ofd", observe(student, teacher, student_sample=IMAGES))
    torch.testing.assert_close(term.stages[2].margin, ofd_margin(teacher.bn1.weight, teacher.bn1.bias).float())
    s, t = _features(term, student, teacher)
    expected = sum(
        2.0 ** (number - 2) * ofd_loss(stage.connector(s.maps[name]), t.maps[name], stage.margin)
        for number, (stage, name) in enumerate(zip(term.stages, term.student_map_names, strict=True))
    )
    loss = term(s, t, BATCH)
    torch.testing.assert_close(loss, torch.as_tensor(expected))
    loss.backward()
    assert all(p.grad is not None for p in term.parameters())
    assert term.preparation is None


def test_connectors_begin_as_the_authors_do_also_between_equal_channels() -> None:
    torch.manual_seed(0)
    setting = observe(create_model("resnet8x4"), create_model("resnet8x4"), student_sample=IMAGES)
    convolution = OFDTerm("ofd", setting).stages[2].connector[0]
    assert convolution.bias is None
    assert convolution.weight.shape == (256, 256, 1, 1)
    assert convolution.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)


def test_margins_are_in_the_state_dict_and_not_trained() -> None:
    term = OFDTerm("ofd", observe(create_model("resnet8"), create_model("resnet8"), student_sample=IMAGES))
    assert term.state_dict()["stages.2.margin"].shape == (64,)
    assert not any(name.endswith("margin") for name, _ in term.named_parameters())


def test_teachers_without_such_a_normalisation_are_refused() -> None:
    student = create_model("resnet8")
    with pytest.raises(UsageError, match="but ShuffleV2 has none over the 116 channels of 'stage1': use a resnet, wrn"):
        OFDTerm("ofd", observe(student, create_model("ShuffleV2"), student_sample=IMAGES))
    bare = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 14 * 14, 100))
    setting = observe(student, bare, student_sample=IMAGES, teacher_maps=["0", "1"])
    with pytest.raises(UsageError, match="but Sequential has none over the 4 channels of '1'"):
        OFDTerm("ofd", setting)
    with pytest.raises(UsageError, match="give the teacher in the setting"):
        OFDTerm("ofd", dataclasses.replace(setting, teacher=None))


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:resnet50", "timm:mobilenetv1_100", "torchvision:resnet18"])
def test_networks_of_the_libraries_can_teach(name: str) -> None:
    """The margins are those of the normalisation whose output, a shortcut added or not, the stage's ReLU takes."""
    teacher = create_model(name, num_classes=5).eval()
    stages = ["layer3", "layer4"] if "resnet" in name else ["blocks.3", "blocks.4"]
    student = create_model("timm:resnet18", num_classes=5)
    images = torch.randn(2, 3, 64, 64)
    setting = observe(
        student, teacher, student_sample=images, student_maps=["layer3", "layer4"], teacher_maps=["conv_stem", *stages]
        if "mobilenet" in name else ["conv1", *stages],
    )  # fmt: skip
    term = OFDTerm("ofd", setting)
    last = {"timm:resnet18": "layer4.1.bn2", "timm:resnet50": "layer4.2.bn3", "torchvision:resnet18": "layer4.1.bn2",
            "timm:mobilenetv1_100": "blocks.4.1.bn2"}[name]  # fmt: skip
    pair = MapPair("layer4", stages[-1], (512, 2, 2), setting.teacher_maps[stages[-1]])
    assert margin_norm(teacher, pair) is teacher.get_submodule(last)
    with capture(student, term.student_map_names) as own, capture(teacher, term.teacher_map_names) as theirs:
        with torch.no_grad():
            seen = theirs(images)
        loss = term(own(images), seen, Batch(images, images, torch.zeros(2, dtype=torch.long)))
    loss.backward()
    assert loss.isfinite()
