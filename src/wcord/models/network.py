"""A network together with the preprocessing that it wants, and how to get at what is inside a wrapped one."""

import sys
from collections.abc import Mapping
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wcord.models.preprocess import Preprocess


class Network(nn.Module):
    """Images in, logits out: f(p(x)) with backbone f and preprocessing p.

    Args:
        backbone: the network itself.
        preprocess: what brings images in [0, 1] to the backbone's input.
        classes: names of the classes, in the order of the logits; may be empty.

    >>> import torch
    >>> network = Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), Preprocess((0.5,) * 3, (0.5,) * 3))
    >>> network(torch.rand(4, 3, 2, 2)).shape
    torch.Size([4, 2])
    """

    def __init__(self, backbone: nn.Module, preprocess: Preprocess, classes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.preprocess = preprocess
        self.classes = tuple(classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B×classes, of images in [0, 1], B×C×H×W."""
        return logits_of(self.backbone(self.preprocess(images)))


@runtime_checkable
class StatesMaps(Protocol):
    """A network that names its maps as data: name → path of the module whose output is the map."""

    map_paths: Mapping[str, str]


@runtime_checkable
class StatesPreactivations(Protocol):
    """A network that says where its maps are before their ReLU: name → address (see `features.capture`)."""

    preactivation_paths: Mapping[str, str]


@runtime_checkable
class _HoldsLogits(Protocol):
    """An output with more than logits: transformers' ModelOutput, the named tuples of torchvision's Inception."""

    logits: Any


def logits_of(output: object) -> Tensor:
    """Return the logits in what a network returned: a tensor, or something that holds one as `.logits`.

    Raises:
        TypeError: there is neither.
    """
    logits = output.logits if not isinstance(output, Tensor) and isinstance(output, _HoldsLogits) else output
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"the network must return logits as a tensor, or an output with .logits, received {type(output).__name__}: "
            "wrap it in a module that returns the logits alone"
        )
    return logits


def unwrap(model: nn.Module) -> nn.Module:
    """Return the network itself, out of any nesting of DDP, torch.compile and `Network`.

    >>> backbone = nn.Linear(2, 2)
    >>> unwrap(Network(backbone, Preprocess((0.0,), (1.0,)))) is backbone
    True
    """
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif isinstance(model, Network):
            model = model.backbone
        elif is_compiled(model):
            model = cast(nn.Module, model._orig_mod)
        else:
            return model


def is_compiled(model: nn.Module) -> bool:
    """Return whether `torch.compile` made this module."""
    # Importing the compiler takes seconds, and where it has not been imported nothing can have been compiled.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(model, compiler.OptimizedModule)
