"""ShuffleNet V1 with three groups for CIFAR (Zhang et al. 2018, arXiv 1707.01083)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wcord.models.shuffle import channel_shuffle

GROUPS = 3
STEM = 24
"""Channels of the stem; a convolution that reads them is not grouped."""


class ShuffleBlock(nn.Module):
    """Grouped 1×1, shuffle, depthwise 3×3, grouped 1×1; joined to the input, which is pooled where the stride is 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.joins_by_concatenation = stride == 2
        branch = out_channels - in_channels if self.joins_by_concatenation else out_channels
        inner = branch // 4
        self.groups = 1 if in_channels == STEM else GROUPS
        self.conv1 = nn.Conv2d(in_channels, inner, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, branch, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(branch)
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return branch and input, joined and activated."""
        branch = channel_shuffle(self.relu1(self.bn1(self.conv1(x))), self.groups)
        branch = self.relu2(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        joined = torch.cat([branch, self.pool(x)], dim=1) if self.joins_by_concatenation else branch + x
        return self.relu3(joined)


class ShuffleV1(nn.Module):
    """ShuffleNet V1, stages of 240, 480 and 960 channels with 4, 8 and 4 blocks."""

    map_paths: ClassVar[dict[str, str]] = {"stem": "relu", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3"}
    preactivation_paths: ClassVar[dict[str, str]] = {
        "stage1": "layer1.3.relu3:in",
        "stage2": "layer2.7.relu3:in",
        "stage3": "layer3.3.relu3:in",
    }

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        self.layer1 = _stage(STEM, 240, blocks=4)
        self.layer2 = _stage(240, 480, blocks=8)
        self.layer3 = _stage(480, 960, blocks=4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(960, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.avgpool(x).flatten(1))


def _stage(in_channels: int, out_channels: int, *, blocks: int) -> nn.Sequential:
    first = ShuffleBlock(in_channels, out_channels, stride=2)
    return nn.Sequential(first, *(ShuffleBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1)))
