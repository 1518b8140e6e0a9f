"""Each method of the catalogue, as one uses it in a loop of one's own: built by name, finite, and it teaches."""

from dataclasses import dataclass

import pytest
import torch
from tests.support.swin_teacher import suitable_teacher
from torch import Tensor, nn

from wcord import build_method, capture, create_model
from wcord.data.batch import Batch
from wcord.data.config import DataConfig
from wcord.data.dataset import DataSet
from wcord.data.loader import Loader
from wcord.data.opening import from_arrays, open_data
from wcord.losses import LossReport
from wcord.methods.build import adapt_student, adapt_teacher, option_names, parse_method
from wcord.methods.catalogue import METHODS
from wcord.methods.objective import Objective
from wcord.methods.term import Stage
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess

CLASSES = 10
SUMS = [
    "wcord+kd",
    "crd+kd",
    "wcord-a+kd",
    "dkd+wcord",
    "lskd+wcord",
    "at+kd",
    "reviewkd+kd",
    "lakd+wcord",
    "4ds+wcord",
]


@dataclass
class Bench:
    """A student that is trained, a teacher, and a method between them."""

    student: nn.Module
    teacher: nn.Module
    objective: Objective

    def loss(self, batch: Batch, stage: Stage = "main", *, cut: bool = True) -> LossReport:
        """Return the loss of a batch; with `cut` the teacher runs without a graph, as in any sound loop."""
        objective = self.objective
        with (
            capture(self.student, objective.student_map_names, cut=objective.cuts) as student,
            capture(self.teacher, objective.teacher_map_names) as teacher,
        ):
            with torch.set_grad_enabled(not cut):
                seen = teacher(batch.teacher_input)
            if stage == "main":
                return self.objective(student(batch.student_input), seen, batch)
            return self.objective.prepare(student(batch.student_input), seen, batch)

    def train(self, loader: Loader, epochs: int, stage: Stage, lr: float) -> list[dict[str, float]]:
        parameters = [*self.student.parameters(), *self.objective.stage_parameters(stage)]
        trained = [p for p in parameters if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9, weight_decay=5e-4)
        seen = []
        self.student.train()
        self.objective.train()
        for epoch in range(epochs):
            for batch in loader.batches(epoch):
                report = self.loss(batch, stage)
                optimizer.zero_grad()
                report.total.backward()
                nn.utils.clip_grad_norm_(trained, 5.0)
                optimizer.step()
                seen.append({name: value.item() for name, value in report.parts.items()})
        return seen


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return open_data(DataConfig(data="digits"))


@pytest.fixture(scope="module")
def teacher(digits: DataSet) -> nn.Module:
    """resnet14, which has the student's channels, after four epochs on labels."""
    torch.manual_seed(0)
    network = create_model("resnet14", num_classes=CLASSES, in_channels=1)
    bench = Bench(network, network, build_method("ce", network, network, sample=torch.zeros(2, 1, 8, 8)))
    bench.train(Loader(digits.train, batch_size=64, shuffle=True), 4, "main", 0.1)
    network.zero_grad()
    return network.eval().requires_grad_(False)


def make(method: str, teacher: nn.Module, num_samples: int) -> Bench:
    torch.manual_seed(1)
    student = create_model("resnet8", num_classes=CLASSES, in_channels=1)
    sample = torch.zeros(2, 1, 8, 8)
    teacher = suitable_teacher(method, teacher, CLASSES)
    if "4ds" in parse_method(method):  # 8×8 pixels leave maps of 2×2
        student, teacher = (Network(network, Preprocess((0.0,), (1.0,), size=16)) for network in (student, teacher))
    student = adapt_student(method, student, teacher, sample)
    teacher = adapt_teacher(method, teacher, student, sample)
    options = {name: {"num_negatives": 64} for name in parse_method(method) if "num_negatives" in option_names(name)}
    objective = build_method(
        method, student, teacher, sample=sample, num_samples=num_samples, batch_size=30, options=options
    )
    return Bench(student, teacher, objective)


def accuracy(network: nn.Module, digits: DataSet) -> float:
    network.eval()
    hits: list[Tensor] = []
    with torch.no_grad():
        for batch in Loader(digits.test, batch_size=256).batches():
            hits.append(network(batch.student_input).argmax(1) == batch.target)
    return float(torch.cat(hits).float().mean())


@pytest.mark.parametrize("method", [*METHODS, *SUMS])
def test_every_method_trains_to_the_end_with_finite_parts_and_teaches(
    method: str, teacher: nn.Module, digits: DataSet
) -> None:
    bench = make(method, teacher, len(digits.train))
    loader = Loader(digits.train, batch_size=64, shuffle=True, seed=2, rotations=bench.objective.rotations)
    before = accuracy(bench.student, digits)
    if bench.objective.preparation is not None:
        bench.train(loader, 1, "preparation", 0.02)
    seen = bench.train(loader, 3, "main", 0.02)
    assert all(torch.tensor(list(parts.values())).isfinite().all() for parts in seen)
    assert all(value.isfinite().all() for value in bench.objective.state_dict().values())
    assert accuracy(bench.student, digits) > max(before, 2 / CLASSES)


@pytest.mark.parametrize("method", [*METHODS, *SUMS])
def test_the_total_is_the_weighted_sum_and_nothing_reaches_the_teacher(
    method: str, teacher: nn.Module, digits: DataSet
) -> None:
    bench = make(method, teacher, len(digits.train))
    for parameter in bench.teacher.parameters():
        parameter.requires_grad_()
    batch = next(Loader(digits.train, batch_size=16, rotations=bench.objective.rotations).batches())
    report = bench.loss(batch, cut=False)
    weights = bench.objective.weights
    assert set(report.parts) == set(weights)
    expected = sum(weight * report.parts[part] for part, weight in weights.items())
    torch.testing.assert_close(report.total, torch.as_tensor(expected))
    report.total.backward()
    assert all(parameter.grad is None for parameter in bench.teacher.parameters())
    gradients = [p.grad for p in bench.student.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)


@pytest.mark.parametrize("method", METHODS)
def test_the_catalogue_says_what_one_needs_to_know(method: str) -> None:
    info = METHODS[method]
    assert info.title
    assert info.checked
    assert 2014 < info.year < 2027
    assert set(info.options) <= set(option_names(method))


def test_foreign_networks_can_name_their_maps() -> None:
    images = torch.rand(4, 3, 32, 32)
    student, teacher = create_model("torchvision:resnet18", num_classes=3), create_model("timm:resnet18", num_classes=3)
    names = ["layer1", "layer2", "layer3", "layer4"]
    objective = build_method("at", student, teacher, sample=images, student_maps=names)
    assert objective.student_map_names == ("layer2", "layer3", "layer4")
    bench = Bench(student, teacher, objective)
    assert bench.loss(Batch(images, images, torch.tensor([0, 1, 2, 0]))).total.isfinite()
    data = from_arrays(images, [0, 1, 2, 0], images, [0, 1, 2, 0])
    assert data.train.shape == (3, 32, 32)
