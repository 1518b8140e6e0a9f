"""Builds a network by name: built in, or of timm, torchvision, the Hugging Face hub or user code."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch import nn

from wcord.checks import LARGEST_COUNT, UsageError, require_counts, require_kind, require_number, require_size, unknown
from wcord.models import timm_networks, torchvision_networks, transformers_networks
from wcord.models.catalogue import CIFAR_MODELS, SMALL_TRANSFORMERS, TABLE_MODELS, names_weights, network_spec
from wcord.models.classifier import without_classifier
from wcord.models.hub import cannot_build, unknown_network
from wcord.models.mlp import MLP
from wcord.models.mobilenetv2 import MobileNetV2
from wcord.models.resnet import ResNet
from wcord.models.resnet50 import ResNet50
from wcord.models.shufflenetv1 import ShuffleV1
from wcord.models.shufflenetv2 import ShuffleV2
from wcord.models.simkd import reuse_classifier, simkd_names
from wcord.models.stated import Frame, Stated
from wcord.models.swin import small_swin
from wcord.models.trial import settle_widths
from wcord.models.vgg import VGG
from wcord.models.wrn import WideResNet

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "resnet": ResNet,
    "resnet50": ResNet50,
    "wrn": WideResNet,
    "vgg": VGG,
    "mobilenetv2": MobileNetV2,
    "shufflenetv1": ShuffleV1,
    "shufflenetv2": ShuffleV2,
    "mlp": MLP,
    "swin": small_swin,
}
OF_ONE_SIZE = ("mlp", "swin")
"""Families that are built for one size of the input."""
COLOR = 3
DEFAULT_CLASSES = 100
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "timm": timm_networks.build,
    "torchvision": torchvision_networks.build,
    "hf": transformers_networks.build,
}
STATEMENTS: dict[str, Callable[[str], Stated]] = {
    "timm": timm_networks.stated,
    "torchvision": torchvision_networks.stated,
    "hf": transformers_networks.stated,
}
FULL_NAMES: dict[str, Callable[[str], str]] = {
    "timm": timm_networks.full_name,
    "torchvision": torchvision_networks.full_name,
}


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int = 3,
    image_size: tuple[int, int] | None = None,
    pretrained: bool | None = None,
) -> nn.Module:
    """Build the network `name`, with random weights unless it names pretrained ones.

    Args:
        name: a name of `CIFAR_MODELS` (case-sensitive), `swin_mini`, `mlp{W}x{D}`, `timm:NAME`, `torchvision:NAME`,
            `hf:NAME`, `simkd:STUDENT:TEACHER`, or `package.module:factory`, which is called with those of `num_classes`
            and `in_channels` that it accepts. `timm:NAME.TAG`, `timm:hf-hub:USER/NAME`, `torchvision:NAME@WEIGHTS` and
            `hf:NAME` name pretrained weights.
        num_classes: number of logits; 0 for a network without a classifier. Default: that of the pretrained weights,
            else 100. If it differs from that of the weights, the body is pretrained and the head random.
        in_channels: channels of the input images.
        image_size: their height and width, for perceptrons and `swin_mini`, which are built for one size.
        pretrained: whether to load pretrained weights: the named ones, else the library's default. Default: if the name
            contains them.

    Returns:
        The bare network, on the CPU, in training mode; its input is B×C×H×W, normalized.

    Raises:
        UsageError: an unknown name, invalid numbers, or weights that are not available.

    >>> sum(p.numel() for p in create_model("resnet20").parameters())
    278324
    """
    require_kind("name", name, str, "the name of a network")
    require_counts(in_channels=in_channels)
    if image_size is not None:
        require_size("image_size", image_size)
    pretrained = names_weights(name) if pretrained is None else pretrained
    if num_classes is None:
        stated = stated_by_name(name) if pretrained else None
        num_classes = DEFAULT_CLASSES if stated is None else stated.num_classes
    require_number("num_classes", num_classes, low=0, high=LARGEST_COUNT, whole=True)
    if num_classes == 0:
        headed = create_model(
            name, num_classes=1, in_channels=in_channels, image_size=image_size, pretrained=pretrained
        )
        return without_classifier(headed)
    prefix, colon, rest = name.partition(":")
    if prefix in BUILDERS and colon:
        return BUILDERS[prefix](rest, num_classes, in_channels, pretrained=pretrained)
    if pretrained:
        raise UsageError(f"{name} has no pretrained weights by name: give a file of weights, or name a network of timm")
    if not colon:
        return _built_in(name, num_classes, in_channels, image_size)
    if prefix == "simkd":
        return _simkd(rest, num_classes, in_channels)
    network = _user_network(prefix, rest, num_classes, in_channels)
    settle_widths(network, in_channels=in_channels, image_size=image_size)
    return network


def stated_by_name(name: str) -> Stated:
    """Return what a library states about the pretrained weights of a name, by default the library's default ones.

    Raises:
        UsageError: the name is unknown, or its library has no pretrained weights.
    """
    prefix, _, rest = name.partition(":")
    if prefix not in STATEMENTS:
        raise UsageError(f"{name} has no pretrained weights by name: give a file of weights, or name a network of timm")
    return STATEMENTS[prefix](rest)


def stated_frame(name: str, *, pretrained: bool = False) -> Frame | None:
    """Return height, width and center fraction of the pictures that the pretrained weights of a name were trained on.

    None without pretrained weights, or if they do not state it.

    >>> stated_frame("torchvision:resnet18@DEFAULT"), stated_frame("torchvision:resnet18"), stated_frame("resnet20")
    ((224, 224, 0.875), None, None)

    Raises:
        UsageError: the name is unknown, or its configuration is not available.
    """
    return stated_by_name(name).frame if pretrained or names_weights(name) else None


def name_with_weights(name: str) -> str:
    """Return a name with the library's default pretrained weights where it names none.

    >>> name_with_weights("torchvision:resnet18"), name_with_weights("timm:resnet18")
    ('torchvision:resnet18@IMAGENET1K_V1', 'timm:resnet18.a1_in1k')
    """
    prefix, _, rest = name.partition(":")
    return f"{prefix}:{FULL_NAMES[prefix](rest)}" if prefix in FULL_NAMES else name


def suggested_weights(name: str) -> str | None:
    """Return a name with pretrained weights for a name of timm or torchvision without any; None if there are none.

    >>> suggested_weights("timm:resnet18"), suggested_weights("resnet20")
    ('timm:resnet18.a1_in1k', None)
    """
    prefix = name.partition(":")[0]
    if prefix not in FULL_NAMES or names_weights(name):
        return None
    try:
        full = name_with_weights(name)
    except UsageError:
        return None
    return full if names_weights(full) else None


def _built_in(name: str, num_classes: int, in_channels: int, image_size: tuple[int, int] | None) -> nn.Module:
    spec = network_spec(name)
    if spec is None:
        same = [known for known in CIFAR_MODELS if known.lower() == name.lower()]
        hint = f"unknown model {name!r}: did you mean {same[0]!r} (names are case-sensitive)?" if same else None
        names = (*CIFAR_MODELS, *SMALL_TRANSFORMERS, *TABLE_MODELS)
        others = "timm:NAME, torchvision:NAME, hf:NAME or package.module:factory"
        raise UsageError(f"{hint or unknown('model', name, names)}; for other networks: {others}")
    size = {"image_size": image_size} if spec.family in OF_ONE_SIZE and image_size is not None else {}
    return FAMILIES[spec.family](**spec.arguments, **size, num_classes=num_classes, in_channels=in_channels)


def _simkd(names: str, num_classes: int, in_channels: int) -> nn.Module:
    student, teacher = (
        create_model(name, num_classes=num_classes, in_channels=in_channels, pretrained=False)
        for name in simkd_names(names)
    )
    return reuse_classifier(student, teacher)


def _user_network(module_name: str, factory_name: str, num_classes: int, in_channels: int) -> nn.Module:
    name = f"{module_name}:{factory_name}"
    module = _import(module_name, name)
    known = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    factory = vars(module).get(factory_name)
    if factory is None:
        raise unknown_network(module_name, factory_name, known)
    if not callable(factory) or isinstance(factory, nn.Module):
        raise UsageError(f"{name} is a {type(factory).__name__}: name a function or class that returns a new network")
    try:
        network = factory(**_accepted(factory, num_classes, in_channels))
    except (Exception, SystemExit) as error:
        raise cannot_build(name, error) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} must return a torch.nn.Module, received {type(network).__name__}")
    return network


def _accepted(factory: Callable[..., Any], num_classes: int, in_channels: int) -> dict[str, int]:
    """Return those of the two numbers that the factory's signature takes.

    A factory with `**kwargs` may pass them to one that only takes the class count, so that it gets the channels only if
    they are not the usual three.
    """
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    accepted = {}
    if "num_classes" in parameters or open_ended:
        accepted["num_classes"] = num_classes
    if "in_channels" in parameters or (open_ended and in_channels != COLOR):
        accepted["in_channels"] = in_channels
    return accepted


def _import(module_name: str, name: str) -> ModuleType:
    """Import a module, also from the current folder, which an installed command does not search."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(
                f"model {name!r}: no module {error.name!r} was found; own networks are named package.module:factory, "
                "seen from the current folder, others timm:NAME, torchvision:NAME or hf:NAME"
            ) from error
        raise cannot_build(name, error) from error
    except (Exception, SystemExit) as error:
        raise cannot_build(name, error) from error
