"""Prompts in a frozen Swin transformer of timm: learned tokens that pass through the blocks of each stage."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wcord.checks import DoesNotFitError, UsageError, require_number
from wcord.models.network import unwrap

DEVIATION = 0.02
"""Standard deviation of a prompt before training, as of timm's tokens."""


class PromptedStage(nn.Module):
    r"""A stage of a Swin transformer of timm with t prompts, which it returns beside the map.

    x ← merge patches;  p ← P;  for each block:  [x; p] ← [x; p] + A(norm₁ [x; p]),  [x; p] ← [x; p] + MLP(norm₂ [x; p])

    with P the learned prompts and A the (shifted) window attention of `prompted_attention`. The layers are timm's own;
    without prompts the stage is called as it is.

    Args:
        stage: a `SwinTransformerStage`.
        prompts: t.
    """

    def __init__(self, stage: nn.Module, prompts: int) -> None:
        super().__init__()
        require_number("prompts", prompts, low=0, whole=True)
        self.stage = stage
        width = cast(Any, stage).blocks[0].dim
        self.prompts = nn.Parameter(DEVIATION * torch.randn(prompts, width), requires_grad=prompts > 0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map, B×H'×W'×C, and the prompts, B×t×C, of the map before, B×H×W×C'."""
        stage = cast(Any, self.stage)
        prompts = self.prompts.repeat(len(x), 1, 1)
        if not len(self.prompts):
            return stage(x), prompts
        x = stage.downsample(x)
        for block in stage.blocks:
            x, prompts = _prompted_block(block, x, prompts)
        return x, prompts


def _prompted_block(block: Any, x: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    attended = prompted_attention(block, block.norm1(x), block.norm1(prompts))
    tokens = x.flatten(1, 2) + block.drop_path1(attended[0].flatten(1, 2))
    tokens = torch.cat([prompts + block.drop_path1(attended[1]), tokens], dim=1)
    tokens = tokens + block.drop_path2(block.mlp(block.norm2(tokens)))
    prompts, tokens = tokens.tensor_split([prompts.shape[1]], dim=1)
    return tokens.view_as(x), prompts


def prompted_attention(block: Any, x: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (shifted) window attention of a Swin block over the tokens and prompts of each picture.

    The prompts of a picture are copied to each of its windows, and what they become there is averaged. A pair with a
    prompt has no position bias, and the mask of shifted windows does not concern it.

    Args:
        block: a `SwinTransformerBlock` of timm.
        x: tokens after `norm1`, B×H×W×C.
        prompts: prompts after `norm1`, B×t×C.

    Raises:
        UsageError: the map does not divide into windows.
    """
    (height, width), (down, right) = block.window_size, block.shift_size
    require_windows((x.shape[1], x.shape[2]), (height, width))
    shifted = x.roll((-down, -right), (1, 2)) if down or right else x
    windows = shifted.unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3)
    rows, columns, count = windows.shape[1], windows.shape[2], prompts.shape[1]
    windows = windows.flatten(3, 4).flatten(1, 2)
    copies = prompts[:, None].expand(-1, windows.shape[1], -1, -1)
    mask = block.get_attn_mask(shifted) if block.dynamic_mask else block.attn_mask
    attended = _attend(block.attn, torch.cat([copies, windows], dim=2), mask, count)
    prompts, windows = attended[:, :, :count].mean(dim=1), attended[:, :, count:]
    tokens = windows.unflatten(2, (height, width)).unflatten(1, (rows, columns)).transpose(2, 3)
    tokens = tokens.flatten(3, 4).flatten(1, 2)
    return tokens.roll((down, right), (1, 2)) if down or right else tokens, prompts


def _attend(attention: Any, tokens: Tensor, mask: Tensor | None, prompts: int) -> Tensor:
    """Return the multi-head attention within each window, whose first tokens are prompts: B×windows×tokens×C."""
    parts = attention.qkv(tokens).unflatten(-1, (3, attention.num_heads, -1))
    query, key, value = parts.permute(3, 0, 1, 4, 2, 5)
    scores = attention.scale * query @ key.mT
    index, table = attention.relative_position_index, attention.relative_position_bias_table
    bias = table[index.flatten()].unflatten(0, index.shape).permute(2, 0, 1)
    if mask is not None:
        bias = bias + mask[:, None]  # windows×heads×tokens×tokens
    scores = scores + F.pad(bias, (prompts, 0, prompts, 0))
    weights = attention.attn_drop(scores.softmax(dim=-1))
    return attention.proj_drop(attention.proj((weights @ value).transpose(2, 3).flatten(3)))


def require_windows(size: tuple[int, int], window: tuple[int, int]) -> None:
    """Raise unless a map divides into windows: prompts would attend to the padding of the last ones.

    >>> require_windows((6, 8), (4, 4))
    Traceback (most recent call last):
        ...
    wcord.checks.DoesNotFitError: a map of 6×8 does not divide into windows of 4×4, in which prompts are copied: ...
    """
    if size[0] % window[0] or size[1] % window[1]:
        raise DoesNotFitError(
            f"a map of {size[0]}×{size[1]} does not divide into windows of {window[0]}×{window[1]}, in which prompts "
            "are copied: choose another size of the pictures, or no prompts"
        )


class PromptedSwin(nn.Module):
    """A frozen Swin transformer of timm with prompts in each stage, and a reader of its last tokens.

    The prompts of a stage end with it; those of the last stage, after the final norm, are read beside the tokens of the
    map. The classifier averages the map alone. Its own weights do not train, the prompts and the reader do. It states
    the maps under the names that timm's network has.

    Args:
        network: a `SwinTransformer`, which is changed: its stages become parts of prompted ones.
        prompts: number of prompts in each stage; 0: logits and maps are bit for bit those of the network.
        reader: takes the last map as tokens, B×N×C, and the prompts, B×t×C; what it returns is not used, but
            `features.capture` can read its modules.

    Raises:
        UsageError: the network is not a Swin transformer of timm, or its maps do not divide into windows.
    """

    def __init__(self, network: nn.Module, prompts: int, reader: nn.Module) -> None:
        super().__init__()
        swin = cast(Any, require_swin(network))
        require_number("prompts", prompts, low=0, whole=True)
        names = [str(entry["module"]) for entry in swin.feature_info]
        self.map_paths: Mapping[str, str] = {name: f"network.{name}" for name in names}
        self.feature_info: Sequence[Mapping[str, Any]] = [
            {**entry, "module": f"network.{entry['module']}"} for entry in swin.feature_info
        ]
        for block in (block for stage in swin.layers for block in stage.blocks if prompts):
            require_windows(block.input_resolution, block.window_size)
        swin.requires_grad_(False)
        for place, stage in enumerate(swin.layers):
            swin.layers[place] = PromptedStage(stage, prompts)
        self.network = swin
        self.shown_type = f"adapted {type(swin).__name__}"
        self.reader = reader

    def get_classifier(self) -> nn.Module:
        """Return the classifier, which `features.capture` reads the embedding at."""
        return self.network.get_classifier()

    @property
    def num_features(self) -> int:
        """The width of the embedding."""
        return self.network.num_features

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.network.patch_embed(images)
        prompts = x[:, :0, 0]
        for stage in self.network.layers:
            x, prompts = stage(x)
        x = self.network.norm(x)
        self.reader(x.flatten(1, 2), self.network.norm(prompts))
        return self.network.forward_head(x)


def require_swin(network: nn.Module) -> nn.Module:
    """Return the bare Swin transformer of timm inside a network.

    Raises:
        DoesNotFitError: it is another network.
    """
    from timm.models.swin_transformer import SwinTransformer  # takes seconds, so only when it is used

    bare = unwrap(network)
    if not isinstance(bare, SwinTransformer):
        raise DoesNotFitError(
            f"prompts go into a Swin transformer of timm (swin_mini, timm:swin_tiny_patch4_window7_224, …), received "
            f"{type(bare).__name__}: use another teacher, or another method"
        )
    if bare.num_classes == 0:
        raise UsageError("prompts need a teacher with its classifier: use weights with a head")
    return bare
