"""ResNet50 as used for CIFAR: bottleneck blocks, a 3×3 stem, no max-pooling (He et al. 2016, arXiv 1512.03385)."""

from typing import ClassVar

from torch import Tensor, nn

from wcord.models.initialize import initialize_convolutions

EXPANSION = 4
"""A bottleneck gives four times as many channels as it has inside."""


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut, B×in×H×W to B×4·planes×(H/stride)×(W/stride)."""

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * planes
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the activated sum of branch and shortcut."""
        branch = self.relu1(self.bn1(self.conv1(x)))
        branch = self.relu2(self.bn2(self.conv2(branch)))
        branch = self.bn3(self.conv3(branch))
        return self.relu3(branch + (x if self.shortcut is None else self.shortcut(x)))


class ResNet50(nn.Module):
    """ResNet50 at CIFAR's resolution, four stages of 3, 4, 6 and 3 bottlenecks."""

    map_paths: ClassVar[dict[str, str]] = {
        "stem": "relu",
        "stage1": "layer1",
        "stage2": "layer2",
        "stage3": "layer3",
        "stage4": "layer4",
    }

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = _stage(64, 64, blocks=3, stride=1)
        self.layer2 = _stage(256, 128, blocks=4, stride=2)
        self.layer3 = _stage(512, 256, blocks=6, stride=2)
        self.layer4 = _stage(1024, 512, blocks=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(2048, num_classes)
        self.preactivation_paths = {
            f"stage{i}": f"layer{i}.{blocks - 1}.relu3:in" for i, blocks in enumerate((3, 4, 6, 3), start=1)
        }
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(self.avgpool(x).flatten(1))


def _stage(in_channels: int, planes: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, planes, stride)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * planes, planes, 1) for _ in range(blocks - 1)))
