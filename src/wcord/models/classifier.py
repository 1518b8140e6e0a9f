"""Which modules of a network turn its embedding into logits, and the same network without them."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from wcord.checks import UsageError


@runtime_checkable
class StatesClassifier(Protocol):
    """A network that states its classifier, as timm's do."""

    def get_classifier(self) -> Any:
        """Return the classifier, or several of which the first counts."""
        ...


@runtime_checkable
class _StatesWidth(Protocol):
    """A network of timm."""

    num_features: Any


@runtime_checkable
class _StatesHeadWidth(Protocol):
    """A network of timm whose head has a hidden layer."""

    head_hidden_size: Any


@runtime_checkable
class _StatesConfiguration(Protocol):
    """A network of transformers."""

    config: Any


class NoClassifier(nn.Module):
    """Takes the place of a removed classifier: returns no logits, B×0."""

    def forward(self, embedding: Tensor) -> Tensor:
        """Return B×0."""
        return embedding.new_zeros(len(embedding), 0)


def classifier_paths(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of a network's classifiers, found without running it; the first one is the main one.

    They are those that the network states (timm's `get_classifier`), else its last `nn.Linear`, else its last 1×1
    convolution. It may state several, each of another embedding (CrossViT).

    >>> from wcord.models.create import create_model
    >>> classifier_paths(create_model("resnet8")), classifier_paths(create_model("torchvision:squeezenet1_1"))
    (('fc',), ('classifier.1',))
    """
    modules = dict(network.named_modules())
    absent = [path for path, module in modules.items() if isinstance(module, NoClassifier)]
    if absent:
        return tuple(absent)
    stated = network.get_classifier() if isinstance(network, StatesClassifier) else None
    several = list(stated) if isinstance(stated, (tuple, list, nn.ModuleList)) else [stated]
    several = [one for one in several if not isinstance(one, nn.Identity)]
    paths = [path for one in several for path, module in modules.items() if module is one]
    linear = [path for path, module in modules.items() if isinstance(module, nn.Linear)]
    convolutions = {path: module for path, module in modules.items() if isinstance(module, nn.Conv2d)}
    pointwise = [path for path, module in convolutions.items() if module.kernel_size == (1, 1)]
    return tuple(paths or linear[-1:] or pointwise[-1:])


def joined_classifiers(network: nn.Module) -> bool:
    """Return whether each of a network's classifiers sees another part of its embedding."""
    return isinstance(network, StatesClassifier) and isinstance(network.get_classifier(), nn.ModuleList)


def is_head_key(key: str, paths: Sequence[str]) -> bool:
    """Return whether a key of a state dict belongs to one of the modules.

    >>> is_head_key("head.fc.weight", ["head"]), is_head_key("header.weight", ["head"])
    (True, False)
    """
    return any(key.startswith(f"{path}.") for path in paths if path)


def without_classifier(network: nn.Module) -> nn.Module:
    """Remove a network's classifiers, in place, so that it returns an embedding and no logits.

    Returns:
        `network`.

    Raises:
        UsageError: it has no classifier that can be removed.

    >>> import torch
    >>> from wcord.models.create import create_model
    >>> without_classifier(create_model("resnet8"))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 0])
    """
    paths = [path for path in classifier_paths(network) if path]
    if not paths or isinstance(network.get_submodule(paths[0]), nn.Conv2d):
        raise UsageError(
            f"the head of {type(network).__name__} was not found, so that it cannot be used without one: "
            "use weights with a head"
        )
    for path in paths:
        network.set_submodule(path, NoClassifier())
    return network


def split_head(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the trainable parameters of a network's body, and those of its classifiers."""
    paths = classifier_paths(network)
    body: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (head if is_head_key(name, paths) else body).append(parameter)
    return body, head


def stated_widths(network: nn.Module) -> set[int]:
    """Return the widths that a network states for its embedding: timm's, or those of a configuration of transformers.

    >>> from wcord.models.create import create_model
    >>> stated_widths(create_model("timm:test_vit"))
    {64}
    """
    values: list[Any] = []
    if isinstance(network, _StatesWidth):
        values.append(network.num_features)
    if isinstance(network, _StatesHeadWidth):
        values.append(network.head_hidden_size)
    if isinstance(network, _StatesConfiguration):
        stated = network.config if isinstance(network.config, dict) else vars(network.config)
        values += [stated.get("hidden_size"), *(stated.get("hidden_sizes") or [None])[-1:]]
    return {value for value in values if isinstance(value, int)}
