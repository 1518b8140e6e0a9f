"""ShuffleNet V2 of width 1 for CIFAR (Ma et al. 2018, arXiv 1807.11164)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from wcord.models.shuffle import channel_shuffle


class DownBlock(nn.Module):
    """Two branches of stride 2, each half of the output, concatenated and shuffled."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 2, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(half, half, 3, 2, padding=1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)
        self.relu5 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return both branches, shuffled."""
        left = self.relu2(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.relu3(self.bn3(self.conv3(x)))
        right = self.relu5(self.bn5(self.conv5(self.bn4(self.conv4(right)))))
        return channel_shuffle(torch.cat([left, right], dim=1), 2)


class SplitBlock(nn.Module):
    """One half of the channels passes as it is, the other is filtered; then both are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return both halves, shuffled."""
        first, second = x.chunk(2, dim=1)
        second = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(second)))))
        second = self.bn3(self.conv3(second))
        # The first half comes out of a ReLU: a second one leaves it as it is, and its input is the whole map before.
        return channel_shuffle(self.relu3(torch.cat([first, second], dim=1)), 2)


class ShuffleV2(nn.Module):
    """ShuffleNet V2, stages of 116, 232 and 464 channels with 4, 8 and 4 blocks, then 1×1 to 1024."""

    map_paths: ClassVar[dict[str, str]] = {"stem": "relu", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3"}
    preactivation_paths: ClassVar[dict[str, str]] = {
        "stage1": "layer1.3.relu3:in",
        "stage2": "layer2.7.relu3:in",
        "stage3": "layer3.3.relu3:in",
    }

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 24, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.relu = nn.ReLU()
        self.layer1 = _stage(24, 116, blocks=4)
        self.layer2 = _stage(116, 232, blocks=8)
        self.layer3 = _stage(232, 464, blocks=4)
        self.conv2 = nn.Conv2d(464, 1024, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1024)
        self.relu2 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.linear(self.avgpool(x).flatten(1))


def _stage(in_channels: int, out_channels: int, *, blocks: int) -> nn.Sequential:
    return nn.Sequential(DownBlock(in_channels, out_channels), *(SplitBlock(out_channels) for _ in range(blocks - 1)))
