"""Weights files: read into a network, written whole or not at all, and opened as a network by their card."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn

from wcord.checks import UsageError, require_file
from wcord.files import write_atomically
from wcord.models.card import ModelCard, card_from_metadata
from wcord.models.catalogue import LIBRARIES
from wcord.models.create import create_model
from wcord.models.network import Network, unwrap
from wcord.models.preprocess import Preprocess
from wcord.models.reading import damaged, read_state, strip_wrappers
from wcord.models.simkd import simkd_names

COUNTER = "num_batches_tracked"
"""A buffer of BatchNorm that files from before PyTorch 0.4.1 lack, and that no forward pass needs."""
SHOWN = 3
"""Wrong keys named in a message, of each kind."""

Module = TypeVar("Module", bound=nn.Module)


def load_weights(model: Module, path: str | Path) -> Module:
    """Load weights from a file into a network, in place; every key must fit.

    Reads safetensors, a raw state dict, `{"model": …}` and `{"state_dict": …}`; prefixes that wrappers add are taken
    off, missing `num_batches_tracked` are left as they are. Nothing in the file is ever run.

    Args:
        model: the network; where it is wrapped (DDP, torch.compile, `Network`), the weights go into the inner one.
        path: the file.

    Returns:
        `model`.

    Raises:
        UsageError: the file cannot be read, it holds NaN, or its keys or shapes are not the network's; then nothing was
            loaded.
    """
    network = unwrap(model)
    wanted = network.state_dict()
    state = strip_wrappers(read_state(path), wanted)
    present = {value.data_ptr() for key, value in wanted.items() if key in state}
    missing = [
        key
        for key, value in wanted.items()
        # A tied tensor is often saved under one of its names alone.
        if key not in state and not key.endswith(COUNTER) and (value.data_ptr() not in present or value.numel() == 0)
    ]
    unexpected = [key for key in state if key not in wanted]
    misshaped = [key for key, value in state.items() if key in wanted and wanted[key].shape != value.shape]
    if missing or unexpected or misshaped:
        raise _mismatch(path, missing, unexpected, _shapes(misshaped, state, wanted), state, wanted)
    _require_numbers(path, state)
    network.load_state_dict(state, strict=False)
    return model


def save_weights(model: nn.Module, path: str | Path, *, card: ModelCard | None = None) -> None:
    """Write a network's weights as safetensors, with its card; the file is there whole or not at all.

    Args:
        model: the network; where it is wrapped, the inner one is written, under its own keys.
        path: the file, overwritten where it exists; its folder is made.
        card: what is needed to use the network; see `open_network`.

    Raises:
        RunError: the file cannot be written.

    >>> import tempfile
    >>> network = create_model("resnet8", num_classes=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(network, f"{folder}/a.safetensors", card=ModelCard("resnet8", 10))
    ...     read_card(f"{folder}/a.safetensors").architecture
    'resnet8'
    """
    # safetensors refuses tensors that share memory, so each is written from a copy of its own.
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in unwrap(model).state_dict().items()}
    metadata = {"format": "pt"} | (card.to_metadata() if card else {})
    write_atomically(path, safetensors.save(tensors, metadata))


def read_card(path: str | Path) -> ModelCard | None:
    """Return the card in a weights file, or None where the file is no safetensors or holds none.

    Raises:
        UsageError: the file is missing or damaged.
    """
    found = require_file(path, "weights file")
    if found.suffix != ".safetensors":
        return None
    try:
        with safe_open(found, "pt") as file:
            metadata = file.metadata()
    except (SafetensorError, OSError) as error:
        raise damaged(found, error) from error
    return card_from_metadata(metadata)


def open_network(path: str | Path, *, model: str | None = None) -> Network:
    """Build the network that a weights file holds, by its card, in eval mode.

    Args:
        path: a safetensors file that `save_weights` wrote with a card.
        model: builds this architecture and not the card's. Needed where the card names the user's own code, so that
            nothing runs only because a file says so.

    Raises:
        UsageError: the file is missing, damaged, or has no (complete) card, or it does not fit the architecture.
    """
    card = read_card(path)
    if card is None or not card.mean:
        raise UsageError(f"weights file {str(path)!r} does not say what network it is: give --model and --data")
    if model is None:
        refuse_own_code(path, card.architecture)
    backbone = create_model(
        model or card.architecture,
        num_classes=card.num_classes,
        in_channels=card.in_channels,
        image_size=card.image_size,
    )
    network = Network(backbone, Preprocess(card.mean, card.std, card.image_size), card.classes)
    return load_weights(network, path).eval()


def refuse_own_code(path: str | Path, architecture: str) -> None:
    """Raise where a file names a network that is the user's own code: nothing runs only because a file says so."""
    if is_own_code(architecture):
        raise UsageError(
            f"weights file {str(path)!r} is for {architecture!r}, which is code of your own: "
            f"give --model {architecture} to run it"
        )


def is_own_code(architecture: str) -> bool:
    """Tell whether a network's name names code of the user's own, which may load weights itself."""
    prefix, colon, rest = architecture.partition(":")
    if prefix == "simkd":
        return any(is_own_code(name) for name in simkd_names(rest))
    return bool(colon) and prefix not in LIBRARIES


def _require_numbers(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """Raise where a network has diverged before it was saved; a mask may well hold infinity."""
    bad = [key for key, value in state.items() if value.is_floating_point() and bool(value.isnan().any())]
    if bad:
        raise UsageError(f"weights {str(path)!r} hold NaN in {len(bad)} tensors ({_some(bad)}): use an earlier file")


def _shapes(keys: Iterable[str], state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    return [f"{key} {tuple(state[key].shape)} where the network has {tuple(wanted[key].shape)}" for key in keys]


def _mismatch(
    path: str | Path,
    missing: list[str],
    unexpected: list[str],
    misshaped: list[str],
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
) -> UsageError:
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped))
    found = "; ".join(f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds if keys)
    classes = None if missing or unexpected else _class_counts(state, wanted)
    hint = "are they of another architecture?"
    if classes:
        hint = f"they have {classes[0]} classes and the network {classes[1]}: build it with num_classes={classes[0]}"
    return UsageError(f"weights {str(path)!r} do not fit the network: {found}; {hint}")


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def _class_counts(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[int, int] | None:
    """Return (file's, network's) number of classes where they alone explain the wrong shapes."""
    pairs = [(state[key].shape, wanted[key].shape) for key in wanted if key in state]
    wrong = [(theirs, ours) for theirs, ours in pairs if theirs != ours]
    counts = {(theirs[0], ours[0]) for theirs, ours in wrong if theirs and ours and theirs[1:] == ours[1:]}
    only_the_first = len(counts) == 1 and all(theirs[1:] == ours[1:] for theirs, ours in wrong)
    # A classifier is a weight and a bias; more tensors than that differ where the widths do.
    return counts.pop() if only_the_first and len(wrong) <= 2 else None
