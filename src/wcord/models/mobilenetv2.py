"""MobileNetV2 of half width for CIFAR, as the CRD benchmark uses it (Sandler et al. 2018, arXiv 1801.04381)."""

from typing import ClassVar

from torch import Tensor, nn

from wcord.models.initialize import initialize_convolutions

STAGES = ((1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))
"""Expansion, channels, blocks and first stride of each stage, at width 0.5."""


class InvertedResidual(nn.Module):
    """Expand by 1×1, filter each channel by 3×3, project by 1×1; added to the input if the shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        self.adds_input = stride == 1 and in_channels == out_channels
        inner = expansion * in_channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the projection, not activated."""
        return x + self.conv(x) if self.adds_input else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 of half width, with ReLU (not ReLU6) and a stem of stride 2.

    Its stage maps are linear bottlenecks: no ReLU follows them.
    """

    map_paths: ClassVar[dict[str, str]] = {
        "stem": "conv1",
        "stage1": "blocks.1",
        "stage2": "blocks.2",
        "stage3": "blocks.4",
        "stage4": "blocks.6",
    }

    preactivation_paths = map_paths

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        inputs = (16, *(channels for _, channels, _, _ in STAGES))
        self.blocks = nn.Sequential(*(_stage(before, *stage) for before, stage in zip(inputs, STAGES, strict=False)))
        self.conv2 = nn.Sequential(nn.Conv2d(inputs[-1], 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        # A Sequential of one, because published checkpoints call it classifier.0.
        self.classifier = nn.Sequential(nn.Linear(1280, num_classes))
        initialize_convolutions(self)
        for name, parameter in self.classifier.named_parameters():
            nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        x = self.conv2(self.blocks(self.conv1(x)))
        return self.classifier(self.avgpool(x).flatten(1))


def _stage(in_channels: int, expansion: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = InvertedResidual(in_channels, out_channels, expansion, stride)
    return nn.Sequential(
        first, *(InvertedResidual(out_channels, out_channels, expansion, 1) for _ in range(blocks - 1))
    )
