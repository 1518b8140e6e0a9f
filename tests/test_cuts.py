"""Cuts of `capture`: the gradient stops after a map, and nothing else changes."""

import copy
from collections import namedtuple
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.features import Features, capture
from wcord.methods.objective import Objective
from wcord.methods.term import Term
from wcord.models.create import create_model

CUT = ["stage1", "stage2"]


def stage_gradients(model: nn.Module, total: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each part of a resnet8: stem and three stages, zeros where it has none."""
    model.zero_grad()
    total.backward()
    parts = {"stem": "conv1", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3", "classifier": "fc"}
    return {
        name: torch.cat([_gradient(p) for p in model.get_submodule(path).parameters()]) for name, path in parts.items()
    }


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter).flatten() if parameter.grad is None else parameter.grad.flatten().clone()


def own(features: Features, name: str) -> Tensor:
    return features.maps[name].square().mean()


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return create_model("resnet8", num_classes=5).double().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_each_stage_has_the_gradient_of_its_own_loss_alone(model: nn.Module, images: Tensor) -> None:
    with capture(model, maps=["stage3"], cut=CUT) as tap:
        features = tap(images)
        total = own(features, "stage1") + 3 * own(features, "stage2") + features.logits.sum()
        together = stage_gradients(model, total)
        alone = {
            name: stage_gradients(model, weight * own(tap(images), name))
            for name, weight in (("stage1", 1), ("stage2", 3))
        }
        last = stage_gradients(model, tap(images).logits.sum())
    assert torch.equal(together["stem"], alone["stage1"]["stem"])
    assert torch.equal(together["stage1"], alone["stage1"]["stage1"])
    assert torch.equal(together["stage2"], alone["stage2"]["stage2"])
    assert torch.equal(together["stage3"], last["stage3"])
    assert torch.equal(together["classifier"], last["classifier"])
    assert all(together[name].abs().sum() > 0 for name in together)
    assert alone["stage2"]["stage1"].abs().sum() == alone["stage2"]["stem"].abs().sum() == 0


def test_without_the_cut_later_losses_do_reach_earlier_stages(model: nn.Module, images: Tensor) -> None:
    with capture(model, maps=CUT) as tap:
        assert stage_gradients(model, own(tap(images), "stage2"))["stage1"].abs().sum() > 0


def test_values_and_running_statistics_are_those_of_the_network_without_cuts(model: nn.Module, images: Tensor) -> None:
    results, networks = [], [model.train(), copy.deepcopy(model)]
    for network, cut in zip(networks, ([], CUT), strict=True):
        with capture(network, maps=[*CUT, "stage3"], cut=cut) as tap:
            results.append(tap(images))
    plain, severed = results
    assert torch.equal(plain.logits, severed.logits)
    assert torch.equal(plain.embedding, severed.embedding)
    assert all(torch.equal(plain.maps[name], severed.maps[name]) for name in plain.maps)
    for name, value in networks[0].state_dict().items():
        assert torch.equal(value, networks[1].state_dict()[name]), name


def test_features_say_where_the_gradient_stopped(model: nn.Module, images: Tensor) -> None:
    with capture(model, cut=CUT) as tap:
        features = tap(images)
    assert features.cuts == ("stage1", "stage2")
    assert list(features.maps) == CUT  # a cut map is read
    assert features.to("cpu").cuts == features.split([1, 2])[0].cuts == features.cuts
    with capture(model, maps=CUT) as tap:
        assert tap(images).cuts == ()


def test_only_calls_of_the_tap_are_cut(model: nn.Module, images: Tensor) -> None:
    with capture(model, cut=CUT):
        assert stage_gradients(model, model(images).sum())["stage1"].abs().sum() > 0
        with capture(model) as inner:
            assert stage_gradients(model, inner(images).logits.sum())["stage1"].abs().sum() > 0
    assert stage_gradients(model, model(images).sum())["stage1"].abs().sum() > 0


def test_a_copy_made_inside_the_context_has_no_cuts(model: nn.Module, images: Tensor) -> None:
    """As a moving average of the student is."""
    with capture(model, cut=CUT) as tap:
        average = copy.deepcopy(model)
        tap(images)
        assert stage_gradients(average, average(images).sum())["stage1"].abs().sum() > 0


Outputs = namedtuple("Outputs", "hidden weights")


class Layer(nn.Module):
    """A layer that returns several values, as those of transformers do."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        hidden = self.linear(x)
        match self.kind:
            case "tuple":
                return hidden, hidden * 2, None
            case "list":
                return [hidden, hidden * 2]
            case "named":
                return Outputs(hidden, hidden * 2)
            case _:
                return {"hidden": hidden}


class Layered(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.head = Layer(kind), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        if self.layer.kind == "named":
            return self.head(output.hidden + output.weights)
        return self.head(output["hidden"] if self.layer.kind == "dict" else output[0] + output[1])


@pytest.mark.parametrize("kind", ["tuple", "list", "named"])
def test_every_tensor_that_a_layer_returns_is_cut(kind: str) -> None:
    network = Layered(kind)
    with capture(network, cut=["layer"]) as tap:
        features = tap(torch.randn(2, 4))
    features.logits.sum().backward()
    assert network.layer.linear.weight.grad is None
    features.maps["layer"].sum().backward()
    assert network.layer.linear.weight.grad is not None


def test_an_output_without_a_tensor_is_refused() -> None:
    with capture(Layered("dict"), cut=["layer"]) as tap, pytest.raises(UsageError, match=r"'layer'.* is not a tensor"):
        tap(torch.randn(2, 4))


@pytest.mark.parametrize("name", ["pre:stage1", "fc:in"])
def test_inputs_of_modules_cannot_be_cut(model: nn.Module, name: str) -> None:
    message = f"cut '{name}' is the input of a module, and the gradient can stop only after a module's output"
    with pytest.raises(UsageError, match=message):
        capture(model, cut=[name]).__enter__()


def test_a_cut_must_be_a_map_of_the_network(model: nn.Module) -> None:
    with pytest.raises(UsageError, match=r"has no module 'stage4': did you mean .*its maps: stem"):
        capture(model, cut=["stage4"]).__enter__()
    with pytest.raises(UsageError, match="cut must be"):
        capture(model, cut="stage1").__enter__()  # pyright: ignore[reportArgumentType]
    with capture(nn.ModuleDict({"0": nn.Linear(4, 3)})["0"]) as tap:
        assert tap(torch.randn(2, 4)).cuts == ()


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.layer(x)))


def test_a_module_that_runs_twice_cannot_be_cut() -> None:
    with capture(Twice(), cut=["layer"]) as tap, pytest.raises(UsageError, match="runs 2 times"):
        tap(torch.randn(2, 4))


class Thrifty(nn.Module):
    """A network that recomputes two stages at once in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def body(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh()).tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.body, x, use_reentrant=False))


def test_gradient_checkpointing_over_a_cut() -> None:
    torch.manual_seed(0)
    thrifty = Thrifty()
    x, gradients = torch.randn(2, 4), []
    for network in (thrifty, copy.deepcopy(thrifty)):
        if gradients:
            network.forward = lambda x, network=network: network.head(network.body(x))  # no checkpoint
        with capture(network, maps=["second"], cut=["first"]) as tap:
            features = tap(x)
            (features.logits.square().sum() + features.maps["first"].square().sum()).backward()
        gradients.append([p.grad for p in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients[0])


def test_swin_of_timm() -> None:
    torch.manual_seed(0)
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, patch_size=2, window_size=4, embed_dim=8, depths=(1, 1, 1),
        num_heads=(2, 2, 2), num_classes=3,
    )  # fmt: skip
    with capture(swin, maps=["layers.2"], cut=["layers.0", "layers.1"]) as tap:
        features = tap(torch.rand(2, 3, 32, 32))
    assert features.maps["layers.0"].shape == (2, 8, 16, 16)
    features.logits.sum().backward(retain_graph=True)
    assert all(p.grad is None for p in swin.layers[1].parameters())
    assert all(p.grad is not None for p in swin.layers[2].parameters())
    features.maps["layers.1"].sum().backward()
    assert all(p.grad is not None for p in swin.layers[1].parameters())
    assert all(p.grad is None for p in swin.layers[0].parameters())


def test_compiled_without_graph_breaks(images: Tensor) -> None:
    torch._dynamo.reset()
    network = create_model("resnet8", num_classes=5).eval()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    x, gradients = images.float(), []
    for module in (network, compiled):
        with capture(module, maps=["stage3"], cut=CUT) as tap:
            for _ in range(2):
                features = tap(x)
                with capture(module) as inner, torch.no_grad():  # as an evaluation in the middle of a training does
                    torch.testing.assert_close(inner(x).logits, features.logits)
            gradients.append(
                stage_gradients(network, features.logits.square().sum() + sum(own(features, name) for name in CUT))
            )
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-4, atol=1e-6)


def test_ddp(tmp_path: Any, model: nn.Module, images: Tensor) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        gradients = []
        for module in (model, DistributedDataParallel(model)):
            with capture(module, cut=CUT) as tap:
                features = tap(images)
                gradients.append(
                    stage_gradients(model, features.logits.square().sum() + sum(own(features, name) for name in CUT))
                )
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(gradients[1][name], value) for name, value in gradients[0].items())


class Local(Term):
    """A term of one map after which the gradient stops."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.student_map_names = self.cuts = names

    def forward(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return torch.stack([own(student, name) for name in self.cuts]).sum()


def test_an_objective_has_the_cuts_of_its_terms_and_refuses_features_without_them(
    model: nn.Module, images: Tensor
) -> None:
    objective = Objective({"a": (1.0, Local("stage1")), "b": (1.0, Local("stage1", "stage2"))})
    assert objective.cuts == ("stage1", "stage2")
    batch = Batch(images, images, torch.zeros(3).long())
    with capture(model, objective.student_map_names, cut=objective.cuts) as tap:
        features = tap(images)
        assert objective(features, features, batch).total.requires_grad
    with capture(model, objective.student_map_names, cut=["stage1"]) as tap:
        features = tap(images)
    message = (
        r"a\+b stops the gradient after the student's stage2, but .*: open it with capture\(student, maps=objective"
    )
    with pytest.raises(UsageError, match=message):
        objective(features, features, batch)
    with capture(model, objective.student_map_names) as tap, torch.no_grad():
        features = tap(images)
        assert objective(features, features, batch).total.isfinite()  # nothing trains
