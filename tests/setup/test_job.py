"""Everything is checked before the first step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from wcord.checks import UsageError
from wcord.data.opening import from_arrays
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, TrainConfig, configure

BASE: dict[str, Any] = {"teacher": "resnet8", "student": "resnet8", "out": Path("x"), "allow_weak_teacher": True}


def ready(own: Provided | None = None, **settings: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    return prepare(configure(DistillConfig, BASE | settings), own or Provided(), said.append), said


def test_the_same_seed_gives_the_same_student_whatever_the_method() -> None:
    first, second = ready(method="kd")[0].student, ready(method="wcord")[0].student
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    other = ready(method="kd", seed=5)[0].student
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_the_teacher_is_announced_and_weak_ones_refused() -> None:
    _, said = ready(method="kd")
    assert any(line.startswith("teacher resnet8: ") for line in said)
    with pytest.raises(UsageError, match="near chance"):
        ready(method="kd", allow_weak_teacher=False)


def test_a_dropped_last_sample_is_reported() -> None:
    images = np.zeros((33, 1, 8, 8), np.uint8)
    arrays = from_arrays(images, np.arange(33) % 3, images, np.arange(33) % 3)
    job, said = ready(Provided(data=arrays), batch_size=16)
    assert job.train.dropped == 1
    assert len(job.train) == 2
    assert any("leaves out the 1 sample(s)" in note for note in job.notes)
    assert any("leaves out" in line for line in said)


def test_batches_of_one_are_refused_where_samples_are_compared() -> None:
    with pytest.raises(UsageError, match="gckt compares samples within a batch and needs at least 2"):
        ready(method="wcord", batch_size=1)


def test_teachers_of_other_classes() -> None:
    own = Provided(teacher=create_model("resnet8", num_classes=6, in_channels=1))
    with pytest.raises(UsageError, match="kd compares logits, but the teacher has 6 classes and the student 10"):
        ready(own, method="kd", teacher="own")
    job, said = ready(own, method="wcord", teacher="own", set=["wcord.num_negatives=8"])
    assert any("its accuracy is not measured" in line for line in said)
    assert job.teacher is not None


class Lookup(nn.Module):
    """Names the class that each picture's brightness stands for, in an order of its own."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.register_buffer("table", torch.eye(len(order))[order])
        self.head = nn.Linear(len(order), len(order))
        nn.init.eye_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.table[(images[:, 0, 0, 0] * 255 / 20).round().long()])


@pytest.mark.parametrize("names", [tuple(map(str, range(12))), tuple(f"{k:03}" for k in range(12)), ()])
def test_names_that_are_not_the_datas_say_nothing_of_the_order(names: tuple[str, ...]) -> None:
    numbers = np.arange(240) % 12
    images = np.broadcast_to((20 * numbers)[:, None, None].astype(np.uint8), (240, 8, 8))
    data = from_arrays(images, [f"c{k:02}" for k in numbers], images, [f"c{k:02}" for k in numbers])
    order = sorted(range(12), key=str)
    teacher = Network(Lookup(order), Preprocess((0.0,), (1.0,)), names)
    given = {"method": "kd", "allow_weak_teacher": False, "teacher": "own"}
    with pytest.raises(UsageError, match=r"the teacher reaches 16\.67 % .* it reaches 100\.00 %"):
        ready(Provided(teacher=teacher, data=data), **given)
    teacher = Network(Lookup(order), Preprocess((0.0,), (1.0,)), tuple(f"c{k:02}" for k in range(12)))
    _, said = ready(Provided(teacher=teacher, data=data), **given)  # it names them so itself
    assert any("it reaches 100.00 %" in line for line in said)


def test_a_student_of_other_classes_is_told() -> None:
    own = Provided(student=create_model("resnet8", num_classes=6, in_channels=1))
    with pytest.raises(UsageError, match="the student has 6 logits, but the data 10 classes"):
        ready(own, method="ce")


def test_training_alone_has_no_teacher() -> None:
    config = configure(TrainConfig, {"model": "resnet8", "out": "x"})
    job = prepare(config, Provided(), lambda line: None)
    assert job.teacher is None
    assert job.objective.formula == "1 ce"


def test_the_training_seed_leaves_the_chosen_images_alone() -> None:
    """Several seeds of one protocol, their teacher and a later evaluation must speak of the same images."""
    settings = {"method": "ce", "subset": 10.0, "holdout": 0.2}
    first, second = (ready(seed=seed, **settings)[0].data for seed in (0, 1))
    for mine, theirs in ((first.train, second.train), (first.test, second.test)):
        rows = torch.arange(len(mine))
        assert torch.equal(mine.read(rows), theirs.read(rows))
    other = ready(split_seed=1, **settings)[0].data
    assert not torch.equal(first.test.read(torch.arange(20)), other.test.read(torch.arange(20)))


def test_what_is_said_of_the_teachers_input_holds_for_an_own_module() -> None:
    own = Provided(teacher=create_model("resnet8", num_classes=10, in_channels=1))
    job, _ = ready(own, method="kd", teacher="own", teacher_mean=[0.25], teacher_std=[0.5], teacher_size=16)
    assert job.teacher is not None
    assert (job.teacher.preprocess.mean.item(), job.teacher.preprocess.std.item()) == (0.25, 0.5)
    assert job.teacher.preprocess.size == (16, 16)


def unbalanced(counts: tuple[int, ...] = (40, 10, 4)) -> Provided:
    targets = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(0).integers(0, 256, (len(targets), 1, 8, 8), np.uint8)
    return Provided(data=from_arrays(images, targets, images, targets, classes=("none", "mild", "severe")))


def test_class_weights_reach_the_cross_entropy_and_are_told(tmp_path: Path) -> None:
    expected = [54 / (3 * n) for n in (40, 10, 4)]
    for choice in ("balanced", "auto"):
        job, said = ready(unbalanced(), method="kd", class_weights=choice)
        assert job.objective.terms["ce"].class_weights.tolist() == pytest.approx(expected)
        assert "note: class weights: 0.45 (none) to 4.5 (severe), balanced" in said
    job, said = ready(unbalanced((10, 10, 9)), method="kd", class_weights="auto")
    assert job.objective.terms["ce"].class_weights is None
    assert any("class weights: none, since" in line for line in said)
    (tmp_path / "weights.csv").write_text("none,1\nmild,2\nsevere,3\n")
    job, _ = ready(unbalanced(), method="wcord", set=["wcord.num_negatives=8"], class_weights=f"{tmp_path}/weights.csv")
    assert job.class_weights.tolist() == [1, 2, 3]


def test_class_weights_without_a_cross_entropy_are_refused() -> None:
    own = Provided(data=unbalanced().data, teacher=create_model("resnet8", num_classes=3, in_channels=1))
    for settings in ({"method": "kd", "no_labels": True}, {"method": "kd", "set": ["ce.weight=0"]}):
        with pytest.raises(UsageError, match="--class-weights weights the cross-entropy, which this run does not have"):
            ready(own, teacher="own", class_weights="balanced", **settings)


@pytest.mark.parametrize("mixed", [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0, "mixup_prob": 0.5}])
@pytest.mark.parametrize("method", ["kd", "wcord+kd", "lckt-a", "rkd+at", "dist", "ttm", "ft+kd", "simkd", "gckt+pkt"])
def test_mixtures_suit_methods_that_read_no_single_sample(method: str, mixed: dict[str, float]) -> None:
    job, _ = ready(method=method, **mixed)
    batch = next(job.train.batches())
    assert batch.index is None
    assert batch.target.shape == (64, 10)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("crd", [], "crd keeps a row per training sample, which a mixture of samples does not have"),
        ("kd+crd-std", [], "crd-std keeps a row per training sample"),
        ("dkd", [], "dkd reads the class of each sample"),
        ("wkd-l", [], "wkd-l reads the class of each sample"),
        ("wcord", ["wcord.negatives=other_class"], "gckt reads the class of each sample"),
        ("wcord-a", ["wcord-a.anchor_to=class"], "lckt reads the class of each sample"),
    ],
)
@pytest.mark.parametrize("mixed", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_methods_that_read_single_samples_refuse_mixtures(
    method: str, options: list[str], message: str, mixed: dict[str, float]
) -> None:
    with pytest.raises(UsageError, match=message):
        ready(method=method, set=options, **mixed)


@pytest.mark.parametrize(
    "setting", [{"mixup": -0.1}, {"cutmix": float("inf")}, {"mixup": float("nan")}, {"mixup": 1.0, "mixup_prob": 1.5}]
)
def test_mixing_that_cannot_be_meant(setting: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=list(setting)[-1]):
        ready(method="kd", **setting)


def test_rows_of_a_table_are_mixed_but_not_cut() -> None:
    table = {"model": "mlp16x1", "data": "sklearn:wine", "out": "x", "batch_size": 16}
    with pytest.raises(UsageError, match="--cutmix pastes parts of pictures, but a sample here is 13 columns"):
        prepare(configure(TrainConfig, table | {"cutmix": 1.0}), Provided(), lambda line: None)
    job = prepare(configure(TrainConfig, table | {"mixup": 0.2}), Provided(), lambda line: None)
    assert next(job.train.batches()).target.shape == (16, 3)


def test_pairs_by_label_refuse_mixtures() -> None:
    side = unbalanced().data
    assert side is not None
    own = Provided(data=side.beside(side, by_label=True))
    with pytest.raises(UsageError, match="mixup and cutmix need the same pictures"):
        ready(own, method="kd", mixup=0.2)
