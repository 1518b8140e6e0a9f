"""LAKD, a reconstruction: modules that train by their own losses, and nothing that reaches from one into another."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.support.golden import golden
from torch import Tensor, nn

from wcord import build_method, capture, create_model
from wcord.checks import DoesNotFitError, UsageError
from wcord.data.batch import Batch
from wcord.features import Features
from wcord.losses import LossReport, at_loss, fitnet_loss, kd_loss
from wcord.methods.build import build_objective, parse_method, resolved_options
from wcord.methods.catalogue import METHODS
from wcord.methods.lakd import LAKDTerm
from wcord.methods.objective import Objective
from wcord.methods.setting import Setting
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.average import MovingAverage

CLASSES = 5
LITERAL = [1.076536333986, 1.931950928784]
"""Losses of the two modules whose maps `wave` gives."""
STAGES = ("stage1", "stage2", "stage3")
PLACES = {"stem": "conv1", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3", "classifier": "fc"}


def setting(student: list[tuple[int, ...]], teacher: list[tuple[int, ...]], **given: Any) -> Setting:
    maps = [{"stem": (3, 8, 8)} | {f"map{i}": shape for i, shape in enumerate(shapes)} for shapes in (student, teacher)]
    return Setting(8, 12, CLASSES, CLASSES, student_maps=maps[0], teacher_maps=maps[1], **given)


def wave(*shape: int, by: float = 0.7) -> Tensor:
    """Return numbers that any clone can make again."""
    count = int(np.prod(shape))
    return torch.sin(by * torch.arange(1, count + 1, dtype=torch.float64)).reshape(shape)


@pytest.fixture
def pair() -> tuple[nn.Module, nn.Module, Batch]:
    """Return a student, a wider teacher, and a batch."""
    torch.manual_seed(0)
    student = create_model("resnet8", num_classes=CLASSES).double().eval()
    teacher = create_model("resnet8x4", num_classes=CLASSES).double().eval().requires_grad_(False)
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)
    return student, teacher, Batch(images, images, torch.tensor([0, 3, 1, 0]))


def objective_of(method: str, student: nn.Module, teacher: nn.Module, **given: Any) -> Objective:
    torch.manual_seed(1)
    return build_method(method, student, teacher, sample=torch.zeros(2, 3, 16, 16).double(), **given).double()


def report_of(objective: Objective, student: nn.Module, teacher: nn.Module, batch: Batch) -> LossReport:
    with (
        capture(student, objective.student_map_names, cut=objective.cuts) as tap,
        capture(teacher, objective.teacher_map_names) as other,
    ):
        with torch.no_grad():
            seen = other(batch.teacher_input)
        return objective(tap(batch.student_input), seen, batch)


def gradients(student: nn.Module, total: Tensor) -> dict[str, Tensor]:
    student.zero_grad()
    total.backward(retain_graph=True)
    return {
        name: torch.cat([
            torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
            for p in student.get_submodule(place).parameters()
        ])
        for name, place in PLACES.items()
    }  # fmt: skip


def lakd_of(objective: Objective) -> LAKDTerm:
    term = objective.terms["lakd"]
    assert isinstance(term, LAKDTerm)
    return term


class TestValues:
    def test_of_each_module_against_loops(self) -> None:
        student = {"map0": wave(2, 3, 4, 4), "map1": wave(2, 4, 2, 2, by=0.3)}
        teacher = {"map0": wave(2, 3, 8, 8, by=1.1), "map1": wave(2, 5, 2, 2, by=0.9)}
        term = LAKDTerm("lakd", setting([(3, 4, 4), (4, 2, 2)], [(3, 8, 8), (5, 2, 2)]), alpha=0.3, beta=2.0).double()
        assert isinstance(term.adapters[0], nn.Identity)
        adapter = term.adapters[1]
        assert isinstance(adapter, nn.Conv2d)
        with torch.no_grad():
            adapter.weight.copy_(wave(5, 4, 1, 1, by=0.2))
        expected = []
        for name, weight in (("map0", None), ("map1", wave(5, 4, by=0.2))):
            s, t = student[name], teacher[name]
            if t.shape[2] > s.shape[2]:  # mean of each 2×2 block
                t = (t[..., ::2, ::2] + t[..., 1::2, ::2] + t[..., ::2, 1::2] + t[..., 1::2, 1::2]) / 4
            adapted = s if weight is None else torch.einsum("oc,bchw->bohw", weight, s)
            feature = sum(float((a - b) ** 2) for a, b in zip(adapted.flatten(), t.flatten(), strict=True)) / t.numel()
            energies = []
            for x in (s, t):
                rows = [(row**2).sum(dim=0).flatten() / row.shape[0] for row in x]
                energies.append(torch.stack([row / row.norm() for row in rows]))
            attention = float(((energies[0] - energies[1]) ** 2).sum() / energies[0].numel())
            expected.append(2.0 * feature + 0.7 * attention)
        batch = Batch(wave(2, 1, 1, 1), wave(2, 1, 1, 1), torch.tensor([0, 1]))
        features = [Features(wave(2, CLASSES), wave(2, 8), maps) for maps in (student, teacher)]
        found = term.module_losses(*features, batch)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(found, torch.tensor(LITERAL, dtype=torch.float64), rtol=1e-11, atol=0)
        assert term(*features, batch).item() == pytest.approx(sum(expected))
        measured = 2.0 * term.measured["lakd_feature"] + 0.7 * term.measured["lakd_attention"]
        assert measured.item() == pytest.approx(sum(expected))

    def test_a_larger_map_of_the_student_is_pooled(self) -> None:
        s, t = wave(2, 3, 8, 8), wave(2, 3, 4, 4, by=1.3)
        term = LAKDTerm("lakd", setting([(3, 8, 8)], [(3, 4, 4)]), alpha=1.0)
        batch = Batch(s, s, torch.tensor([0, 1]))
        value = term(*(Features(each[:, :, 0, 0], each[:, :, 0, 0], {"map0": each}) for each in (s, t)), batch)
        torch.testing.assert_close(value, (F.avg_pool2d(s, 2) - t).square().mean())

    def test_of_the_reference(self) -> None:
        g = golden("lakd")
        alpha, beta = g["constants"].tolist()
        shapes = [[tuple(g[f"{who}_map{i}"].shape[1:]) for i in range(3)] for who in ("student", "teacher")]
        term = LAKDTerm("lakd", setting(*shapes), alpha=alpha, beta=beta).double()
        for i in range(3):  # the reference has a convolution also where channels are equal
            out, channels = g[f"adapter{i}"].shape[:2]
            term.adapters[i] = nn.Conv2d(channels, out, 1, bias=False)
            term.adapters[i].weight = nn.Parameter(g[f"adapter{i}"].clone())
        student = {f"map{i}": g[f"student_map{i}"].clone().requires_grad_() for i in range(3)}
        teacher = {f"map{i}": g[f"teacher_map{i}"] for i in range(3)}
        logits = g["student_logits"]
        images = torch.zeros(3, 1, 1, 1)
        batch = Batch(images, images, g["target"])
        losses = term.module_losses(Features(logits, logits, student), Features(logits, logits, teacher), batch)
        answer = alpha * F.cross_entropy(logits, g["target"])
        expected = torch.stack([g[f"loss_module{i}"] for i in range(3)])
        torch.testing.assert_close(losses + torch.stack([answer * 0, answer * 0, answer]), expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(losses.sum() + answer, g["loss_total"], rtol=1e-5, atol=0)
        losses.sum().backward()
        for i in range(3):
            gradient, of_adapter = student[f"map{i}"].grad, term.adapters[i].weight.grad
            torch.testing.assert_close(gradient, g[f"loss_module{i}_grad_student_map{i}"], rtol=1e-5, atol=1e-8)
            torch.testing.assert_close(of_adapter, g[f"loss_module{i}_grad_adapter{i}"], rtol=1e-5, atol=1e-8)

    @pytest.mark.parametrize("cut", [True, False])
    def test_of_the_references_chain(self, cut: bool) -> None:
        g = golden("lakd")
        chain = Chain(g)
        shapes = [(4, 4, 3), (5, 4, 3), (6, 4, 3)]
        maps = {"stem": (3, 4, 3)} | {f"stages.{i}": shape for i, shape in enumerate(shapes)}
        alpha, beta = g["constants"].tolist()
        known = Setting(6, 6, CLASSES, CLASSES, student_maps=maps, teacher_maps=maps)
        objective = build_objective("lakd", known, options={"lakd": {"cut": cut, "alpha": alpha, "beta": beta}})
        assert objective.cuts == (("stages.0", "stages.1") if cut else ())
        teacher = {f"stages.{i}": g[f"chain_teacher{i}"] for i in range(3)}
        with capture(chain, objective.student_map_names, cut=objective.cuts) as tap:
            features = tap(g["chain_input"])
        batch = Batch(g["chain_input"], g["chain_input"], g["target"])
        total = objective(
            features, Features(features.logits.detach(), features.embedding.detach(), teacher), batch
        ).total
        total.backward()
        kind = "cut" if cut else "joint"
        torch.testing.assert_close(total, g[f"chain_{kind}_loss"], rtol=1e-5, atol=0)
        for i, stage in enumerate(chain.stages):
            torch.testing.assert_close(stage[0].weight.grad, g[f"chain_{kind}_grad_stage{i}"], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(chain.fc.weight.grad, g[f"chain_{kind}_grad_classifier"], rtol=1e-5, atol=1e-8)


class Chain(nn.Module):
    """The reference's student: three 1×1 convolutions with ReLU and a classifier of the mean."""

    def __init__(self, g: dict[str, Tensor]) -> None:
        super().__init__()
        weights = [g[f"chain_stage{i}"] for i in range(3)]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w.shape[1], w.shape[0], 1, bias=False), nn.ReLU()) for w in weights
        )
        self.fc = nn.Linear(6, CLASSES, bias=False)
        for stage, weight in zip(self.stages, weights, strict=True):
            stage[0].weight = nn.Parameter(weight.clone())
        self.fc.weight = nn.Parameter(g["chain_classifier"].clone())

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean(dim=(2, 3)))


class TestCuts:
    def test_each_stage_gets_the_gradient_of_its_own_losses(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        objective = objective_of("lakd", student, teacher)
        assert objective.cuts == ("stage1", "stage2")
        together = gradients(student, report_of(objective, student, teacher, batch).total)
        modules = module_losses(objective, student, teacher, batch)
        for number, name in enumerate(STAGES[:2]):
            alone = gradients(student, modules[number])
            torch.testing.assert_close(together[name], alone[name])
            others = [other for other in PLACES if other not in (name, *(["stem"] if number == 0 else []))]
            assert all(alone[other].abs().sum() == 0 for other in others)
        logits = logits_of(objective, student, batch)
        last = gradients(student, modules[2] + 0.5 * F.cross_entropy(logits, batch.target))
        torch.testing.assert_close(together["stage3"], last["stage3"])
        torch.testing.assert_close(together["classifier"], last["classifier"])
        assert last["stage2"].abs().sum() == 0 < last["stage3"].abs().sum()

    def test_the_joint_sum_differs_in_all_but_the_last_module(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        reports, found = [], []
        for cut in (True, False):
            objective = objective_of("lakd", student, teacher, options={"lakd": {"cut": cut}})
            reports.append(report_of(objective, student, teacher, batch))
            found.append(gradients(student, reports[-1].total))
        assert torch.equal(reports[0].total, reports[1].total)
        for name in ("stage3", "classifier"):
            assert torch.equal(found[0][name], found[1][name])
        for name in ("stem", "stage1", "stage2"):
            assert (found[0][name] - found[1][name]).norm() > 0.01 * found[1][name].norm()

    def test_a_module_depends_on_the_ones_before_but_sends_them_no_gradient(
        self, pair: tuple[nn.Module, nn.Module, Batch]
    ) -> None:
        student, teacher, batch = pair
        objective = objective_of("lakd", student, teacher)
        weight = student.get_parameter("layer1.0.conv1.weight")
        shift = 1e-5 * torch.sign(wave(*weight.shape))
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                weight += sign * shift
            values.append(module_losses(objective, student, teacher, batch))
        slopes = (values[0] - values[1]) / 2e-5
        assert (slopes.detach().abs() > 1e-6).all()
        for number, reached in enumerate((True, False, False)):
            gradient = gradients(student, module_losses(objective, student, teacher, batch)[number])["stage1"]
            assert (gradient.abs().sum() > 0) == reached

    def test_values_are_those_without_cuts(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        student.train()
        other = copy.deepcopy(student)
        objective = objective_of("lakd", student, teacher)
        report = report_of(objective, student, teacher, batch)
        joint = objective_of("lakd", student, teacher, options={"lakd": {"cut": False}})
        assert joint.cuts == ()
        assert torch.equal(report.total, report_of(joint, other, teacher, batch).total)
        for name, value in student.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name

    def test_a_loop_that_forgets_the_cuts_is_refused(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        objective = objective_of("lakd", student, teacher)
        with (
            capture(student, objective.student_map_names) as tap,
            capture(teacher, objective.teacher_map_names) as other,
        ):
            student_features, teacher_features = tap(batch.student_input), other(batch.teacher_input)
        message = r"ce\+lakd stops the gradient after the student's stage1, stage2, but .*cut=objective\.cuts"
        with pytest.raises(UsageError, match=message):
            objective(student_features, teacher_features, batch)

    def test_the_moving_average_is_a_plain_network(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, _, batch = pair
        network = Network(student, Preprocess((0.5,) * 3, (0.3,) * 3)).double()
        with capture(network, cut=STAGES[:2]) as tap:
            average = MovingAverage(network, 0.9)
            tap(batch.student_input).logits.sum().backward()
            average.update(network)
        copied = average.module.requires_grad_()
        copied(batch.student_input).sum().backward()
        assert copied.get_parameter("backbone.layer1.0.conv1.weight").grad is not None


def module_losses(objective: Objective, student: nn.Module, teacher: nn.Module, batch: Batch) -> Tensor:
    with (
        capture(student, objective.student_map_names, cut=objective.cuts) as tap,
        capture(teacher, objective.teacher_map_names) as other,
    ):
        return lakd_of(objective).module_losses(tap(batch.student_input), other(batch.teacher_input), batch)


def logits_of(objective: Objective, student: nn.Module, batch: Batch) -> Tensor:
    with capture(student, cut=objective.cuts) as tap:
        return tap(batch.student_input).logits


class TestOptions:
    def test_alpha_is_the_factor_of_cross_entropy_too(self) -> None:
        assert parse_method("lakd") == {"ce": 0.5, "lakd": 1.0}
        assert parse_method("lakd+kd") == {"ce": 0.5, "lakd": 1.0, "kd": 1.0}
        assert parse_method("lakd+lskd")["ce"] == 0.1  # the lowest that a method sets
        options = {"lakd": {"alpha": 0.25}}
        assert parse_method("lakd+kd", options)["ce"] == 0.25
        assert resolved_options("lakd", options)["ce"] == {"weight": 0.25}
        known = setting([(3, 4, 4)], [(3, 4, 4)])
        assert build_objective("lakd", known, options=options).weights == {"ce": 0.25, "lakd": 1.0}
        both = options | {"ce": {"weight": 1.0}}
        assert build_objective("lakd", known, options=both).weights == {"ce": 1.0, "lakd": 1.0}

    def test_heads_add_the_cross_entropy_of_each_module_but_the_last(
        self, pair: tuple[nn.Module, nn.Module, Batch]
    ) -> None:
        student, teacher, batch = pair
        given = {"options": {"lakd": {"heads": True, "alpha": 0.3}}, "label_smoothing": 0.1}
        objective = objective_of("lakd", student, teacher, **given)
        term = lakd_of(objective)
        assert [head.in_features for head in term.heads] == [16, 32]  # pyright: ignore[reportAttributeAccessIssue]
        plain = objective_of("lakd", student, teacher, options={"lakd": {"alpha": 0.3}})
        lakd_of(plain).adapters.load_state_dict(term.adapters.state_dict())
        added = module_losses(objective, student, teacher, batch) - module_losses(plain, student, teacher, batch)
        with capture(student, STAGES) as tap:
            maps = tap(batch.student_input).maps
        for number, head in enumerate(term.heads):
            logits = head(maps[STAGES[number]].mean(dim=(2, 3)))
            expected = 0.3 * F.cross_entropy(logits, batch.target, label_smoothing=0.1)
            torch.testing.assert_close(added[number], expected)
        assert added[2] == 0
        assert gradients(student, report_of(objective, student, teacher, batch).total)["stage1"].abs().sum() > 0
        assert all(parameter.grad is not None for parameter in term.parameters())

    def test_heads_weigh_classes_and_know_several_labels(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        options = {"lakd": {"heads": True}}
        weighted = objective_of("lakd", student, teacher, options=options, class_weights=[1.0, 2.0, 1.0, 4.0, 1.0])
        assert lakd_of(weighted).needs.whole_batch
        assert report_of(weighted, student, teacher, batch).total.isfinite()
        several = objective_of("lakd", student, teacher, options=options, several_labels=True)
        shares = F.one_hot(batch.target, CLASSES).double()
        batch = Batch(batch.student_input, batch.teacher_input, shares)
        assert report_of(several, student, teacher, batch).total.isfinite()

    def test_heads_need_labels(self) -> None:
        known = setting([(3, 4, 4), (4, 2, 2)], [(3, 4, 4), (4, 2, 2)])
        assert build_objective("lakd", known, labels=False).weights == {"lakd": 1.0}
        with pytest.raises(UsageError, match=r"lakd .*labels"):
            build_objective("lakd", known, options={"lakd": {"heads": True}}, labels=False)

    def test_deep_last_trains_module_after_module(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        options = {"lakd": {"order": "deep_last"}}
        objective = objective_of("lakd+kd+wcord", student, teacher, options=options, total_steps=7)
        trained = []
        for _ in range(8):
            found = gradients(student, report_of(objective, student, teacher, batch).total)
            trained.append([name for name in PLACES if found[name].abs().sum() > 0])
        first, second, third = list(PLACES)[:2], list(PLACES)[:3], list(PLACES)
        assert trained == [first] * 3 + [second] * 2 + [third] * 3  # from 0, 7/3 and 14/3 of 7 steps on

    def test_deep_last_in_the_middle_is_what_its_state_says(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        given = {"options": {"lakd": {"order": "deep_last"}}, "total_steps": 3}
        objective, resumed = (objective_of("lakd", student, teacher, **given) for _ in range(2))
        report_of(objective, student, teacher, batch)
        resumed.load_state_dict(objective.state_dict())
        values = [report_of(each, student, teacher, batch).total for each in (objective, resumed)]
        assert torch.equal(*values)
        objective.eval()
        assert torch.equal(*(report_of(objective, student, teacher, batch).total for _ in range(2)))

    def test_bad_options_are_refused_in_one_line(self) -> None:
        known = setting([(3, 4, 4)], [(3, 4, 4)])
        with pytest.raises(UsageError, match=r"alpha must lie between 0 and 1, received 2"):
            LAKDTerm("lakd", known, alpha=2)
        with pytest.raises(UsageError, match=r"lakd.alpha must be"):
            build_objective("lakd", known, options={"lakd": {"alpha": "high"}})
        with pytest.raises(UsageError, match=r"beta must be"):
            LAKDTerm("lakd", known, beta=-1)
        with pytest.raises(UsageError, match=r"cut must be True or False"):
            LAKDTerm("lakd", known, cut="yes")  # pyright: ignore[reportArgumentType]
        with pytest.raises(UsageError, match=r"heads must be True or False"):
            LAKDTerm("lakd", known, heads=1)  # pyright: ignore[reportArgumentType]
        with pytest.raises(UsageError, match="unknown order 'shallow_last'"):
            LAKDTerm("lakd", known, order="shallow_last")  # pyright: ignore[reportArgumentType]
        with pytest.raises(UsageError, match="order=deep_last starts the modules at shares of the training, whose"):
            LAKDTerm("lakd", known, order="deep_last")


class TestSums:
    def test_kd_reaches_the_last_module_only(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        objective = objective_of("lakd+kd", student, teacher)
        report = report_of(objective, student, teacher, batch)
        logits = logits_of(objective, student, batch)
        kd = kd_loss(logits, teacher(batch.teacher_input), temperature=4.0)
        torch.testing.assert_close(report.parts["kd"], kd)
        found = gradients(student, kd)
        assert [name for name in PLACES if found[name].abs().sum() > 0] == ["stage3", "classifier"]

    @pytest.mark.parametrize("other", ["kd", "wcord", "at"])
    def test_parts_are_those_of_the_methods_alone(self, pair: tuple[nn.Module, nn.Module, Batch], other: str) -> None:
        student, teacher, batch = pair
        together = report_of(objective_of(f"lakd+{other}", student, teacher), student, teacher, batch)
        alone = report_of(objective_of("lakd", student, teacher), student, teacher, batch)
        assert torch.equal(together.parts["lakd"], alone.parts["lakd"])
        assert gradients(student, together.total)["stage1"].isfinite().all()


class TestFit:
    def test_one_module_is_ordinary_training_with_hints(self) -> None:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(1),
                                nn.Linear(4, CLASSES))  # fmt: skip
        teacher, images = copy.deepcopy(network), torch.rand(2, 3, 8, 8)
        objective = build_method(
            "lakd", network, teacher, sample=images, student_maps=["0", "1"], teacher_maps=["0", "1"]
        )
        assert (objective.cuts, objective.student_map_names) == ((), ("1",))
        batch = Batch(images, images, torch.tensor([0, 1]))
        report_of(objective, network, teacher, batch).total.backward()
        assert all(parameter.grad is not None for parameter in network.parameters())

    def test_networks_without_maps_are_refused(self) -> None:
        flat = nn.Sequential(nn.Flatten(1), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, CLASSES))
        with pytest.raises(DoesNotFitError, match="lakd reads feature maps, but the student states none"):
            build_method("lakd", flat, copy.deepcopy(flat), sample=torch.rand(2, 3, 2, 2))
        with pytest.raises(DoesNotFitError, match="lakd reads maps of channels × height × width"):
            LAKDTerm("lakd", setting([(9, 4)], [(9, 4)]))

    def test_fewer_stages_are_paired_from_the_deepest(self) -> None:
        shapes = [(4, 8, 8), (6, 4, 4), (8, 2, 2)]
        term = LAKDTerm("lakd", setting(shapes[1:], shapes))
        assert [(pair.student, pair.teacher) for pair in term.pairs] == [("map0", "map1"), ("map1", "map2")]
        assert term.cuts == ("map0",)
        term = LAKDTerm("lakd", setting(shapes, shapes[1:]))
        assert [(pair.student, pair.teacher) for pair in term.pairs] == [("map1", "map0"), ("map2", "map1")]
        assert term.cuts == ("map1",)  # the first stage belongs to the first module

    @pytest.mark.parametrize("kind", ["equal", "zero", "one-hot"])
    def test_gradients_are_finite_at_the_edges(self, kind: str) -> None:
        maps = {"equal": wave(2, 3, 4, 4), "zero": wave(2, 3, 4, 4) * 0, "one-hot": wave(2, 3, 4, 4)}[kind]
        student = maps.clone().requires_grad_()
        term = LAKDTerm("lakd", setting([(3, 4, 4)], [(3, 4, 4)]))
        given = maps if kind != "one-hot" else F.one_hot(torch.zeros(2, 3, 4).long(), 4).double()
        batch = Batch(maps, maps, torch.tensor([0, 1]))
        features = [Features(wave(2, CLASSES), wave(2, 8), {"map0": each}) for each in (student, given)]
        value = term(*features, batch)
        value.backward()
        assert value.isfinite()
        assert student.grad is not None
        assert student.grad.isfinite().all()
        assert (value.item() == 0) == (kind != "one-hot")

    def test_half_precision_and_autocast_compute_in_single(self) -> None:
        term = LAKDTerm("lakd", setting([(3, 4, 4)], [(5, 4, 4)]))
        batch = Batch(wave(2, 3, 4, 4), wave(2, 3, 4, 4), torch.tensor([0, 1]))
        maps = [wave(2, 3, 4, 4).float(), wave(2, 5, 4, 4, by=0.9).float()]
        expected = term(*(Features(each, each, {"map0": each}) for each in maps), batch)
        halves = [each.bfloat16() for each in maps]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = term(*(Features(each, each, {"map0": each}) for each in halves), batch)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)

    def test_nothing_reaches_the_teacher(self, pair: tuple[nn.Module, nn.Module, Batch]) -> None:
        student, teacher, batch = pair
        teacher.requires_grad_()
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        module_losses(objective_of("lakd", student, teacher), student, teacher, batch).sum().backward()
        assert all(parameter.grad is None for parameter in teacher.parameters())
        assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())

    def test_the_catalogue_marks_it_as_a_reconstruction(self) -> None:
        assert METHODS["lakd"].reconstruction
        assert "reconstruction" in METHODS["lakd"].title

    def test_the_losses_are_those_of_fitnet_and_at(self) -> None:
        s, t = wave(2, 3, 4, 4), wave(2, 3, 4, 4, by=1.3)
        term = LAKDTerm("lakd", setting([(3, 4, 4)], [(3, 4, 4)]), alpha=0.75, beta=4)
        batch = Batch(s, s, torch.tensor([0, 1]))
        value = term(*(Features(each[:, :, 0, 0], each[:, :, 0, 0], {"map0": each}) for each in (s, t)), batch)
        torch.testing.assert_close(value, 4 * fitnet_loss(s, t) + 0.25 * at_loss(s, t))
