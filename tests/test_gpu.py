"""On a GPU losses, gradients, transport, views and batches are those of the CPU; draws and whole runs are sound."""

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import wcord
from wcord.contrast import nce_loss
from wcord.contrast.draws import draw_other_class, draw_rows
from wcord.data.batch import Batch
from wcord.data.config import DataConfig
from wcord.data.loader import Loader
from wcord.data.opening import open_data
from wcord.data.view import View
from wcord.methods.build import adapt_student, adapt_teacher, option_names, parse_method
from wcord.methods.catalogue import METHODS
from wcord.transport import transport_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # torch calls the mode a prototype
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method`"),  # torch.compile still uses it
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores"),  # the tests compare in full precision
]
SAMPLES, BATCH, CLASSES = 200, 24, 10
SUMS = ["wcord+kd", "crd+kd", "wcord-a+kd"]


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """Convolutions in float32, not TF32, and always by the same algorithm."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def make_step(method: str, device: str, estimator: str) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what gives a batch's loss and the student's gradient, of networks and inputs made on the CPU."""
    torch.manual_seed(0)
    teacher = wcord.create_model("resnet14", num_classes=CLASSES).eval().requires_grad_(False)
    student = wcord.create_model("resnet8", num_classes=CLASSES)
    images, target = torch.rand(BATCH, 3, 16, 16), torch.randint(CLASSES, (BATCH,))
    student = adapt_student(method, student, teacher, images)
    teacher = adapt_teacher(method, teacher, student, images)
    contrast = {"estimator": estimator, "num_negatives": 64}
    options = {name: contrast for name in parse_method(method) if "estimator" in option_names(name)}
    objective = wcord.build_method(
        method, student, teacher, sample=images, num_samples=SAMPLES, batch_size=BATCH, options=options
    )
    student, teacher, objective = (deepcopy(part).to(device) for part in (student.train(), teacher, objective))
    batch = Batch(images, images, target, torch.randperm(SAMPLES)[:BATCH]).to(device)

    def step() -> tuple[Tensor, Tensor]:
        with (
            wcord.capture(student, objective.student_map_names, cut=objective.cuts) as student_tap,
            wcord.capture(teacher, objective.teacher_map_names) as teacher_tap,
        ):
            with torch.no_grad():
                seen = teacher_tap(batch.teacher_input)
            total = objective(student_tap(batch.student_input), seen, batch).total
        total.backward()
        return total.detach(), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])

    return step


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("method", [*METHODS, *SUMS])
def test_every_method_has_the_loss_and_gradient_of_the_cpu(method: str) -> None:
    # What draws its negatives on the device draws others there: the expected loss has none to draw.
    steps = (make_step(method, device, "expected") for device in ("cuda", "cpu"))
    (loss, gradient), (expected, expected_gradient) = (step() for step in steps)
    torch.testing.assert_close(loss.cpu(), expected, rtol=1e-4, atol=1e-6)
    assert relative(gradient.cpu(), expected_gradient) < 1e-3


@pytest.mark.parametrize(("method", "waits"), [("kd", 0), ("wcord", 1), ("crd", 1)])
def test_a_step_seldom_waits_for_the_device(method: str, waits: int) -> None:
    """Row numbers are looked at before a memory is read: once a step."""
    step = make_step(method, "cuda", "sampled")
    step()  # the first one sets the constants
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            torch.ones((), device="cuda").item()  # which waits, and is told
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert 1 <= len([each for each in seen if "synchroniz" in str(each.message)]) <= 1 + waits


@pytest.mark.parametrize("gradient", ["entropic", "sharp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transport_is_that_of_the_cpu(gradient: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(96, 32, generator=generator).to(dtype) for _ in range(2))
    found = []
    for device in ("cuda", "cpu"):
        leaf = x.clone().to(device).requires_grad_()
        loss = transport_loss(leaf, y.to(device), epsilon=0.05, iterations=10, gradient=gradient)
        loss.backward()
        assert leaf.grad is not None
        found.append((loss.detach().float().cpu(), leaf.grad.float().cpu()))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=0.0)
    assert relative(found[0][1], found[1][1]) < (1e-3 if dtype == torch.float32 else 1e-2)


def test_draws_differ_within_a_row_and_are_those_of_the_generator() -> None:
    device = torch.device("cuda")
    drawn = draw_rows(50, 9, batch=4, device=device, generator=torch.Generator(device).manual_seed(3))
    again = draw_rows(50, 9, batch=4, device=device, generator=torch.Generator(device).manual_seed(3))
    assert torch.equal(drawn, again)
    assert drawn.is_cuda
    assert drawn.min() >= 0
    assert drawn.max() < 50
    assert all(row.unique().numel() == 9 for row in drawn)


@pytest.mark.parametrize("classes", [2, 40])
def test_no_row_of_the_own_class_is_drawn(classes: int) -> None:
    rows = torch.arange(400, device="cuda") % classes
    anchors = torch.arange(6, device="cuda") % classes
    drawn = draw_other_class(rows, anchors, 100)
    assert (rows[drawn] != anchors.unsqueeze(1)).all()
    assert all(row.unique().numel() == 100 for row in drawn)


@pytest.mark.parametrize("form", ["sampled", "expected", "shared"])
def test_the_estimators_are_those_of_the_cpu(form: str) -> None:
    torch.manual_seed(0)
    anchor, bank = nn.functional.normalize(torch.randn(8, 16)), nn.functional.normalize(torch.randn(300, 16))
    drawn = torch.randint(300, (8, 40))
    index = {"sampled": drawn, "expected": None, "shared": drawn[0]}[form]
    found = []
    for device in ("cuda", "cpu"):
        leaf = anchor.clone().to(device).requires_grad_()
        loss = nce_loss(
            leaf,
            bank[:8].to(device),
            bank.to(device),
            None if index is None else index.to(device),
            temperature=0.1,
            log_mean_exp=1.0,
            num_negatives=40,
        )
        loss.backward()
        assert leaf.grad is not None
        found.append((loss.detach().cpu(), leaf.grad.cpu()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "text", ["resize=8", "gray", "lab-l", "lab-ab,resize=16", "crop=12", "edges", "gray,resize=20"]
)
def test_views_are_those_of_the_cpu(text: str) -> None:
    images, view = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0)), View.parse(text)
    torch.testing.assert_close(view(images.cuda()).cpu(), view(images), rtol=1e-4, atol=1e-4)


def test_batches_are_those_of_the_cpu() -> None:
    """Pictures lie on the GPU; order, crops and flips do not depend on where."""
    data = open_data(DataConfig(data="digits"))
    loaders = [Loader(data.train, batch_size=50, augment="crop-flip", shuffle=True, device=d) for d in ("cuda", "cpu")]
    for found, expected in zip(*(loader.batches(3) for loader in loaders), strict=True):
        assert found.student_input.is_cuda
        torch.testing.assert_close(found.student_input.cpu(), expected.student_input)
        assert torch.equal(found.target.cpu(), expected.target)


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"compile": True},
        {"student_view": "resize=4"},
        {"student_view": "edges", "method": "wcord"},
        {"method": "crd+kd", "augment": "crop-flip"},
    ],
    ids=lambda settings: " ".join(f"{k}={v}" for k, v in settings.items()),
)
def test_runs_end_and_what_they_made_is_evaluated_on_either(settings: dict[str, object], tmp_path: Path) -> None:
    asked = {"method": "wcord+kd", "subset": 100.0, "epochs": 2, "allow_weak_teacher": True, "device": "cuda"}
    made = wcord.distill("resnet8", "resnet8", out=tmp_path / "run", **{**asked, **settings})
    assert made.outcome.status == "finished"
    assert made.record is not None
    assert made.record.environment["hardware"] == torch.cuda.get_device_name()
    weights = made.run / "student.safetensors"
    on_gpu, on_cpu = (wcord.evaluate(weights=weights, device=device)["top1"] for device in ("cuda", "cpu"))
    assert on_gpu == pytest.approx(made.record.metrics["top1_last"], abs=0.5)
    assert on_cpu == pytest.approx(on_gpu, abs=1.0)
