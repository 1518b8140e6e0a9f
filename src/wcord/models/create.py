"""Build any network by its name: the built-in ones, timm's, torchvision's, the Hugging Face hub's, the user's own."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from torch import nn

from wcord.checks import UsageError, require_counts, require_size, unknown
from wcord.models.catalogue import CIFAR_MODELS, TABLE_MODELS, network_spec
from wcord.models.mlp import MLP
from wcord.models.mobilenetv2 import MobileNetV2
from wcord.models.resnet import ResNet
from wcord.models.resnet50 import ResNet50
from wcord.models.shufflenetv1 import ShuffleV1
from wcord.models.shufflenetv2 import ShuffleV2
from wcord.models.simkd import reuse_classifier, simkd_names
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
}
COLOUR = 3


def create_model(
    name: str, *, num_classes: int = 100, in_channels: int = 3, image_size: tuple[int, int] | None = None
) -> nn.Module:
    """Build the network `name` with random weights.

    Args:
        name: a name of `CIFAR_MODELS` (case-sensitive), `mlp{W}x{D}`, `timm:NAME`, `torchvision:NAME`, `hf:NAME`,
            `simkd:STUDENT:TEACHER`, or `package.module:factory`, which is called with those of `num_classes` and
            `in_channels` that it accepts.
        num_classes: number of logits.
        in_channels: channels of the input images.
        image_size: their height and width, for the perceptrons, which are built for one size.

    Returns:
        The network itself, on the CPU, in training mode; its input is B×C×H×W, normalised as it wants.

    Raises:
        UsageError: the name is unknown, or the network cannot be built with these numbers.

    >>> sum(p.numel() for p in create_model("resnet20").parameters())
    278324
    """
    require_counts(num_classes=num_classes, in_channels=in_channels)
    if image_size is not None:
        require_size("image_size", image_size)
    prefix, colon, rest = name.partition(":")
    if not colon:
        return _built_in(name, num_classes, in_channels, image_size)
    builders = {"simkd": _simkd, "timm": _timm, "torchvision": _torchvision, "hf": _hugging_face}
    if prefix in builders:
        return builders[prefix](rest, num_classes, in_channels)
    return _own(prefix, rest, num_classes, in_channels)


def _built_in(name: str, num_classes: int, in_channels: int, image_size: tuple[int, int] | None) -> nn.Module:
    spec = network_spec(name)
    if spec is None:
        same = [known for known in CIFAR_MODELS if known.lower() == name.lower()]
        hint = f"unknown model {name!r}: did you mean {same[0]!r} (names are case-sensitive)?" if same else None
        others = "timm:NAME, torchvision:NAME, hf:NAME or package.module:factory"
        raise UsageError(
            f"{hint or unknown('model', name, (*CIFAR_MODELS, *TABLE_MODELS))}; for other networks: {others}"
        )
    size = {"image_size": image_size} if spec.family == "mlp" and image_size is not None else {}
    return FAMILIES[spec.family](**spec.arguments, **size, num_classes=num_classes, in_channels=in_channels)


def _simkd(names: str, num_classes: int, in_channels: int) -> nn.Module:
    student, teacher = (
        create_model(name, num_classes=num_classes, in_channels=in_channels) for name in simkd_names(names)
    )
    return reuse_classifier(student, teacher)


def _timm(name: str, num_classes: int, in_channels: int) -> nn.Module:
    import timm  # takes seconds, so only when asked for

    if not timm.is_model(name):
        raise _unknown_elsewhere("timm", name, timm.list_models())
    try:
        return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)
    except Exception as error:
        raise _cannot_build(f"timm:{name}", error) from error


def _torchvision(name: str, num_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown_elsewhere("torchvision", name, known)
    if in_channels != COLOUR:
        raise UsageError(
            f"torchvision:{name} takes {COLOUR} input channels, received {in_channels}: "
            "use a timm: network, which takes any number"
        )
    try:
        return models.get_model(name, weights=None, num_classes=num_classes)
    except Exception as error:
        raise _cannot_build(f"torchvision:{name}", error) from error


def _hugging_face(name: str, num_classes: int, in_channels: int) -> nn.Module:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(f"hf:{name} needs the transformers library: pip install 'wcord[hf]'") from error
    try:
        config = transformers.AutoConfig.from_pretrained(name, num_labels=num_classes, num_channels=in_channels)
        taken = config.to_dict().get("num_channels", COLOUR)
        if taken != in_channels:
            raise UsageError(f"hf:{name} takes {taken} input channels, received {in_channels}")
        return transformers.AutoModelForImageClassification.from_config(config)
    except UsageError:
        raise
    except Exception as error:
        raise _cannot_build(f"hf:{name}", error) from error


def _own(module_name: str, factory_name: str, num_classes: int, in_channels: int) -> nn.Module:
    name = f"{module_name}:{factory_name}"
    module = _import(module_name, name)
    known = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    factory = vars(module).get(factory_name)
    if factory is None:
        raise _unknown_elsewhere(module_name, factory_name, known)
    if not callable(factory) or isinstance(factory, nn.Module):
        raise UsageError(f"{name} is a {type(factory).__name__}: name a function or class that returns a new network")
    try:
        network = factory(**_accepted(factory, num_classes, in_channels))
    except Exception as error:
        raise _cannot_build(name, error) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} must return a torch.nn.Module, received {type(network).__name__}")
    return network


def _accepted(factory: Callable[..., Any], num_classes: int, in_channels: int) -> dict[str, int]:
    """Return those of the two numbers that the factory's signature takes.

    A factory with `**kwargs` passes them on to someone who may know the class count alone, so it is told the channels
    only where they are not the usual three.
    """
    parameters = inspect.signature(factory).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {}
    if "num_classes" in parameters or open_ended:
        given["num_classes"] = num_classes
    if "in_channels" in parameters or (open_ended and in_channels != COLOUR):
        given["in_channels"] = in_channels
    return given


def _import(module_name: str, name: str) -> ModuleType:
    """Import a module, also from the current folder, which an installed command does not search by itself."""
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
        raise _cannot_build(name, error) from error
    except Exception as error:
        raise _cannot_build(name, error) from error


def _unknown_elsewhere(source: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that a library does not know; it has too many names to list them all."""
    options = list(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(f'{source}:{option}' for option in near)}?" if near else "check the spelling"
    return UsageError(f"{source} has no network {name!r} (it has {len(options)}): {hint}")


def _cannot_build(name: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())
    return UsageError(f"model {name!r} could not be built: {type(error).__name__}: {reason[:300]}")
