"""Image classifiers of the Hugging Face hub or of a folder, with their weights, and what their files state."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from wcord.checks import UsageError
from wcord.models.classifier import classifier_paths, is_head_key
from wcord.models.fitting import TRACKED
from wcord.models.hub import cannot_build, cannot_load, hub_file
from wcord.models.stated import Frame, Stated

COLOR = 3
BYTE = 255
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def build(name: str, num_classes: int, in_channels: int, *, pretrained: bool) -> nn.Module:
    """Return the network `hf:name`.

    Args:
        name: a repository of the hub, or a folder with a config.json.
        num_classes: number of logits; if the weights have another, the head is new.
        in_channels: channels of the input.
        pretrained: load its weights.

    Raises:
        UsageError: transformers is missing, or the network or its weights are not available.
    """
    transformers = _library(name)
    folder = _folder(name)
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, num_labels=num_classes, num_channels=in_channels, trust_remote_code=False
        )
        taken = config.to_dict().get("num_channels", COLOR)
    except Exception as error:
        raise cannot_build(f"hf:{name}", error) from error
    stated_channels = _read(name, "config.json").get("num_channels", COLOR)
    if taken != in_channels or (pretrained and stated_channels != in_channels):
        raise UsageError(f"hf:{name} takes {stated_channels} input channels, received {in_channels}")
    if not pretrained:
        try:
            return transformers.AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        except Exception as error:
            raise cannot_build(f"hf:{name}", error) from error
    weights = _weights(name)
    loud = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it reports a new head at length
    try:
        network, report = transformers.AutoModelForImageClassification.from_pretrained(
            weights.parent,
            config=config,
            ignore_mismatched_sizes=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise cannot_load(f"hf:{name}", weights, error) from error
    finally:
        transformers.logging.set_verbosity(loud)
    _require_body(name, weights, network, report)
    return network.train()


def _require_body(name: str, weights: Path, network: nn.Module, report: Mapping[str, Any]) -> None:
    """Raise if more than the head is random: transformers only warns.

    Args:
        name: of the network.
        weights: the file.
        network: the loaded network.
        report: the loading report of transformers.
    """
    # For a tensor of another shape, the library reports its name and both shapes.
    misshaped = (entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"])
    heads = classifier_paths(network)
    absent = {key for key in {*report["missing_keys"], *misshaped} if not key.endswith(TRACKED)}
    random = sorted(key for key in absent if not is_head_key(key, heads))
    if random:
        raise UsageError(
            f"hf:{name}: {str(weights)!r} lacks {len(random)} tensors of the network's body, or has them in another "
            f"shape ({random[0]}, …): its config.json and its weights do not belong together"
        )


def stated(name: str) -> Stated:
    """Return what the files of a network state.

    Raises:
        UsageError: transformers is missing, which is checked before any download, or the files cannot be read.
    """
    _library(name)
    return stated_in_files(name)


def _library(name: str) -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(f"hf:{name} needs the transformers library: pip install 'wcord[hf]'") from error


def stated_in_files(name: str) -> Stated:
    """Return what config.json and preprocessor_config.json state.

    Raises:
        UsageError: they are not available, or cannot be read.
    """
    config, seen = _read(name, "config.json"), _read(name, "preprocessor_config.json", required=False)
    labels: dict[str, str] = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    if all(one == f"LABEL_{number}" for number, one in enumerate(names)):
        class_names: tuple[str, ...] = ()
    else:
        class_names = names
    headless = not any("Classification" in one for one in config.get("architectures") or ())
    mean, std = _statistics(seen)
    return Stated(
        num_classes=0 if headless else len(names),
        mean=mean,
        std=std,
        frame=_frame(seen),
        names=() if headless else class_names,
        fixed="image_size" in config,
    )


def _statistics(seen: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation in units of the [0, 1] image, for any scale in the file."""
    mean, std = (0.0,) * COLOR, (1.0,) * COLOR
    if seen.get("do_normalize", True):
        if not seen.get("image_mean") or not seen.get("image_std"):
            return (), ()
        mean, std = tuple(map(float, seen["image_mean"])), tuple(map(float, seen["image_std"]))
    factor = BYTE * float(seen.get("rescale_factor", 1 / BYTE)) if seen.get("do_rescale", True) else float(BYTE)
    offset = 1.0 if seen.get("rescale_offset") and seen.get("do_rescale", True) else 0.0
    return tuple((m + offset) / factor for m in mean), tuple(s / factor for s in std)


def _frame(seen: dict[str, Any]) -> Frame | None:
    """Return the size of the picture, and the share of the resized picture that is kept in its center."""
    size = seen.get("size")
    if not size or not seen.get("do_resize", True):
        return None
    sides: dict[str, Any] = {"shortest_edge": size} if isinstance(size, int) else dict(size)
    edge = sides.get("shortest_edge")
    resized: Any = (edge, edge) if edge else (sides.get("height"), sides.get("width"))
    if not all(isinstance(side, int) for side in resized):
        return None
    height, width = int(resized[0]), int(resized[1])
    crop = seen.get("crop_size") if seen.get("do_center_crop") else None
    if crop is not None:
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        return int(crop["height"]), int(crop["width"]), min(1.0, int(crop["height"]) / height)
    # ConvNeXt's: below 384 pixels the picture is resized to size / crop_pct first.
    fraction = float(seen.get("crop_pct") or 1.0) if edge and height < 384 else 1.0
    return height, width, fraction


def _folder(name: str) -> Path:
    """Return the folder of the network's files: a local one, or the one in the cache."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    return hub_file(f"hf:{name}", name, ["config.json"]).parent


def _weights(name: str) -> Path:
    folder = _folder(name)
    path = next((folder / file for file in (*WEIGHTS, *SHARDS) if (folder / file).is_file()), None)
    if path is not None:
        return path
    if Path(name).is_dir():
        raise UsageError(f"folder {name!r} holds no weights: it needs a {' or '.join(WEIGHTS)}")
    return hub_file(f"hf:{name}", name, WEIGHTS)


def _read(name: str, file: str, *, required: bool = True) -> dict[str, Any]:
    path = _folder(name) / file
    if not path.is_file() and not Path(name).is_dir():
        try:
            path = hub_file(f"hf:{name}", name, [file])
        except UsageError:
            if required:
                raise
    if not path.is_file():
        if required:
            raise UsageError(f"folder {name!r} holds no {file}: name a folder that a network was saved in")
        return {"do_normalize": True}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UsageError(f"{str(path)!r} cannot be read ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise UsageError(f"{str(path)!r} holds no settings: fetch it again")
    return content
