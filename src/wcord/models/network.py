"""A network with its preprocessing, and access to the inside of a wrapped one."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from wcord.checks import WrongTypeError, require_kind, require_names
from wcord.models.preprocess import Preprocess


class Network(nn.Module):
    """Images in, logits out: f(p(x)) with backbone f and preprocessing p.

    If classes are merged, the logit of a class is log Σ exp over its parts, so that its probability is the sum of
    theirs.

    Args:
        backbone: the network itself.
        preprocess: from images in [0, 1] to the backbone's input.
        classes: names of the classes, in the order of the logits; may be empty.
        merge: class of each logit of the backbone, 0 … C−1, or −1 for a logit without a class; None: logits are not
            merged.
        embedding: path, in the backbone, of the module whose input is the embedding; None: it is detected.

    >>> import torch
    >>> network = Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), Preprocess((0.5,) * 3, (0.5,) * 3))
    >>> network(torch.rand(4, 3, 2, 2)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self,
        backbone: nn.Module,
        preprocess: Preprocess,
        classes: tuple[str, ...] = (),
        merge: Tensor | None = None,
        embedding: str | None = None,
    ) -> None:
        super().__init__()
        require_kind("backbone", backbone, nn.Module, "a torch.nn.Module")
        require_kind("preprocess", preprocess, Preprocess, "a Preprocess")
        self.backbone = backbone
        self.preprocess = preprocess
        require_names("classes", classes)
        if embedding is not None:
            require_kind("embedding", embedding, str, "the path of a module")
        self.classes = tuple(classes)
        self.embedding = embedding
        self.register_buffer("merge", merge, persistent=False)
        self._merged_classes = 0 if merge is None else int(merge.max()) + 1

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B×classes, of images in [0, 1], B×C×H×W."""
        prepared = self.preprocess(images)
        if prepared.dtype == torch.float64:  # values of tables that need it until they are standardized
            prepared = prepared.to(cast(Tensor, self.preprocess.std).dtype)
        logits = logits_of(self.backbone(prepared))
        merge = cast("Tensor | None", self.merge)
        return logits if merge is None else merge_logits(logits, merge, self._merged_classes)


def merge_logits(logits: Tensor, merge: Tensor, classes: int) -> Tensor:
    """Return log Σ exp of the logits of each class's parts, B×C; no part is lost to underflow.

    >>> import torch
    >>> merge_logits(torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0, 0, 1]), 2).exp().round(decimals=3)
    tensor([[2.0000, 2.7180]])

    Args:
        logits: B×K.
        merge: for each of the K logits its class, K; every class 0 … C−1 occurs; −1: the logit is left out.
        classes: their number, C.
    """
    # Logits without a class go to an additional column, so that no value is read on the host.
    where = merge.where(merge >= 0, classes).expand_as(logits)
    blank = logits.new_full((len(logits), classes + 1), -math.inf)
    largest = blank.scatter_reduce(1, where, logits.detach(), "amax")
    sums = torch.zeros_like(blank).scatter_add(1, where, (logits - largest.gather(1, where)).exp())
    return (sums[:, :classes].log() + largest[:, :classes]).contiguous()


@runtime_checkable
class StatesMaps(Protocol):
    """A network that names its maps as data: name → path of the module whose output is the map."""

    map_paths: Mapping[str, str]


@runtime_checkable
class StatesPreactivations(Protocol):
    """A network that states its maps before ReLU: name → address (see `features.capture`)."""

    preactivation_paths: Mapping[str, str]


@runtime_checkable
class StatesType(Protocol):
    """A network around another one, which says in messages what it is."""

    shown_type: str


def shown_type(network: nn.Module) -> str:
    """Return what messages call a network: the name of its class, unless it states something else.

    >>> shown_type(nn.Linear(2, 2))
    'Linear'
    """
    return network.shown_type if isinstance(network, StatesType) else type(network).__name__


@runtime_checkable
class _HoldsLogits(Protocol):
    """An output with more than logits: transformers' ModelOutput, the named tuples of torchvision's Inception."""

    logits: Any


def logits_of(output: object) -> Tensor:
    """Return the logits in the output of a network: a tensor, or an object with a tensor `.logits`.

    Raises:
        TypeError: it is neither.
    """
    logits = output.logits if not isinstance(output, Tensor) and isinstance(output, _HoldsLogits) else output
    if not isinstance(logits, Tensor):
        raise WrongTypeError(
            f"the network must return logits as a tensor, or an output with .logits, received {type(output).__name__}: "
            "wrap it in a module that returns the logits alone"
        )
    return logits


def unwrap(model: nn.Module) -> nn.Module:
    """Return the bare network inside any nesting of DDP, torch.compile and `Network`.

    >>> backbone = nn.Linear(2, 2)
    >>> unwrap(Network(backbone, Preprocess((0.0,), (1.0,)))) is backbone
    True
    """
    require_kind("model", model, nn.Module, "a torch.nn.Module")
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif isinstance(model, Network):
            model = model.backbone
        elif is_compiled(model):
            model = cast(nn.Module, model._orig_mod)
        else:
            return model


def merged_parts(model: nn.Module) -> int | None:
    """Return the number of logits inside a `Network` that merges them, else None."""
    merge = next((module.merge for module in model.modules() if isinstance(module, Network)), None)
    return len(merge) if isinstance(merge, Tensor) else None


def stated_embedding(model: nn.Module) -> str | None:
    """Return the path of the module whose input is the embedding, if a `Network` states it."""
    return next((module.embedding for module in model.modules() if isinstance(module, Network)), None)


def is_compiled(model: nn.Module) -> bool:
    """Return whether `torch.compile` made this module."""
    # Importing the compiler takes seconds; if it is not imported, nothing is compiled.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(model, compiler.OptimizedModule)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Put a network into eval mode without gradients, and restore the mode of every module at the end.

    Each module has its own: a network may keep some of them (a frozen BatchNorm) in another mode.

    >>> net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with evaluating(net):
    ...     net[0].training
    False
    >>> net[0].training, net[1].training
    (True, False)
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield network
    finally:
        for module, training in modes:
            module.training = training
