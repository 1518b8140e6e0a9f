"""The names of the networks and what each is built from; torch-free, so that listing them is instant."""

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

WRN_DEPTHS_AND_WIDTHS = ((16, 1), (16, 2), (40, 1), (40, 2))


@dataclass(frozen=True)
class BuiltinNetwork:
    """A built-in network by family and size.

    Attributes:
        family: which class builds it; `create.FAMILIES` maps it to that class.
        arguments: of that class, in addition to the numbers of classes and of input channels.
    """

    family: str
    arguments: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def _spec(family: str, **arguments: Any) -> BuiltinNetwork:
    return BuiltinNetwork(family, MappingProxyType(arguments))


def _resnet(depth: int, widening: int = 1) -> BuiltinNetwork:
    """Return a CIFAR ResNet; a widened one has its stem widened as well, from 8 channels and not from 16."""
    stem = 16 if widening == 1 else 8 * widening
    return _spec("resnet", depth=depth, widths=(stem, 16 * widening, 32 * widening, 64 * widening))


def _vgg(*blocks: tuple[int, ...]) -> BuiltinNetwork:
    return _spec("vgg", blocks=blocks)


CIFAR_NETWORKS: MappingProxyType[str, BuiltinNetwork] = MappingProxyType(
    {f"resnet{depth}": _resnet(depth) for depth in (8, 14, 20, 32, 44, 56, 110)}
    | {"resnet8x4": _resnet(8, 4), "resnet32x4": _resnet(32, 4), "resnet14x2": _resnet(14, 2)}
    | {"ResNet50": _spec("resnet50")}
    | {f"wrn_{d}_{k}": _spec("wrn", depth=d, widening=k) for d, k in WRN_DEPTHS_AND_WIDTHS}
    | {
        "vgg8": _vgg((64,), (128,), (256,), (512,), (512,)),
        "vgg11": _vgg((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
        "vgg13": _vgg((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
        "vgg16": _vgg((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
        "vgg19": _vgg((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
        "MobileNetV2": _spec("mobilenetv2"),
        "ShuffleV1": _spec("shufflenetv1"),
        "ShuffleV2": _spec("shufflenetv2"),
    }
)
"""The networks of the CRD benchmark, under its names, and resnet14x2, a small teacher for 16×16 images."""

TABLE_MODELS: tuple[str, ...] = ("mlp32x1", "mlp64x2", "mlp256x3")
"""Some of the perceptrons for tables: mlp{width}x{hidden layers}, any of them."""

SMALL_TRANSFORMERS: MappingProxyType[str, BuiltinNetwork] = MappingProxyType({"swin_mini": _spec("swin")})
"""Transformers for pictures of 16×16 or 32×32 pixels, built for one size."""

CIFAR_MODELS: tuple[str, ...] = tuple(CIFAR_NETWORKS)
"""The names of the built-in networks; they are case-sensitive."""

LIBRARIES: tuple[str, ...] = ("timm", "torchvision", "hf")
"""Prefixes of libraries; any other prefix is a module of the user."""

PREFIXES: dict[str, str] = {
    "timm:": "any network of timm, e.g. timm:resnet50; pretrained: timm:resnet50.a1_in1k, timm:hf-hub:USER/NAME",
    "torchvision:": "any classifier of torchvision, e.g. torchvision:resnet18; pretrained: torchvision:vgg11@DEFAULT",
    "hf:": "a pretrained image classifier of the Hugging Face hub or of a local folder, e.g. hf:microsoft/resnet-18",
    "simkd:": "a student with its teacher's classifier, as trained by simkd: simkd:STUDENT:TEACHER",
    "package.module:": "your own function or class that returns a torch.nn.Module, e.g. mypackage.nets:small",
}
"""Prefix of a name → its meaning."""


def names_weights(name: str) -> bool:
    """Return whether the name of a network names pretrained weights too.

    >>> [names_weights(name) for name in ("timm:resnet18", "timm:resnet18.a1_in1k", "torchvision:resnet18@DEFAULT")]
    [False, True, True]
    >>> names_weights("hf:microsoft/resnet-18"), names_weights("timm:hf-hub:timm/resnet18.a1_in1k")
    (True, True)
    """
    library, _, rest = name.partition(":")
    match library:
        case "timm":
            return "." in rest or ":" in rest
        case "torchvision":
            return "@" in rest
        case _:
            return library == "hf"


def network_spec(name: str) -> BuiltinNetwork | None:
    """Return the family and size of a built-in network, or None for an unknown name.

    In addition to the listed names, every widened resnet{D}x2 and resnet{D}x4 with D = 6n + 2 is known, and every
    mlp{W}x{D}.

    >>> network_spec("resnet26x2").arguments["widths"]
    (16, 32, 64, 128)
    >>> network_spec("resnet50") is None  # names are case-sensitive: CIFAR's variant is ResNet50
    True
    """
    if name in CIFAR_NETWORKS:
        return CIFAR_NETWORKS[name]
    if name in SMALL_TRANSFORMERS:
        return SMALL_TRANSFORMERS[name]
    perceptron = re.fullmatch(r"mlp([1-9]\d{0,4})x([1-9]\d?)", name)
    if perceptron is not None:
        return _spec("mlp", width=int(perceptron[1]), depth=int(perceptron[2]))
    match = re.fullmatch(r"resnet([1-9]\d{0,3})x([24])", name)
    if match is None:
        return None
    depth = int(match[1])
    return _resnet(depth, int(match[2])) if depth >= 8 and depth % 6 == 2 else None
