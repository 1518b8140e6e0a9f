"""APT: what trains on each side, the loss by its parts, that the features do not collapse, and what is refused."""

from copy import deepcopy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.support.swin_teacher import pictures, swin_network, swin_teacher, trained_swin_teacher
from torch import Tensor, nn

import wcord
from wcord.checks import DoesNotFitError, NonFiniteError, UsageError
from wcord.data.batch import Batch
from wcord.data.opening import from_arrays
from wcord.features import Features, capture
from wcord.losses import margin_softmax_loss, urfm_loss
from wcord.methods.apt import APTTerm, TokenReader
from wcord.methods.build import adapt_teacher, build_objective, option_names, resolved_options
from wcord.methods.objective import Objective
from wcord.methods.observe import observe, rehearse
from wcord.models.create import create_model
from wcord.models.network import Network, unwrap
from wcord.models.prompts import PromptedSwin

CLASSES, SIDE = 5, 8
SMALL = {"prompts": 3, "centers": 4, "heads": 2}


class Bench:
    """A student, an adapted Swin teacher and the method between them."""

    def __init__(
        self,
        method: str = "apt",
        *,
        whole: bool = False,
        samples: int = 12,
        original: nn.Module | None = None,
        **options: Any,
    ) -> None:
        self.images, self.target = pictures(samples)
        self.original = original or (swin_network() if whole else swin_teacher())
        torch.manual_seed(1)
        self.student = create_model("resnet8", num_classes=CLASSES, in_channels=1)
        given = {"apt": {**SMALL, **options}}
        self.teacher = adapt_teacher(method, self.original, self.student, self.images, options=given)
        setting = observe(self.student, self.teacher, student_sample=self.images, batch_size=samples)
        self.objective: Objective = build_objective(method, setting, options=given)
        self.batch = Batch(self.images, self.images, self.target)
        self.term: APTTerm = self.objective.terms["apt"]  # pyright: ignore[reportAttributeAccessIssue]

    def features(self) -> tuple[Features, Features]:
        with (
            capture(self.student, self.objective.student_map_names) as student,
            capture(self.teacher, self.objective.teacher_map_names) as teacher,
        ):
            return student(self.images), teacher(self.images)

    def additions(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.teacher.parameters() if parameter.requires_grad]

    def train(self, steps: int, *, lr: float = 0.05) -> list[dict[str, float]]:
        """Train both sides as a run does: both losses from the same passes, then both steps."""
        own = [*self.student.parameters(), *self.objective.parameters()]
        student = torch.optim.SGD(own, lr=lr, momentum=0.9)
        teacher = torch.optim.AdamW(self.additions(), lr=1e-3)
        self.student.train()
        self.objective.train()
        seen = []
        for _ in range(steps):
            sides = self.features()
            report = self.objective(*sides, self.batch)
            taught = self.objective.teach(*sides, self.batch)
            assert taught is not None
            student.zero_grad()
            teacher.zero_grad()
            taught.backward()
            report.total.backward()
            teacher.step()
            student.step()
            seen.append({name: value.item() for name, value in report.diagnostics.items()} | {"teach": taught.item()})
        return seen


def grads(parameters: Any) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@pytest.mark.parametrize("whole", [False, True])
def test_what_trains_in_the_teacher_is_prompts_and_centers(whole: bool) -> None:
    bench = Bench(whole=whole)
    adapted = unwrap(bench.teacher)
    assert isinstance(adapted, PromptedSwin)
    assert isinstance(bench.teacher, Network) == whole
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained == {
        *(f"network.layers.{stage}.prompts" for stage in range(2)),
        *(f"reader.{name}" for name, _ in adapted.reader.named_parameters()),
    }
    frozen = Bench(train_teacher_urfm=False)
    assert [tuple(parameter.shape) for parameter in frozen.additions()] == [(3, 16), (3, 32)]


def test_the_parts_by_their_definition() -> None:
    bench = Bench(attention_weight=2.0, feature_weight=0.5)
    student, teacher = bench.features()
    report = bench.objective(student, teacher, bench.batch)
    with torch.no_grad():
        features, attention, _ = bench.term.reader(student.maps["stage3"].flatten(2).mT)
        adapted = unwrap(bench.teacher)
        read: list[Any] = []
        handle = adapted.reader.register_forward_hook(lambda module, inputs, output: read.append(output))
        logits = bench.teacher(bench.images)
        handle.remove()
        others = read[0]
        expected = 2 * F.mse_loss(attention, others[1]) + 0.5 * F.mse_loss(features, others[0])
        torch.testing.assert_close(report.parts["apt"], expected)
        torch.testing.assert_close(report.parts["ce"], F.cross_entropy(student.logits, bench.target))
        torch.testing.assert_close(report.total, report.parts["ce"] + report.parts["apt"])
        taught = bench.objective.teach(student, teacher, bench.batch)
        torch.testing.assert_close(taught, expected + F.cross_entropy(logits, bench.target))
    assert attention.shape == (12, 2, 4, 4)
    assert features.shape == (12, 4, 32)
    assert report.diagnostics["teacher_center_variance"].item() == pytest.approx(
        others[2].var(dim=0, correction=0).mean().item(), rel=1e-4
    )


def test_each_loss_moves_its_own_side_alone() -> None:
    bench = Bench()
    student, teacher = bench.features()
    bench.objective(student, teacher, bench.batch).total.backward(retain_graph=True)
    assert grads(bench.teacher.parameters()) == []
    own = [*bench.student.parameters(), *bench.objective.parameters()]
    assert len(grads(own)) == len(own)
    for parameter in own:
        parameter.grad = None
    taught = bench.objective.teach(student, teacher, bench.batch)
    assert taught is not None
    taught.backward()
    assert grads(own) == []
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in bench.additions())
    assert grads(bench.original.parameters()) == []


@pytest.mark.slow
@pytest.mark.parametrize("moves", [True, False])
def test_200_steps_teach_the_student_and_no_side_collapses(moves: bool) -> None:
    bench = Bench(samples=20, original=trained_swin_teacher(), train_teacher_urfm=moves)
    before = deepcopy(bench.teacher.state_dict())
    seen = bench.train(200)
    first, last = seen[0], seen[-1]
    assert last["teach"] < 0.5 * first["teach"]
    assert last["student_center_variance"] > first["student_center_variance"]
    assert last["teacher_center_variance"] > 0.5 * first["teacher_center_variance"]
    # Both sides meet where the differences are smaller if the teacher's attention trains too: see docs/systems.md.
    assert last["teacher_feature_variance"] > (0.02 if moves else 0.9) * first["teacher_feature_variance"]
    assert last["student_feature_variance"] > first["student_feature_variance"]
    frozen = [name for name, parameter in bench.teacher.named_parameters() if not parameter.requires_grad]
    after = bench.teacher.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert bench.student(bench.images).argmax(1).eq(bench.target).float().mean() > 0.9


def test_without_prompts_the_teachers_logits_are_bit_for_bit_its_own_and_centers_may_rest() -> None:
    bench = Bench(prompts=0)
    with torch.no_grad():
        assert torch.equal(bench.features()[1].logits, bench.original(bench.images))
    assert bench.objective.teaches
    still = Bench(prompts=0, train_teacher_urfm=False)
    assert not still.objective.teaches
    student, teacher = still.features()
    assert still.objective(student, teacher, still.batch).total.isfinite()
    assert still.objective.teach(student, teacher, still.batch) is None


def test_the_networks_may_have_other_numbers_of_tokens() -> None:
    bench = Bench()
    reader = unwrap(bench.teacher).reader
    assert isinstance(reader, TokenReader)
    assert (len(bench.term.reader.index), len(reader.index)) == (4, 4 + 3)
    assert reader.index[4:].tolist() == [4, 4, 4]
    assert (len(bench.term.reader.mapping.bucket), len(reader.mapping.bucket)) == (4, 5)
    other = TokenReader(32, (7, 5), token_dim=6, centers=4, heads=2)
    assert other(torch.randn(2, 35, 6))[0].shape == (2, 4, 32)


def test_margin_recognition_trains_the_embedding_with_classes_of_its_own() -> None:
    plain, bench = Bench(), Bench(recognition="margin", scale=10.0, margin=0.2)
    assert bench.term.classes is not None
    student, teacher = bench.features()
    margin = margin_softmax_loss(student.embedding, bench.term.classes, bench.target, scale=10.0, margin=0.2)
    local = bench.term.reader(student.maps["stage3"].flatten(2).mT)[:2]
    others = [teacher.maps[name] for name in bench.term.teacher_map_names[:2]]
    loss = bench.objective(student, teacher, bench.batch)
    torch.testing.assert_close(loss.parts["apt"], urfm_loss(local, others) + margin)
    loss.total.backward()
    assert bench.term.classes.grad is not None
    assert plain.term.classes is None
    with pytest.raises(UsageError, match=r"recognition must be one of 'ce', 'margin', received|unknown recognition"):
        Bench(recognition="arc")


def test_a_sum_has_the_parts_that_each_has_alone() -> None:
    both, alone = Bench("apt+kd"), Bench()
    alone.student.load_state_dict(both.student.state_dict())
    alone.teacher.load_state_dict(both.teacher.state_dict())
    alone.objective.terms["apt"].load_state_dict(both.term.state_dict())
    report, single = (bench.objective(*bench.features(), bench.batch) for bench in (both, alone))
    assert report.parts.keys() == {"ce", "apt", "kd"}
    for name, value in single.parts.items():
        torch.testing.assert_close(value, report.parts[name])


def test_samples_of_several_labels_and_smoothed_ones() -> None:
    bench = Bench()
    setting = observe(bench.student, bench.teacher, student_sample=bench.images, label_smoothing=0.2)
    objective = build_objective("apt", setting, options={"apt": SMALL})
    student, teacher = bench.features()
    smooth = objective.teach(student, teacher, bench.batch)
    setting = observe(bench.student, bench.teacher, student_sample=bench.images, several_labels=True)
    objective = build_objective("apt", setting, options={"apt": SMALL})
    several = F.one_hot(bench.target, CLASSES).float()
    labelled = Batch(bench.images, bench.images, several)
    taught = objective.teach(student, teacher, labelled)
    assert smooth is not None
    assert taught is not None
    assert bool(smooth.isfinite() and taught.isfinite())
    with pytest.raises(UsageError, match=r"apt .*several labels"):
        build_objective("apt", setting, options={"apt": {**SMALL, "recognition": "margin"}})


def test_bf16_autocast_is_about_float32() -> None:
    bench = Bench()
    plain = bench.objective(*bench.features(), bench.batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sides = bench.features()
        report, taught = bench.objective(*sides, bench.batch), bench.objective.teach(*sides, bench.batch)
    assert taught is not None
    assert report.parts["apt"].dtype == taught.dtype == torch.float32
    torch.testing.assert_close(report.parts["apt"], plain.parts["apt"], rtol=0.05, atol=1e-2)


def test_nan_is_reported_by_name() -> None:
    bench = Bench()
    student, teacher = bench.features()
    broken = Features(student.logits, student.embedding, {"stage3": student.maps["stage3"] * torch.nan})
    with pytest.raises(NonFiniteError, match=r"apt: tokens holds"):
        bench.objective(broken, teacher, bench.batch)


def test_rehearsal_runs_both_losses() -> None:
    bench = Bench()
    rehearse(bench.objective, bench.student, bench.teacher, bench.images[:2], bench.images[:2])


def test_options_are_those_of_both_sides() -> None:
    options = {"prompts", "centers", "heads", "train_teacher_urfm", "attention_weight", "feature_weight",
               "recognition", "scale", "margin", "teacher_lr"}  # fmt: skip
    assert set(option_names("apt")) == options
    resolved = resolved_options("apt")["apt"]
    assert (resolved["prompts"], resolved["centers"], resolved["heads"], resolved["attention_weight"]) == (8, 16, 4, 1)


def test_refusals() -> None:
    student, images = create_model("resnet8", num_classes=CLASSES, in_channels=1), torch.rand(2, 1, 8, 8)
    with pytest.raises(DoesNotFitError, match=r"apt: prompts go into a Swin transformer of timm .*received ResNet"):
        adapt_teacher("apt", student, student, images)
    with pytest.raises(
        UsageError, match=r"apt trains prompts in a Swin teacher, received SwinTransformer: make it with"
    ):
        build_objective("apt", observe(student, swin_teacher(), student_sample=images))
    with pytest.raises(UsageError, match=r"apt: heads must divide the width 32 of the features, received 5"):
        Bench(heads=5)
    with pytest.raises(UsageError, match=r"apt: prompts must be a whole number of at least 0, received -1"):
        Bench(prompts=-1)
    with pytest.raises(UsageError, match=r"apt: teacher_lr must be a finite number of at least 0"):
        Bench(teacher_lr=-1.0)
    adapted = adapt_teacher("apt", swin_teacher(), student, images)
    other = create_model("resnet8", num_classes=3, in_channels=1)
    with pytest.raises(DoesNotFitError, match=r"apt compares logits, but the teacher has 5 classes and the student 3"):
        build_objective("apt", observe(other, adapted, student_sample=images))
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(DoesNotFitError, match=r"apt reads the student's last map .*but it states none"):
        build_objective("apt", observe(bare, adapted, student_sample=images))
    with pytest.raises(UsageError, match=r"apt .*labels, but there are none: leave out --no-labels"):
        build_objective("apt", observe(student, adapted, student_sample=images), labels=False)
    with pytest.raises(DoesNotFitError, match=r"the teacher's last map has one cell: use larger pictures"):
        adapt_teacher("apt", swin_teacher(side=4), student, torch.rand(2, 1, 4, 4))


@pytest.mark.parametrize("other", ["ab", "ofd", "reviewkd"])
def test_messages_name_the_network_that_holds_the_prompts(other: str) -> None:
    with pytest.raises(DoesNotFitError, match=r"adapted SwinTransformer does not say where its map 'layers"):
        Bench(f"apt+{other}").features()
    bench = Bench()
    with pytest.raises(UsageError, match="adapted SwinTransformer has no module 'patch_embed'"):
        observe(bench.student, bench.teacher, student_sample=bench.images, teacher_maps=["patch_embed"])


def test_the_plain_student_is_shipped_and_the_teacher_is_in_no_record_but_trains(tmp_path: Any) -> None:
    images, target = pictures(60, classes=3)
    data = from_arrays(images.mul(255).byte()[:, 0].numpy(), target.numpy())
    result = wcord.distill(
        swin_network(3), create_model("resnet8", num_classes=3, in_channels=1), data=data, method="apt",
        set=["apt.prompts=2", "apt.centers=4", "apt.heads=2"], epochs=2, batch_size=12, device="cpu",
        out=tmp_path / "run", allow_weak_teacher=True,
    )  # fmt: skip
    assert result.record is not None
    epochs = result.record.epochs
    assert set(epochs[-1]["parts"]) == {"ce", "apt"}
    plain = create_model("resnet8", num_classes=3, in_channels=1)
    assert unwrap(result.student).state_dict().keys() == plain.state_dict().keys()
