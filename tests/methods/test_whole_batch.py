"""Two processes that share each batch move weights, heads and memories as one process that has all of it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from tests.support.swin_teacher import suitable_teacher
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wcord import build_method, capture, create_model
from wcord.data.loader import Loader
from wcord.data.split import MemorySplit
from wcord.methods.build import adapt_student, adapt_teacher
from wcord.methods.catalogue import METHODS
from wcord.methods.term import Stage
from wcord.models.network import Network, Preprocess
from wcord.training.distiller import Distiller

CLASSES = 4
SAMPLES, BATCH = 21, 8  # the third batch holds 5: 3 in the first process, 2 in the second
SUMS = ["wcord+kd", "lskd+wcord", "ab+kd", "ft+crd", "sskd+crd", "mlkd+kd"]
METHOD_NAMES = [*METHODS, *SUMS]
OPTIONS = {
    "wcord, a queue": ("wcord", {}),
    "gckt, one draw a batch": ("gckt", {"gckt": {"estimator": "shared"}}),
    "gckt, every row": ("gckt", {"gckt": {"estimator": "expected"}}),
    "crd, other classes": ("crd", {"crd": {"negatives": "other_class"}}),
    "ce, class weights": ("ce", {}),
    "lakd, heads": ("lakd+kd", {"lakd": {"heads": True}}),
}
CASES = {**{name: (name, {}) for name in METHOD_NAMES}, **OPTIONS}

State = dict[str, Tensor]


def trained(case: str, rank: int = 0, world: int = 1) -> tuple[State, list[dict[str, float]]]:
    """Return all weights and buffers after an epoch of each stage, and the parts of each step."""
    method, options = CASES[case]
    torch.manual_seed(3)
    images = torch.randint(256, (SAMPLES, 1, 8, 8), dtype=torch.uint8)
    split = MemorySplit(images, torch.arange(SAMPLES) % CLASSES)
    sample = torch.zeros(2, 1, 8, 8)
    size = 16 if "4ds" in method.split("+") else None
    wider = "resnet14" if method in ("fsp", "kdsvd", "4ds") else "resnet14x2"
    backbone = suitable_teacher(method, create_model(wider, num_classes=CLASSES, in_channels=1), CLASSES)
    teacher = Network(backbone, Preprocess((0.5,), (0.3,), size=size))
    student = Network(
        create_model("resnet8", num_classes=CLASSES, in_channels=1), Preprocess((0.5,), (0.3,), size=size)
    )
    student = adapt_student(method, student, teacher, sample, sample)
    teacher = adapt_teacher(method, teacher, student, sample)
    assert isinstance(student, Network)
    rows = None if case == "wcord, a queue" else SAMPLES
    weights = [0.5, 1.0, 4.0, 9.0] if case == "ce, class weights" else None
    objective = build_method(
        method,
        student,
        teacher,
        sample=sample,
        num_samples=rows,
        batch_size=2,
        class_weights=weights,
        options=options,
    )
    turned = {"rotations": objective.rotations}
    train = Loader(split, batch_size=BATCH, shuffle=True, augment="crop-flip", rank=rank, world_size=world, **turned)
    teacher.double().eval().requires_grad_(False)
    steps = []
    with (
        capture(student, objective.student_map_names, cut=objective.cuts) as tap,
        capture(teacher, objective.teacher_map_names) as told,
    ):
        distiller = Distiller(student, objective, tap).double()
        for buffer in objective.buffers() if rank else ():
            buffer.zero_()
        distiller.copy_buffers_from_first()
        module: nn.Module = distiller
        if world > 1:
            module = DistributedDataParallel(distiller, find_unused_parameters=objective.preparation is not None)
        torch.manual_seed(5 + rank)  # each process has drawn other numbers before, as by dropout
        stages: list[Stage] = ["main"] if objective.preparation is None else ["preparation", "main"]
        for epoch, stage in enumerate(stages):
            moved = [*objective.stage_parameters(stage)]
            if stage == "main" or (objective.preparation is not None and objective.preparation.student):
                moved += [parameter for parameter in student.parameters() if parameter.requires_grad]
            optimizer = torch.optim.SGD(moved, lr=0.05, momentum=0.9)
            for number, batch in enumerate(train.batches(epoch)):
                module.train()
                student.eval()  # normalised by running statistics, which no batch changes
                seen = told(batch.teacher_input.double())
                whole = train.samples_in(number)
                doubled = replace(batch, student_input=batch.student_input.double(), teacher_input=seen.logits)
                report, _ = module(doubled, seen, stage)
                optimizer.zero_grad()
                (report.total * (world * len(batch) / whole)).backward()
                optimizer.step()
                steps.append({name: part.item() * len(batch) / whole for name, part in report.parts.items()})
    return {name: value.clone() for name, value in distiller.state_dict().items()}, steps


def one_of_two(rank: int, folder: Path) -> None:
    """Train all cases as one of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save({case: trained(case, rank, 2) for case in CASES}, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, tuple[State, list[dict[str, float]]]]]:
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "tests.methods.test_whole_batch"]
    root = Path(__file__).parents[2]
    both = [subprocess.Popen([*command, str(rank), str(folder)], cwd=root) for rank in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(case: str, of_two: list[dict[str, tuple[State, list[dict[str, float]]]]]) -> None:
    alone, alone_steps = trained(case)
    (first, first_steps), (second, second_steps) = (results[case] for results in of_two)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-12)
        torch.testing.assert_close(
            first[name], value, rtol=1e-7, atol=1e-9, msg=lambda told, name=name: f"{name}: {told}"
        )
    for together, one, other in zip(alone_steps, first_steps, second_steps, strict=True):
        assert {name: one[name] + other[name] for name in one} == pytest.approx(together, rel=1e-7, abs=1e-12)


if __name__ == "__main__":  # as one of the two
    one_of_two(int(sys.argv[1]), Path(sys.argv[2]))
