"""CIFAR ResNets, resnet8 to resnet110 and their widened variants (He et al. 2016, arXiv 1512.03385, §4.2)."""

from typing import ClassVar

from torch import Tensor, nn

from wcord.models.initialize import initialize_convolutions


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: y = ReLU(f(x) + s(x)), B×in×H×W to B×out×(H/stride)×(W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of branch and shortcut."""
        branch = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(branch + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """A ResNet for small images: three stages, post-activation, depth = 6n + 2.

    Args:
        depth: layers with weights, 6n + 2 for n blocks a stage.
        widths: channels of the stem and of the three stages.
        num_classes: number of logits.
        in_channels: channels of the input.

    >>> import torch
    >>> ResNet(8, (16, 16, 32, 64), num_classes=10, in_channels=1)(torch.zeros(2, 1, 16, 16)).shape
    torch.Size([2, 10])
    """

    map_paths: ClassVar[dict[str, str]] = {"stem": "relu", "stage1": "layer1", "stage2": "layer2", "stage3": "layer3"}

    def __init__(self, depth: int, widths: tuple[int, int, int, int], *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        blocks, (stem, first, second, third) = (depth - 2) // 6, widths
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = _stage(stem, first, blocks, stride=1)
        self.layer2 = _stage(first, second, blocks, stride=2)
        self.layer3 = _stage(second, third, blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third, num_classes)
        self.preactivation_paths = {f"stage{i}": f"layer{i}.{blocks - 1}.relu2:in" for i in (1, 2, 3)}
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(in_channels: int, out_channels: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1) for _ in range(blocks - 1)))
