"""Prompts in a Swin transformer: the reference's windows, what the prompts do not change, and what trains."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.support.golden import golden
from tests.support.loss_contract import fill
from timm.models.swin_transformer import SwinTransformer, SwinTransformerBlock, SwinTransformerStage
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError
from wcord.features import capture, map_names
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.models.prompts import PromptedStage, PromptedSwin, prompted_attention


class Reader(nn.Module):
    """Keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.read: tuple[Tensor, Tensor] | None = None

    def forward(self, tokens: Tensor, prompts: Tensor) -> Tensor:
        self.read = tokens, prompts
        return self.scale * (tokens.mean() + prompts.sum())


def block(shift: int, **settings: Any) -> SwinTransformerBlock:
    return SwinTransformerBlock(
        8, (4, 8), num_heads=2, window_size=4, shift_size=shift, always_partition=True, **settings
    ).double()


def filled_block(shift: int) -> SwinTransformerBlock:
    filled = block(shift)
    for phase, parameter in enumerate(filled.parameters()):
        parameter.data = fill(parameter.shape, float(phase))
    return filled.eval()


def swin(side: int = 16, seed: int = 0) -> SwinTransformer:
    torch.manual_seed(seed)
    network = create_model("swin_mini", num_classes=5, in_channels=1, image_size=(side, side))
    assert isinstance(network, SwinTransformer)
    return network.eval()


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_are_the_reference(shift: int) -> None:
    values = golden("apt")
    filled = block(shift)
    attention = filled.attn
    for name, linear in (("qkv", attention.qkv), ("out", attention.proj)):
        linear.weight.data = values[f"window_{name}_weight"].double().T
        linear.bias.data = values[f"window_{name}_bias"].double()
    attention.relative_position_bias_table.data = values["window_position_table"].double()
    tokens, prompts = values["window_tokens"].double(), values["window_prompts"].double().expand(2, -1, -1)
    plain, none = prompted_attention(filled, tokens, prompts[:, :0])
    torch.testing.assert_close(plain, values[f"window_shift{shift}_plain_tokens"], rtol=0, atol=1e-12)
    assert none.shape == (2, 0, 8)
    for name, value in zip(("tokens", "prompts"), prompted_attention(filled, tokens, prompts), strict=True):
        torch.testing.assert_close(value, values[f"window_shift{shift}_prompted_{name}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_are_the_loop_over_windows(shift: int) -> None:
    filled, x, prompts = filled_block(shift), fill((2, 4, 8, 8), 1.0), fill((2, 3, 8), 2.0)
    tokens, became = prompted_attention(filled, x, prompts)
    plain = torch.roll(x, (-shift, -shift), (1, 2))
    expected, outcomes = torch.zeros_like(plain), []
    for number in range(2):
        part = plain[:, :, 4 * number : 4 * number + 4].flatten(1, 2)
        mask = torch.zeros(16, 16) if filled.attn_mask is None else filled.attn_mask[number]
        out = window_loop(filled.attn, torch.cat([prompts, part], 1), mask, 3)
        expected[:, :, 4 * number : 4 * number + 4] = out[:, 3:].unflatten(1, (4, 4))
        outcomes.append(out[:, :3])
    torch.testing.assert_close(tokens, torch.roll(expected, (shift, shift), (1, 2)))
    torch.testing.assert_close(became, (outcomes[0] + outcomes[1]) / 2)


def window_loop(attention: Any, x: Tensor, mask: Tensor, prompts: int) -> Tensor:
    """Attention within one window, head by head and pair by pair."""
    out, (query, key, value) = torch.zeros_like(x), attention.qkv(x).chunk(3, -1)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = query[..., part] @ key[..., part].mT / 2
        for i in range(16):
            for j in range(16):
                place = attention.relative_position_index[i, j]
                bias = attention.relative_position_bias_table[place, head] + mask[i, j]
                scores[:, prompts + i, prompts + j] += bias
        out[..., part] = scores.softmax(-1) @ value[..., part]
    return attention.proj(out)


def test_values_of_a_small_filled_block() -> None:
    tokens, prompts = prompted_attention(filled_block(2), fill((1, 4, 8, 8), 1.0), fill((1, 2, 8), 2.0))
    assert [tokens.norm().item(), prompts.norm().item()] == pytest.approx(
        [35.14154891256066, 7.132510226758087], rel=1e-6
    )


@pytest.mark.parametrize("prompts", [0, 3])
def test_a_stage_without_prompts_is_timms_and_with_prompts_follows_its_blocks(prompts: int) -> None:
    torch.manual_seed(0)
    stage = SwinTransformerStage(4, 8, (8, 8), 2, num_heads=2, window_size=2).eval()
    prompted, x = PromptedStage(deepcopy(stage), prompts), torch.randn(2, 8, 8, 4)
    map_, last = prompted(x)
    assert last.shape == (2, prompts, 8)
    assert torch.equal(map_, stage(x)) == (prompts == 0)
    if prompts:
        x, p = stage.downsample(x), prompted.prompts.expand(2, -1, -1)
        for one in stage.blocks:
            attended, became = prompted_attention(one, one.norm1(x), one.norm1(p))
            x, p = x + attended, p + became
            x, p = x + one.mlp(one.norm2(x)), p + one.mlp(one.norm2(p))
        torch.testing.assert_close(map_, x)
        torch.testing.assert_close(last, p)


@pytest.mark.parametrize("side", [16, 32])
def test_without_prompts_logits_and_maps_are_bit_for_bit_the_teachers(side: int) -> None:
    network, images = swin(side), torch.rand(2, 1, side, side)
    adapted = PromptedSwin(deepcopy(network), 0, Reader()).eval()
    names = map_names(network)
    assert map_names(adapted) == names
    with torch.no_grad(), capture(network, names) as plain, capture(adapted, names) as prompted:
        expected, found = plain(images), prompted(images)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.embedding, expected.embedding)
    assert all(torch.equal(found.maps[name], expected.maps[name]) for name in names)


def test_prompts_change_the_logits_and_reach_the_reader_after_the_last_norm() -> None:
    network, images = swin(), torch.rand(2, 1, 16, 16)
    adapted = PromptedSwin(deepcopy(network), 5, Reader()).eval()
    with capture(adapted, ["network.layers.2"]) as tap:
        features = tap(images)
    assert not torch.allclose(features.logits, network(images), atol=1e-4)
    assert adapted.reader.read is not None
    tokens, prompts = adapted.reader.read
    assert (tokens.shape, prompts.shape) == ((2, 4, 192), (2, 5, 192))
    torch.testing.assert_close(prompts.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)  # of a layer norm
    torch.testing.assert_close(features.embedding, tokens.mean(1))


def test_only_prompts_and_reader_train_and_each_stage_has_its_own() -> None:
    adapted = PromptedSwin(swin(), 5, Reader())
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained == [*(f"network.layers.{stage}.prompts" for stage in range(3)), "reader.scale"]
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    adapted(torch.rand(2, 1, 16, 16)).square().sum().backward()
    gradients = [p.grad for name, p in adapted.named_parameters() if name.endswith("prompts")]
    assert all(grad is not None and bool((grad.norm(dim=1) > 0).all()) for grad in gradients)
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())


def test_a_network_around_it_and_its_maps_are_read_as_before() -> None:
    network = swin()
    adapted = PromptedSwin(deepcopy(network), 2, Reader()).eval()
    whole = Network(adapted, Preprocess((0.5,), (0.5,)), tuple("abcde"))
    with capture(whole, ["layers.0", "layers.2"]) as tap:
        features = tap(torch.rand(2, 1, 16, 16))
    assert [tuple(value.shape) for value in features.maps.values()] == [(2, 48, 8, 8), (2, 192, 2, 2)]


def test_dynamic_sizes_have_masks_of_their_own() -> None:
    torch.manual_seed(0)
    settings = {"img_size": 16, "patch_size": 2, "in_chans": 1, "num_classes": 3, "embed_dim": 8, "depths": (2, 2),
                "num_heads": (2, 2), "window_size": 2}  # fmt: skip
    network = SwinTransformer(**settings, dynamic_img_size=True).eval()
    adapted = PromptedSwin(deepcopy(network), 2, Reader()).eval()
    assert adapted(torch.rand(1, 1, 32, 16)).shape == (1, 3)
    plain, images = PromptedSwin(deepcopy(network), 0, Reader()).eval(), torch.rand(1, 1, 32, 16)
    assert torch.equal(plain(images), network(images))
    with pytest.raises(UsageError, match="a map of 6×8 does not divide into windows of 4×4"):
        PromptedSwin(SwinTransformer(**settings | {"window_size": 4}, dynamic_img_size=True), 2, Reader())(
            torch.rand(1, 1, 12, 16)
        )


def test_windows_that_would_be_padded_are_refused_and_nothing_is_changed() -> None:
    network = create_model("swin_mini", num_classes=5, image_size=(24, 24))
    with pytest.raises(DoesNotFitError, match="a map of 6×6 does not divide into windows of 4×4"):
        PromptedSwin(network, 1, Reader())
    assert isinstance(network.layers[0], SwinTransformerStage)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert PromptedSwin(network, 0, Reader())(torch.rand(1, 3, 24, 24)).shape == (1, 5)


@pytest.mark.parametrize("name", ["resnet8", "timm:test_vit"])
def test_other_networks_are_refused(name: str) -> None:
    with pytest.raises(
        DoesNotFitError, match=r"prompts go into a Swin transformer of timm .*, received \w+: use another"
    ):
        PromptedSwin(create_model(name), 4, Reader())


def test_a_teacher_without_a_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="prompts need a teacher with its classifier"):
        PromptedSwin(
            SwinTransformer(
                img_size=16, patch_size=2, embed_dim=16, depths=(1,), num_heads=(1,), num_classes=0, window_size=4
            ),
            4,
            Reader(),
        )
