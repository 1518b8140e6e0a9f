"""Classifiers of torchvision by name, with random or pretrained weights, and what it states about the weights."""

from typing import TYPE_CHECKING, Any

from torch import nn

from wcord.checks import UsageError, unknown
from wcord.models.hub import cannot_build, cannot_load, torch_file, unknown_network
from wcord.models.reading import read_states
from wcord.models.stated import Stated

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

COLOR = 3
FIXED = ("vit_", "maxvit_")
"""Prefixes of networks that take pictures of a single size."""
INCEPTIONS = ("googlenet", "inception_v3")
"""Weights from TensorFlow: torchvision converts the input from ImageNet's normalization to theirs, inside."""


def build(name: str, num_classes: int, in_channels: int, *, pretrained: bool) -> nn.Module:
    """Return the network `torchvision:name`.

    Args:
        name: without its prefix: `resnet18`, `resnet18@IMAGENET1K_V1`, `resnet18@DEFAULT`.
        num_classes: number of logits; if the weights have another, the head is new.
        in_channels: channels of the input; must be 3.
        pretrained: load the named weights, or torchvision's default ones.

    Raises:
        UsageError: the name is unknown, or the weights are not available.
    """
    from torchvision import models  # takes seconds, so only when it is used

    weights = _weights(name, pretrained=pretrained)
    plain = name.partition("@")[0]
    if in_channels != COLOR:
        raise UsageError(
            f"torchvision:{name} takes {COLOR} input channels, received {in_channels}: "
            "use a timm: network, which takes any number"
        )
    try:
        network = models.get_model(plain, weights=None, num_classes=num_classes, **_settings(plain, weights))
    except Exception as error:
        raise cannot_build(f"torchvision:{name}", error) from error
    if weights is None or not pretrained:
        return network
    path = torch_file(f"torchvision:{name}", weights.url)
    read_states(path)  # torchvision would run code in the file, and report a damaged one at length
    try:
        state, target = models.get_model(plain, weights=weights, progress=False).state_dict(), network.state_dict()
        for key in [key for key, value in state.items() if target[key].shape != value.shape]:
            del state[key]  # of the head
        network.load_state_dict(state, strict=False)
    except Exception as error:
        raise cannot_load(f"torchvision:{name}", path, error) from error
    return network


def stated(name: str) -> Stated:
    """Return what torchvision states about the named weights, or its default ones.

    Raises:
        UsageError: the name is unknown.
    """
    weights = _weights(name, pretrained=True)
    assert weights is not None
    seen: Any = weights.transforms()
    crop, resized = seen.crop_size[0], seen.resize_size[0]
    inception = name.partition("@")[0] in INCEPTIONS
    names = tuple(str(one) for one in weights.meta.get("categories") or ())
    return Stated(
        num_classes=len(names),
        mean=(0.5,) * COLOR if inception else tuple(map(float, seen.mean)),
        std=(0.5,) * COLOR if inception else tuple(map(float, seen.std)),
        frame=(crop, crop, crop / max(crop, resized)),
        names=names,
        fixed=name.startswith(FIXED),
    )


def full_name(name: str) -> str:
    """Return a name with its weights, `resnet18@IMAGENET1K_V1`, if it has none or says DEFAULT."""
    weights = _weights(name, pretrained=True)
    assert weights is not None
    return f"{name.partition('@')[0]}@{weights.name}"


def _weights(name: str, *, pretrained: bool) -> "WeightsEnum | None":
    """Return the weights of a name, or None for random ones."""
    from torchvision import models

    plain, at, tag = name.partition("@")
    known = models.list_models(module=models)
    if plain not in known:
        raise unknown_network("torchvision", plain, known)
    if not at and not pretrained:
        return None
    entries: Any = models.get_model_weights(plain)
    if not at and not len(entries):
        raise UsageError(f"torchvision has no pretrained weights of {plain}: start from random ones")
    tag = tag or "DEFAULT"
    if tag not in entries.__members__:
        raise unknown(f"weights of torchvision:{plain}", tag, entries.__members__)
    return entries[tag]


def _settings(plain: str, weights: "WeightsEnum | None") -> dict[str, Any]:
    """Return the arguments of a network that its weights require."""
    if weights is None:
        return {}
    if plain.startswith("vit_"):
        return {"image_size": weights.meta["min_size"][0]}
    if plain in INCEPTIONS:
        return {"init_weights": False} | ({"aux_logits": False} if plain == "googlenet" else {})
    return {}
