import subprocess
import sys

import pytest
import timm
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torchvision import models as torchvision_models

from wcord.checks import DoesNotFitError, UsageError
from wcord.features import capture, map_names, preactivation, unwrap
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.shuffle import channel_shuffle


class Plain(nn.Module):
    """A small network of a user's own, with one of each thing that hooks can stumble over."""

    def __init__(self, classes=3):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.act = nn.ReLU(inplace=True)
        self.unused = nn.Linear(5, 5)
        self.pair = Pair()
        self.head = nn.Linear(5, classes)

    def forward(self, x, scale=1.0):
        return self.head(self.pair(self.act(self.first(x)) * scale)[0])


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, None


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_embedding_is_the_classifiers_input_and_maps_are_outputs():
    model = Plain()
    x = torch.randn(2, 4)
    with capture(model, maps=["act", "pair"]) as tap:
        features = tap(x, scale=2.0)
    assert torch.equal(features.maps["pair"], features.embedding)
    assert torch.equal(features.maps["act"], model.first(x).relu())
    assert torch.equal(features.logits, model.head(features.embedding))
    assert torch.equal(features.logits, model(x, scale=2.0))


def test_gradients_flow_and_nothing_is_copied():
    model = create_model("resnet8")
    with capture(model, maps=["stage1"]) as tap:
        features = tap(torch.randn(2, 3, 8, 8))
    features.maps["stage1"].sum().backward()
    assert model.conv1.weight.grad is not None
    assert model.layer2[0].conv1.weight.grad is None


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2", "ResNet50"])
def test_the_next_stage_does_not_change_a_map(name):
    model = create_model(name, num_classes=5).eval()
    names = map_names(model)
    x = torch.randn(1, 3, 16, 16)
    copies = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            lambda module, args, output, path=path: copies.__setitem__(path, output.clone())
        )
        for path in model.map_paths.values()
    ]
    with capture(model, maps=names) as tap, torch.inference_mode():
        features = tap(x)
    for handle in handles:
        handle.remove()
    assert list(features.maps) == list(names)
    assert all(torch.equal(features.maps[name], copies[model.map_paths[name]]) for name in names)


def test_stated_names_and_module_paths_may_be_mixed():
    with capture(create_model("resnet8"), maps=("stem", "layer1.0.conv1")) as tap:
        maps = tap(torch.randn(1, 3, 8, 8)).maps
    assert list(maps) == ["stem", "layer1.0.conv1"]


def test_hooks_are_removed_also_after_an_error():
    model = Plain()
    with capture(model, maps=["act"]):
        assert hooks(model) == 3
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), capture(model, maps=["act"]) as tap:
        tap(torch.randn(2, 9))
    assert hooks(model) == 0
    with pytest.raises(KeyError), capture(model):
        raise KeyError
    assert hooks(model) == 0


def test_a_tap_works_again_after_an_error_and_captures_nest():
    model = Plain()
    with capture(model) as outer, capture(model, maps=["act"]) as inner:
        with pytest.raises(RuntimeError):
            outer(torch.randn(2, 9))
        assert outer(torch.randn(2, 4)).maps == {}
        assert inner(torch.randn(2, 4)).maps["act"].shape == (2, 5)


def test_keeps_nothing_between_calls():
    model = Plain()
    with capture(model, maps=["act"]) as tap:
        tap(torch.randn(2, 4))
        model(torch.randn(2, 4))
        assert tap._outputs == {}
        assert tap._inputs == {}


class TestErrors:
    def test_unknown_path(self):
        with pytest.raises(UsageError, match=r"ResNet has no module 'stage4': did you mean 'stage\d'.*its maps: stem"):
            capture(create_model("resnet8"), maps=["stage4"]).__enter__()
        with pytest.raises(UsageError, match=r"Plain has no module 'hed': did you mean 'head'"):
            capture(Plain(), embedding="hed").__enter__()

    def test_a_module_that_never_runs(self):
        with (
            capture(Plain(), maps=["unused"]) as tap,
            pytest.raises(UsageError, match=r"map 'unused': module 'unused' did not run in this forward pass"),
        ):
            tap(torch.randn(2, 4))
        with (
            capture(Plain(), embedding="unused") as tap,
            pytest.raises(UsageError, match=r"embedding 'unused': module 'unused' did not run"),
        ):
            tap(torch.randn(2, 4))

    def test_a_map_that_is_changed_in_place(self):
        with (
            capture(Plain(), maps=["first"]) as tap,
            pytest.raises(UsageError, match=r"map 'first' \(output of 'first'\) is changed in place afterwards"),
        ):
            tap(torch.randn(2, 4))

    def test_a_module_that_runs_twice(self):
        relu = nn.ReLU()
        model = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 3))
        with capture(model, maps=["1"]) as tap, pytest.raises(UsageError, match=r"module '1' runs 2 times"):
            tap(torch.randn(2, 4))

    def test_a_last_linear_that_is_not_the_classifier(self):
        model = nn.Sequential()
        model.add_module("body", nn.Linear(4, 6))
        model.add_module("head", nn.Bilinear(6, 6, 3))
        model.forward = lambda x: model.head(model.body(x), model.body(x))
        message = r"the output of 'body' is not the logits \(2, 3\).*embedding=PATH, e.g. 'body'"
        with capture(model) as tap, pytest.raises(UsageError, match=message):
            tap(torch.randn(2, 4))
        with capture(model, embedding="head") as tap:
            assert tap(torch.randn(2, 4)).embedding.shape == (2, 6)

    def test_no_linear_at_all(self):
        model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        with pytest.raises(UsageError, match=r"has no linear layer that could be its classifier.*--student-embedding"):
            capture(model).__enter__()
        with capture(model, embedding="1") as tap:
            features = tap(torch.ones(2, 3, 4, 4))
        assert torch.allclose(features.embedding, features.logits)

    def test_a_string_of_maps(self):
        with pytest.raises(UsageError, match=r"maps must be a list, received 'stem': write \['stem'\]"):
            capture(create_model("resnet8"), maps="stem").__enter__()

    def test_data_parallel(self):
        with pytest.raises(UsageError, match="use DistributedDataParallel"):
            capture(nn.DataParallel(Plain())).__enter__()

    def test_a_map_that_is_no_tensor(self):
        class Nothing(nn.Module):
            def forward(self, x):
                self.seen = x

        model = nn.Sequential()
        model.add_module("nothing", Nothing())
        model.add_module("head", nn.Linear(4, 3))
        model.forward = lambda x: (model.nothing(x), model.head(x))[1]
        with capture(model, maps=["nothing"]) as tap, pytest.raises(UsageError, match=r"is not a tensor: name another"):
            tap(torch.randn(2, 4))


class TestEmbedding:
    def test_tokens_are_averaged(self):
        class Tokens(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = nn.Linear(4, 3)

            def forward(self, x):
                return self.head(x).mean(1)

        x = torch.randn(2, 7, 4)
        with capture(Tokens()) as tap:
            assert torch.allclose(tap(x).embedding, x.mean(1))

    @pytest.mark.parametrize(("head", "dims"), [(nn.Linear(4, 3), (1, 2)), (nn.Conv2d(4, 3, 1), (2, 3))])
    def test_maps_are_averaged_over_height_and_width(self, head, dims):
        class Maps(nn.Module):
            def __init__(self):
                super().__init__()
                self.head = head

            def forward(self, x):
                return self.head(x).mean(dims)

        # The only size that is not unambiguous: 4 channels, first or last as the head reads them.
        x = torch.randn(2, 4, 4, 4)
        with capture(Maps(), embedding="head") as tap:
            assert torch.allclose(tap(x).embedding, x.mean(dims))

    def test_a_vector_of_five_dimensions_is_refused(self):
        model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(16, 3))
        with capture(model, embedding="0") as tap, pytest.raises(UsageError, match=r"must have 2, 3 or 4 dimensions"):
            tap(torch.zeros(2, 2, 2, 2, 2))


@pytest.mark.parametrize(
    ("name", "arguments", "width"),
    [
        ("resnet10t", {}, 512),
        ("test_vit", {"img_size": 32}, 64),
        ("test_convnext", {}, 64),
        ("mobilenetv3_small_050", {}, 1024),
        ("deit_tiny_distilled_patch16_224", {"img_size": 32}, 192),
    ],
)
def test_timm(name, arguments, width):
    model = timm.create_model(name, num_classes=7, **arguments).eval()
    with capture(model) as tap, torch.no_grad():
        features = tap(torch.rand(2, 3, 32, 32))
    assert features.embedding.shape == (2, width)
    assert features.logits.shape == (2, 7)


def test_timm_tokens_as_a_map():
    with capture(timm.create_model("test_vit", img_size=32, num_classes=7), maps=["blocks.1"]) as tap:
        assert tap(torch.rand(2, 3, 32, 32)).maps["blocks.1"].dim() == 3


@pytest.mark.parametrize(
    ("name", "width"), [("mobilenet_v3_small", 1024), ("resnet18", 512), ("squeezenet1_1", None), ("vit_b_16", None)]
)
def test_torchvision(name, width):
    if name == "vit_b_16":
        model, width = torchvision_models.VisionTransformer(32, 16, 1, 2, 16, 32, num_classes=7).eval(), 16
    else:
        model = torchvision_models.get_model(name, weights=None, num_classes=7).eval()
    images = torch.rand(2, 3, 32, 32)
    if width is None:
        # Its classifier is a convolution, so it must be told.
        with capture(model, embedding="classifier.1") as tap, torch.no_grad():
            assert tap(images).embedding.shape == (2, 512)
        return
    with capture(model) as tap, torch.no_grad():
        features = tap(images)
    assert features.embedding.shape == (2, width)


class TestWrapped:
    def test_network(self):
        backbone = create_model("resnet8").eval()
        network = Network(backbone, Preprocess((0.5,) * 3, (0.5,) * 3))
        images = torch.rand(2, 3, 16, 16)
        with capture(network, maps=["stage3"]) as tap, capture(backbone, maps=["stage3"]) as direct:
            features, expected = tap(images), direct(images * 2 - 1)
        assert torch.allclose(features.maps["stage3"], expected.maps["stage3"])
        assert torch.allclose(features.logits, network(images))
        assert map_names(network) == map_names(backbone)

    def test_gradient_checkpointing_runs_modules_again_in_backward(self):
        class Thrifty(Plain):
            def forward(self, x):
                return checkpoint(super().forward, x, use_reentrant=False)

        model = Thrifty()
        with capture(model, maps=["act"]) as tap:
            tap(torch.randn(2, 4)).logits.sum().backward()
            assert tap(torch.randn(2, 4)).maps["act"].shape == (2, 5)
        assert model.first.weight.grad is not None

    def test_compiled_without_graph_breaks(self):
        torch._dynamo.reset()
        model = create_model("resnet8", num_classes=5).eval()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        images = torch.rand(2, 3, 8, 8)
        with capture(model, maps=["stage2"]) as tap:
            expected = tap(images)
        torch._dynamo.utils.counters.clear()
        with capture(compiled, maps=["stage2"]) as outer:
            for _ in range(3):
                features = outer(images)
                # As an evaluation in the middle of a training does.
                with capture(compiled) as inner, torch.no_grad():
                    assert torch.allclose(inner(images).embedding, expected.embedding, atol=1e-5)
        assert torch.allclose(features.maps["stage2"], expected.maps["stage2"], atol=1e-5)
        features.maps["stage2"].sum().backward()
        assert model.conv1.weight.grad is not None
        assert torch._dynamo.utils.counters["frames"]["total"] <= 4

    def test_compiled_too_early_says_so(self):
        torch._dynamo.reset()
        compiled = torch.compile(Plain(), backend="eager")
        compiled(torch.randn(2, 4))
        with capture(compiled) as tap, pytest.raises(UsageError, match=r"was compiled before capture began"):
            tap(torch.randn(2, 4))

    def test_ddp(self, tmp_path):
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        try:
            model = Plain()
            wrapped = DistributedDataParallel(model, find_unused_parameters=True)
            assert unwrap(wrapped) is model
            x = torch.randn(2, 4)
            with capture(wrapped, maps=["act"]) as tap:
                features = tap(x)
            assert torch.equal(features.embedding, model.pair(features.maps["act"])[0])
            features.logits.sum().backward()
            assert model.head.weight.grad is not None
        finally:
            torch.distributed.destroy_process_group()


def test_does_not_import_the_compiler_or_timm():
    program = "import sys, wcord.features; sys.exit(any(name in sys.modules for name in ('torch._dynamo', 'timm')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "ShuffleV1", "ShuffleV2", "ResNet50"])
def test_a_map_before_its_relu_becomes_the_map_by_it(name):
    """After the ReLU (and ShuffleV2's shuffle) it is the map itself; a WRN's is normalised and has no map after it."""
    model = create_model(name, num_classes=5).eval()
    names = [n for n in map_names(model) if n in model.preactivation_paths]
    with capture(model, maps=[*names, *map(preactivation, names)]) as tap, torch.no_grad():
        maps = tap(torch.randn(2, 3, 16, 16)).maps
    for n in names:
        before, after = maps[preactivation(n)], maps[n]
        assert before.shape == after.shape
        assert before.min() < 0
        if name == "wrn_16_1":
            path = model.preactivation_paths[n]
            torch.testing.assert_close(before, model.get_submodule(path)(after))
        elif name == "ShuffleV2":
            torch.testing.assert_close(channel_shuffle(before.relu(), 2), after)
        else:
            torch.testing.assert_close(before.relu(), after)


def test_the_input_of_a_module_has_an_address():
    model = Plain()
    with capture(model, maps=["head:in", "first:in"]) as tap:
        x = torch.randn(2, 4)
        features = tap(x)
    assert torch.equal(features.maps["head:in"], features.embedding)
    assert torch.equal(features.maps["first:in"], x)
    with pytest.raises(UsageError, match="no module 'had:in': did you mean 'head'"), capture(model, maps=["had:in"]):
        pass


class Shared(nn.Module):
    """A block whose one ReLU runs twice, in place, as torchvision's do."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.relu = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.second(self.relu(self.first(x))) + x)


class Shifted(nn.Module):
    """A ReLU inside, which does not end the block."""

    def __init__(self):
        super().__init__()
        self.relu, self.after = nn.ReLU(), nn.Linear(4, 4)

    def forward(self, x):
        return self.after(self.relu(x))


@pytest.mark.parametrize("name", ["timm:resnet18", "timm:resnet50", "timm:mobilenetv1_100", "timm:regnetx_002"])
def test_the_relu_that_ends_a_map_is_found_where_a_network_states_none(name):
    model = create_model(name, num_classes=3).eval()
    names = map_names(model)[-2:]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm begins the last of a block at 0
    relus = {p: m for p, m in model.named_modules() if isinstance(m, (nn.ReLU, nn.ReLU6))}
    inplace = [module.inplace for module in relus.values()]
    assert any(inplace)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
    with capture(model, maps=[*names, *map(preactivation, names)]) as tap, torch.no_grad():
        features = tap(x)
    assert torch.equal(features.logits, plain)
    assert [module.inplace for module in relus.values()] == inplace
    for n in names:
        before, after = features.maps[preactivation(n)], features.maps[n]
        end = relus[[p for p in relus if p.startswith(f"{n}.")][-1]]
        assert before.min() < 0
        torch.testing.assert_close(nn.functional.relu6(before) if isinstance(end, nn.ReLU6) else before.relu(), after)


def test_a_relu_that_runs_twice_is_meant_the_last_time():
    model = nn.Sequential(Shared(), nn.Linear(4, 3))
    x = torch.randn(5, 4)
    with capture(model, maps=["0", "pre:0"]) as tap:
        maps = tap(x).maps
    block = model[0]
    inner = block.second(block.first(x).relu()) + x
    torch.testing.assert_close(maps["pre:0"], inner)
    torch.testing.assert_close(maps["0"], inner.relu())
    assert block.relu.inplace


def test_before_the_relu_is_refused_where_none_ends_the_map():
    with (
        pytest.raises(UsageError, match=r"does not say where its map '0' is before its ReLU \(and no ReLU ends it\)"),
        capture(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), maps=["pre:0"]),
    ):
        pass
    model = nn.Sequential(Shifted(), nn.Linear(4, 3))
    with (
        pytest.raises(DoesNotFitError, match=r"the last ReLU inside, '0.relu', does not give it"),
        capture(model, maps=["pre:0"]) as tap,
    ):
        tap(torch.randn(2, 4))
    with (
        pytest.raises(UsageError, match=r"'stem' is before its ReLU \(only stage1, stage2, stage3\)"),
        capture(create_model("resnet8"), maps=["pre:stem"]),
    ):
        pass


def test_timm_networks_state_their_maps():
    model = timm.create_model("resnet18", num_classes=3)
    names = map_names(model)
    assert names == ("act1", "layer1", "layer2", "layer3", "layer4")
    with capture(model, maps=names[1:]) as tap:
        assert tap(torch.zeros(2, 3, 32, 32)).maps["layer4"].shape == (2, 512, 1, 1)


def test_maps_of_timm_with_channels_last_come_with_channels_first():
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=3, img_size=64, embed_dim=24, num_heads=(1, 2, 4, 8)
    )
    names = map_names(model)
    with capture(model, maps=names) as tap, torch.no_grad():
        maps = tap(torch.zeros(2, 3, 64, 64)).maps
    assert [tuple(value.shape[1:]) for value in maps.values()] == [(24, 16, 16), (48, 8, 8), (96, 4, 4), (192, 2, 2)]
