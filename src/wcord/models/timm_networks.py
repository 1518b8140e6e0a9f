"""Networks of timm by name, with random or pretrained weights, and what timm states about the weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from wcord.checks import UsageError
from wcord.models.hub import cannot_build, cannot_load, hub_file, torch_file, unknown_network
from wcord.models.stated import Stated

HUB, FOLDER = "hf-hub:", "local-dir:"
"""Prefixes of a repository of the Hugging Face hub, and of a local folder in the same form."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def build(name: str, num_classes: int, in_channels: int, *, pretrained: bool) -> nn.Module:
    """Return the network `timm:name`.

    Args:
        name: without its prefix: `resnet18`, `resnet18.a1_in1k`, `hf-hub:timm/resnet18.a1_in1k`.
        num_classes: number of logits; if the weights have another, the head is new.
        in_channels: channels of the input; if the weights have another number, timm adapts the first layer.
        pretrained: load the named weights, or timm's default ones.

    Raises:
        UsageError: the name is unknown, or the weights are not available.
    """
    import timm  # takes seconds, so only when it is used

    _require_known(name)
    known = _in_folder(name)
    source: dict[str, Any] = {}
    path = None
    if pretrained:
        path = _weights(name)
        source = {"pretrained_cfg_overlay": {"file": str(path), "source": "file", "custom_load": path.suffix == ".npz"}}
    try:
        return timm.create_model(known, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels, **source)
    except Exception as error:
        raise cannot_load(f"timm:{name}", path, error) if path else cannot_build(f"timm:{name}", error) from error


def stated(name: str) -> Stated:
    """Return what timm states about the named weights, or its default ones.

    Raises:
        UsageError: the name is unknown, or its configuration is not available.
    """
    _require_known(name)
    config = _configuration(name)
    size = config.get("test_input_size") or config["input_size"]
    fraction = config.get("test_crop_pct") or config.get("crop_pct") or 1.0
    if config.get("fixed_input_size"):
        size, fraction = config["input_size"], config.get("crop_pct") or 1.0
    names: Sequence[str] = config.get("label_names") or ()
    described: Mapping[str, str] = config.get("label_descriptions") or {}
    return Stated(
        num_classes=int(config.get("num_classes") or 0),
        mean=tuple(config.get("mean") or ()),
        std=tuple(config.get("std") or ()),
        frame=(int(size[1]), int(size[2]), float(fraction)),
        fixed=bool(config.get("fixed_input_size")),
        names=tuple(described.get(one, one) for one in names),
    )


def full_name(name: str) -> str:
    """Return a name with the tag of its default weights if it has no tag."""
    if name.startswith((HUB, FOLDER)) or "." in name:
        return name
    _require_known(name)
    tag, known = _configuration(name).get("tag"), _pretrained(name)
    return f"{name}.{tag}" if f"{name}.{tag}" in known else name


def _pretrained(architecture: str) -> list[str]:
    """Return the names of an architecture's weights."""
    import timm

    return [name for name in timm.list_pretrained(f"{architecture}*") if name.partition(".")[0] == architecture]


def _require_known(name: str) -> None:
    import timm

    if name.startswith((HUB, FOLDER)):
        return
    if not timm.is_model(name):
        raise unknown_network("timm", name, timm.list_models())
    architecture, _, tag = name.partition(".")
    if tag:
        known = _pretrained(architecture)
        if name not in known:
            raise UsageError(
                f"timm has no weights {tag!r} of {architecture}: it has "
                f"{', '.join(f'timm:{one}' for one in known) or 'none'}"
            )


def _in_folder(name: str) -> str:
    """Return a name with the folder in the cache instead of a repository, for which timm would access the hub."""
    if not name.startswith(HUB):
        return name
    return f"{FOLDER}{hub_file(f'timm:{name}', name.removeprefix(HUB), ['config.json']).parent}"


def _configuration(name: str) -> dict[str, Any]:
    """Return timm's `pretrained_cfg`."""
    from timm.models import get_pretrained_cfg
    from timm.models._hub import load_model_config_from_path

    folder = _in_folder(name)
    try:
        if folder.startswith(FOLDER):
            return dict(load_model_config_from_path(folder.removeprefix(FOLDER))[0])
        config = get_pretrained_cfg(name)
    except Exception as error:
        raise cannot_build(f"timm:{name}", error) from error
    if config is None:
        raise UsageError(f"timm states no weights of {name!r}: start from random ones, or name another network")
    return dict(vars(config))


def _weights(name: str) -> Path:
    """Return the file of the weights."""
    if name.startswith(FOLDER):
        folder = Path(name.removeprefix(FOLDER))
        path = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
        if path is None:
            raise UsageError(f"folder {str(folder)!r} holds no weights: it needs a {' or '.join(WEIGHTS)}")
        return path
    if name.startswith(HUB):
        return hub_file(f"timm:{name}", name.removeprefix(HUB), WEIGHTS)
    config = _configuration(name)
    repository, file, url = (config.get(key) for key in ("hf_hub_id", "hf_hub_filename", "url"))
    if repository:
        return hub_file(f"timm:{name}", repository, [file] if file else WEIGHTS)
    if url:
        return torch_file(f"timm:{name}", url)
    raise UsageError(f"timm has no pretrained weights of {name!r}: start from random ones, or name another network")
