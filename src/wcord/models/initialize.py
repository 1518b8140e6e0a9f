"""Initial weights of the CIFAR networks' convolutions: He initialization by fan-out."""

from torch import nn


def initialize_convolutions(network: nn.Module) -> None:
    """Draw each convolution from N(0, 2 / (k² · out)) and set its bias to zero; leave all else as it is.

    He et al. (2015), fan-out mode. The fan counts all output channels also where the convolution has groups.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
