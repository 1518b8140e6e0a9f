"""A student with its teacher's classifier: how both ends are found, its values, its names, its way through a file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.features import capture, map_names
from wcord.models.catalogue import CIFAR_MODELS
from wcord.models.create import create_model
from wcord.models.simkd import (
    Projector,
    SimKDStudent,
    find_tail,
    reuse_classifier,
    simkd_names,
)
from wcord.models.weights import load_weights, save_weights

LARGE = {"resnet56", "resnet110", "resnet32x4", "ResNet50", "wrn_40_2", "vgg13", "vgg16", "vgg19"}
"""Left out where a smaller network of the family stands for them."""


def _fill(shape: tuple[int, ...], phase: float) -> Tensor:
    count = int(torch.tensor(shape).prod())
    return torch.sin(0.7 * (torch.arange(count, dtype=torch.float64) + 1) + phase).reshape(shape)


@pytest.mark.parametrize("name", [name for name in CIFAR_MODELS if name not in LARGE])
def test_the_map_before_the_pooling_is_found_in_every_family(name: str) -> None:
    network = create_model(name, num_classes=5).eval()
    images = torch.rand(2, 3, 32, 32)
    tail = find_tail(network)
    with capture(network, [f"{tail.pooling}:in"]) as tap, torch.no_grad():
        features = tap(images)
    found = features.maps[f"{tail.pooling}:in"]
    assert found.shape[1:] == tail.shape
    torch.testing.assert_close(found.mean((2, 3)), features.embedding)
    assert isinstance(network.get_submodule(tail.classifier), nn.Linear)


@pytest.mark.parametrize(
    ("sizes", "loss", "total", "squares"),
    [
        ((4, 4), 0.9666655919613375, 6.64574590037795, 8.77822333806129),
        ((4, 2), 0.9582004972884333, 6.870328383920807, 9.741803463948828),
        ((2, 4), 0.46331428215519926, 6.87776584821852, 10.240874903504679),
    ],
)
def test_projector_and_classifier_give_the_values_of_the_public_code(
    sizes: tuple[int, int], loss: float, total: float, squares: float
) -> None:
    projector, classifier = Projector(3, 6, (sizes[1], sizes[1])).double(), nn.Linear(6, 5).double()
    with torch.no_grad():
        for number in (0, 3, 6):
            projector.layers[number].weight.copy_(_fill(projector.layers[number].weight.shape, 0.1 * number))
        classifier.weight.copy_(_fill((5, 6), 0.0))
        classifier.bias.copy_(_fill((5,), 0.1))
    projected = projector(_fill((2, 3, sizes[0], sizes[0]), 0.1))
    wanted = F.adaptive_avg_pool2d(_fill((2, 6, sizes[1], sizes[1]), 0.2), projected.shape[2:])
    assert F.mse_loss(projected, wanted).item() == pytest.approx(loss, rel=1e-9)
    logits = classifier(projected.mean((2, 3)))
    assert logits.sum().item() == pytest.approx(total, rel=1e-9)
    assert logits.square().sum().item() == pytest.approx(squares, rel=1e-7)


def test_the_classifier_is_a_frozen_copy_and_the_rest_trains() -> None:
    teacher = create_model("wrn_16_2", num_classes=7)
    student = reuse_classifier(create_model("resnet8", num_classes=3), teacher)
    assert torch.equal(student.classifier.weight, teacher.fc.weight)
    assert student.classifier.weight is not teacher.fc.weight
    frozen = {name for name, parameter in student.named_parameters() if not parameter.requires_grad}
    assert frozen == {"trunk.fc.weight", "trunk.fc.bias"}
    assert teacher.fc.weight.requires_grad
    student(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in student.parameters() if p.requires_grad)


def test_networks_stay_as_they_were() -> None:
    student, teacher = create_model("resnet8"), create_model("ShuffleV1").eval()
    before = {key: value.clone() for key, value in student.state_dict().items()}
    reuse_classifier(student, teacher)
    assert student.training
    assert not teacher.training
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert not any(module._forward_hooks for module in (*student.modules(), *teacher.modules()))


def test_maps_of_the_trunk_can_still_be_read_also_before_their_relu() -> None:
    student = reuse_classifier(create_model("resnet8"), create_model("resnet8x4"))
    assert map_names(student) == ("stem", "stage1", "stage2", "stage3")
    names = ["stage3", "pre:stage3", student.projected_map]
    with capture(student, names) as tap:
        features = tap(torch.rand(2, 3, 16, 16))
    torch.testing.assert_close(features.maps["stage3"], features.maps["pre:stage3"].relu())
    assert features.maps[student.projected_map].shape == (2, 256, 4, 4)
    torch.testing.assert_close(features.maps[student.projected_map].mean((2, 3)), features.embedding)


def test_a_saved_student_opens_again_by_its_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples = torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 8, 8)
    student, teacher = (create_model(name, num_classes=5, in_channels=1) for name in ("resnet8", "vgg8"))
    trained = reuse_classifier(student, teacher, sample=samples[0], teacher_sample=samples[1])
    trained(torch.rand(8, 1, 16, 16))
    save_weights(trained.eval(), tmp_path / "student.safetensors")
    opened = create_model("simkd:resnet8:vgg8", num_classes=5, in_channels=1)
    assert opened.trunk.avgpool.projector.size == (4, 4)
    load_weights(opened, tmp_path / "student.safetensors")
    # The teacher saw smaller images than the name alone can tell; the file says so.
    assert opened.trunk.avgpool.projector.size == (1, 1)
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(opened.eval()(images), trained(images))


def test_an_unknown_network_in_the_name_is_told() -> None:
    with pytest.raises(UsageError, match="unknown model 'resnet21': did you mean"):
        create_model("simkd:resnet21:resnet56", num_classes=10, in_channels=3)


def test_exports_as_one_graph() -> None:
    student = reuse_classifier(create_model("resnet8"), create_model("vgg8")).eval()
    images = torch.rand(2, 3, 32, 32)
    exported = torch.export.export(student, (images,)).module()
    torch.testing.assert_close(exported(images), student(images))


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("resnet20:resnet56", ("resnet20", "resnet56")),
        ("timm:resnet18:resnet56", ("timm:resnet18", "resnet56")),
        ("resnet20:hf:some/name", ("resnet20", "hf:some/name")),
        ("my.nets:small:timm:resnet18", ("my.nets:small", "timm:resnet18")),
        ("nets:small:resnet8x4", ("nets:small", "resnet8x4")),
        ("resnet8:nets:large", ("resnet8", "nets:large")),
        ("resnet21:resnet56", ("resnet21", "resnet56")),
    ],
)
def test_names_of_one_or_two_words_are_told_apart(rest: str, names: tuple[str, str]) -> None:
    assert simkd_names(rest) == names


@pytest.mark.parametrize("rest", ["", "resnet20", "resnet20:", ":resnet20", "a:b:c:d:e", "timm:resnet18", "simkd:a:b"])
def test_other_names_are_refused(rest: str) -> None:
    with pytest.raises(UsageError, match="must name a student and a teacher, simkd:STUDENT:TEACHER"):
        simkd_names(rest)


class _Foreign(nn.Module):
    """A network of another end, as `end` says."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.pool = nn.AdaptiveMaxPool2d(1) if end == "max" else nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 5)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        match self.end:
            case "functional":
                return self.head(x.mean((2, 3)))
            case "scaled":
                return 2 * self.head(self.pool(x).flatten(1))
            case "twice":
                self.pool(x)
                return self.head(self.pool(x).flatten(1))
            case _:
                return self.head(self.pool(x).flatten(1))


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("functional", "what its classifier takes is not the average of a map by a pooling module"),
        ("max", "what its classifier takes is not the average of a map by a pooling module"),
        ("scaled", "its logits are not the output of an nn.Linear"),
        ("twice", "its pooling 'pool' runs more than once"),
    ],
)
def test_networks_of_another_end_are_refused(end: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"simkd needs a teacher that averages .* but of _Foreign {why}"):
        reuse_classifier(create_model("resnet8"), _Foreign(end))


def test_a_network_of_ones_own_serves_where_its_end_is_alike() -> None:
    student = reuse_classifier(_Foreign("mean"), create_model("resnet8"))
    assert isinstance(student, SimKDStudent)
    assert student.map_paths == student.preactivation_paths == {}
    assert student(torch.rand(2, 3, 16, 16)).shape == (2, 100)


def test_a_sample_that_does_not_fit_is_told() -> None:
    with pytest.raises(UsageError, match=r"the student cannot take an input of shape \(2, 1, 8, 8\)"):
        reuse_classifier(create_model("resnet8"), create_model("resnet8"), sample=torch.zeros(2, 1, 8, 8))


def test_a_bottleneck_without_channels_is_refused() -> None:
    with pytest.raises(UsageError, match="factor 100 of 64 channels leaves none"):
        reuse_classifier(create_model("resnet8"), create_model("resnet8"), factor=100)
