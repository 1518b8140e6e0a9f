"""4Ds beside the authors' code: adapters, gate, and two whole steps of the joint training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tests.support.golden import golden
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import capture
from wcord.losses.fourds import fuse_phases, phase_feature_loss
from wcord.methods import fourds
from wcord.methods.build import adapt_teacher, build_objective
from wcord.methods.fourds import AdaptedStage, FourDsTerm, FourierAdapter, PhaseGate
from wcord.methods.objective import Objective
from wcord.methods.observe import observe
from wcord.models.network import Network, unwrap
from wcord.models.preprocess import Preprocess
from wcord.training.config import TrainingConfig
from wcord.training.distiller import Distiller
from wcord.training.engine import make_accelerator
from wcord.training.step import Step
from wcord.training.teaching import teaching
from wcord.training.update import Update

LAYERS = ((0, "weight"), (1, "weight"), (1, "bias"), (3, "weight"), (4, "weight"), (4, "bias"))
"""Parameters of an adapter beside θ."""


def loaded(adapter: FourierAdapter, values: Mapping[str, Tensor], theta: str, part: str) -> FourierAdapter:
    """Give an adapter the authors' weights; `part` is the name of a parameter with {0}, its layer, and {1}."""
    with torch.no_grad():
        adapter.theta.copy_(values[theta])
        for layer, name in LAYERS:
            getattr(adapter.adapt[layer], name).copy_(values[part.format(layer, name)])
    return adapter


@pytest.mark.parametrize("case", ["square", "odd", "even_odd", "tiny", "dead"])
def test_the_adapter_is_the_authors_with_all_gradients(case: str) -> None:
    values = golden("4ds")
    place = f"adapter_{case}."
    maps = values[f"{place}map"].double().requires_grad_()
    adapter = loaded(FourierAdapter(maps.shape[1]).double(), values, f"{place}theta", f"{place}fc_{{}}_{{}}")
    output = adapter(maps)
    torch.testing.assert_close(output, values[f"{place}output"], rtol=1e-9, atol=1e-9)
    if case == "dead":
        return
    named = {"map": maps, "theta": adapter.theta}
    named |= {f"fc_{layer}_{name}": getattr(adapter.adapt[layer], name) for layer, name in LAYERS}
    (output * values[f"{place}probe"]).sum().backward()
    for name, tensor in named.items():
        torch.testing.assert_close(tensor.grad, values[f"{place}probe_grad_{name}"], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("case", ["square", "non_square"])
def test_the_gate_is_the_authors(case: str) -> None:
    values = golden("4ds")
    teacher = fuse_phases([values[f"fusion_{case}.teacher_phase{number}"].double() for number in range(4)])
    gate = PhaseGate(teacher.shape[1]).double()
    with torch.no_grad():
        gate.squeeze.weight.copy_(values[f"fusion_{case}.se_squeeze"])
        gate.excite.weight.copy_(values[f"fusion_{case}.se_excite"])
    m = gate(teacher)
    torch.testing.assert_close(m, values[f"fusion_{case}.gate"], rtol=1e-9, atol=1e-9)
    student = [values[f"fusion_{case}.student_phase{number}"].double() for number in range(4)]
    parts = [values[f"fusion_{case}.teacher_phase{number}"].double() for number in range(4)]
    phase_feature_loss(student, parts, m).backward()
    for name in ("squeeze", "excite"):
        expected = values[f"fusion_{case}.loss_feature_grad_se_{name}"]
        torch.testing.assert_close(getattr(gate, name).weight.grad, expected, rtol=1e-9, atol=1e-12)


class Tiny(nn.Module):
    """The network of the golden steps: a stem and four stages of convolutions."""

    map_paths: ClassVar[dict[str, str]] = {"stem": "pool"} | {f"stage{n}": f"layer{n}" for n in range(1, 5)}

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.pool = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.MaxPool2d(2)
        width = 8
        for number, (channels, stride) in enumerate(((8, 1), (8, 2), (16, 2), (16, 1)), 1):
            layers: list[nn.Module] = []
            for position in range(depth):
                step = stride if position == 0 else 1
                layers += [nn.Conv2d(width, channels, 3, step, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
                width = channels
            self.add_module(f"layer{number}", nn.Sequential(*layers))
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.bn1(self.conv1(x)).relu())
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(x.mean((2, 3)))


def tiny(values: Mapping[str, Tensor], role: str, depth: int) -> Network:
    network = Tiny(depth)
    prefix = f"joint.{role}."
    state = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert not unexpected
    return Network(network, Preprocess((0.0,) * 3, (1.0,) * 3))


@contextmanager
def authors_step(values: Mapping[str, Tensor], out: Path) -> Iterator[Step]:
    """Yield our step between the networks of the golden steps, in double precision."""
    plain, student = tiny(values, "teacher", 2), tiny(values, "student", 1)
    sample = values["joint.step0_images"]
    teacher = adapt_teacher("4ds", plain, student, sample)
    assert isinstance(teacher, Network)
    for number in range(1, 5):
        stage = unwrap(teacher).get_submodule(f"layer{number}")
        assert isinstance(stage, AdaptedStage)
        prefix = f"joint.adapter{number}."
        loaded(stage.adapter, values, f"{prefix}weight", f"{prefix}fc.{{}}.{{}}")
    objective = build_objective("4ds", observe(student, teacher, student_sample=sample))
    term = objective.terms["4ds"]
    assert isinstance(term, FourDsTerm)
    with torch.no_grad():
        term.phase_gate.squeeze.weight.copy_(values["joint.se_squeeze"])
        term.phase_gate.excite.weight.copy_(values["joint.se_excite"])
    config = TrainingConfig(device="cpu", epochs=1, momentum=0.9, weight_decay=5e-4)
    accelerator = make_accelerator(config, out)
    for module in (teacher, student, objective):
        module.double()
    names = objective.teacher_map_names
    with (
        capture(student, objective.student_map_names) as tap,
        teaching(teacher, names, config, accelerator, None, objective.teacher_training, 10) as taught,
    ):
        trained = [*student.parameters(), *objective.parameters()]
        update = Update({1.0: trained}, config, 0.01, accelerator)
        taught.enter("main")
        yield Step(Distiller(student, objective, tap), student, update, None, taught, "main", accelerator)


def test_two_steps_are_the_authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All losses, and after both steps all that moved; the authors' last maps are smaller than we allow."""
    monkeypatch.setattr(fourds, "SMALLEST", 1)
    values = golden("4ds")
    with authors_step(values, tmp_path) as step:
        assert step.teacher is not None
        update = step.teacher.update
        assert update is not None
        step.student.train()
        for number in range(2):
            images = values[f"joint.step{number}_images"].double()
            batch = Batch(images, images, values[f"joint.step{number}_labels"])
            update.set_rate(number)
            total, ce, ours, kd, phase, _, lesson, _ = step(batch).tolist()
            place = f"joint.step{number}_"
            adapters = values[f"{place}adapter_ce"] + values[f"{place}adapter_kd"]
            expected = [values[f"{place}{name}"].item() for name in ("student_ce", "student_kd", "feature")]
            # The meter takes values in single precision.
            assert [ce, kd, phase] == pytest.approx(expected, rel=2e-6)
            assert ours == pytest.approx(expected[1] + 0.1 * expected[2], rel=2e-6)
            assert total == pytest.approx(values[f"{place}student_total"].item(), rel=2e-6)
            assert lesson == pytest.approx(adapters.item(), rel=2e-6)
        update.set_rate(2)
        assert update.optimizer.param_groups[0]["lr"] == pytest.approx(
            values["joint.after_adapter_lr"].item(), rel=1e-9
        )
        _require_authors_weights(values, step)


def _require_authors_weights(values: Mapping[str, Tensor], step: Step) -> None:
    assert step.teacher is not None
    assert step.teacher.update is not None
    student, teacher = unwrap(step.student), unwrap(step.teacher.update.network)
    objective = step.trainable.objective
    assert isinstance(objective, Objective)
    gate = objective.terms["4ds"].phase_gate
    mine: dict[str, Tensor] = {"se_squeeze": gate.squeeze.weight, "se_excite": gate.excite.weight}
    mine |= {f"student.{name}": value for name, value in student.state_dict().items()}
    mine |= {f"teacher.{name.replace('.stage.', '.')}": value for name, value in teacher.state_dict().items()}
    for number in range(1, 5):
        adapter = teacher.get_submodule(f"layer{number}").adapter
        mine[f"adapter{number}.weight"] = adapter.theta
        mine |= {f"adapter{number}.fc.{name}": value for name, value in adapter.adapt.state_dict().items()}
    moved = [key for key in values if key.startswith("joint.after_") and key != "joint.after_adapter_lr"]
    assert len(moved) == 17 + 18 + 28 + 2
    for key in moved:
        torch.testing.assert_close(
            mine[key.removeprefix("joint.after_")].detach(), values[key], rtol=1e-7, atol=1e-9, msg=key
        )
    for name in ("conv1.weight", "layer2.3.weight", "layer4.4.bias", "fc.weight"):  # frozen, bit for bit
        assert torch.equal(mine[f"teacher.{name}"], values[f"joint.teacher.{name}"].double())
