"""Wide ResNets for CIFAR, pre-activation (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

from typing import ClassVar

from torch import Tensor, nn

from wcord.models.initialize import initialize_convolutions


class PreActivationBlock(nn.Module):
    """BN, ReLU and 3×3 convolution, twice, beside a shortcut.

    Where the width changes, the shortcut is a 1×1 convolution of the *activated* input; else it is the input itself.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        # The name is part of the state-dict keys that published checkpoints hold.
        self.convShortcut = None
        if in_channels != out_channels:
            self.convShortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of branch and shortcut, not activated."""
        activated = self.relu1(self.bn1(x))
        branch = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        return branch + (x if self.convShortcut is None else self.convShortcut(activated))


class Stage(nn.Module):
    """Blocks of one width in a row, under the name `layer`."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = PreActivationBlock(in_channels, out_channels, stride)
        rest = (PreActivationBlock(out_channels, out_channels, 1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Return the last block's output, not activated."""
        return self.layer(x)


class WideResNet(nn.Module):
    """A wide ResNet: stem of 16 channels, stages of 16k, 32k and 64k, depth = 6n + 4.

    Its maps are raw sums: the activation of a stage belongs to the block that follows.

    Args:
        depth: layers with weights, 6n + 4 for n blocks a stage.
        widening: k.
        num_classes: number of logits.
        in_channels: channels of the input.
    """

    map_paths: ClassVar[dict[str, str]] = {"stem": "conv1", "stage1": "block1", "stage2": "block2", "stage3": "block3"}

    preactivation_paths: ClassVar[dict[str, str]] = {
        "stage1": "block2.layer.0.bn1",
        "stage2": "block3.layer.0.bn1",
        "stage3": "bn1",
    }

    def __init__(self, depth: int, widening: int, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        blocks, first, second, third = (depth - 4) // 6, 16 * widening, 32 * widening, 64 * widening
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.block1 = Stage(16, first, blocks, stride=1)
        self.block2 = Stage(first, second, blocks, stride=2)
        self.block3 = Stage(second, third, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(third)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, num_classes)
        initialize_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        x = self.relu(self.bn1(x))
        return self.fc(self.avgpool(x).flatten(1))
