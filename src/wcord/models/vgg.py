"""VGG with batch normalization for CIFAR, vgg8 to vgg19 (Simonyan and Zisserman 2015, arXiv 1409.1556)."""

from typing import ClassVar

from torch import Tensor, nn

from wcord.models.initialize import initialize_convolutions

TALL_INPUT = 64
"""Images of this height are pooled once more, after block 3."""


class VGG(nn.Module):
    """Five blocks of 3×3 convolutions with bias, max-pooling between the first four, one linear classifier.

    `block{i}` ends before its last ReLU, which is a module of its own (`relu{i}`), so that both sides can be read.

    Args:
        blocks: for each of the five blocks, the output channels of its convolutions.
        num_classes: number of logits.
        in_channels: channels of the input.
    """

    map_paths: ClassVar[dict[str, str]] = {f"block{number}": f"relu{number}" for number in range(5)}
    preactivation_paths: ClassVar[dict[str, str]] = {f"block{number}": f"block{number}" for number in range(5)}

    def __init__(self, blocks: tuple[tuple[int, ...], ...], *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        inputs = (in_channels, *(widths[-1] for widths in blocks))
        self.block0 = _block(inputs[0], blocks[0])
        self.relu0 = nn.ReLU()
        self.block1 = _block(inputs[1], blocks[1])
        self.relu1 = nn.ReLU()
        self.block2 = _block(inputs[2], blocks[2])
        self.relu2 = nn.ReLU()
        self.block3 = _block(inputs[3], blocks[3])
        self.relu3 = nn.ReLU()
        self.block4 = _block(inputs[4], blocks[4])
        self.relu4 = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs[5], num_classes)
        initialize_convolutions(self)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, B×classes, of images, B×C×H×W."""
        tall = x.shape[2] == TALL_INPUT
        x = self.pool(self.relu0(self.block0(x)))
        x = self.pool(self.relu1(self.block1(x)))
        x = self.pool(self.relu2(self.block2(x)))
        x = self.relu3(self.block3(x))
        x = self.relu4(self.block4(self.pool(x) if tall else x))
        return self.classifier(self.avgpool(x).flatten(1))


def _block(in_channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return convolution and BN for each width, with a ReLU between but none at the end."""
    layers: list[nn.Module] = []
    for before, width in zip((in_channels, *widths), widths, strict=False):
        if layers:
            layers.append(nn.ReLU())
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers)
