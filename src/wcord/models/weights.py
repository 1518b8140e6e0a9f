"""Weights files: read into a network, written whole or not at all, and opened as a network by their card."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Literal, TypeVar, get_args

from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import nn

from wcord.checks import UsageError, require_bool, require_choice, require_kind
from wcord.files import write_atomically
from wcord.models.believable import Shapes, build_as_stated, require_believable, require_room
from wcord.models.card import ModelCard, card_from_metadata
from wcord.models.catalogue import LIBRARIES
from wcord.models.classifier import without_classifier
from wcord.models.fitting import StateMatch
from wcord.models.network import Network, unwrap
from wcord.models.preprocess import Preprocess
from wcord.models.reading import damaged, read_states
from wcord.models.simkd import simkd_names
from wcord.paths import require_file, require_path
from wcord.seal import damage_of_metadata, digest_of, sealed, unsealed
from wcord.terminal import Reporter, tell

Head = Literal["kept", "new", "left", "optional"]
"""How a classifier is treated when weights are loaded."""

Module = TypeVar("Module", bound=nn.Module)


def load_weights(
    model: Module, path: str | Path, *, ema: bool = False, head: Head = "kept", say: Reporter = tell
) -> Module:
    """Load weights from a file into a network, in place; every key must fit, except those of a head if `head` says so.

    Reads safetensors and checkpoints of torch.save, also with other content; prefixes of wrappers are removed, missing
    `num_batches_tracked` keep their values. No code in the file is ever run.

    Args:
        model: the network; where it is wrapped (DDP, torch.compile, `Network`), the weights go into the inner one.
        path: the file.
        ema: take the moving average in the file instead of the weights.
        head: kept: the classifier's weights must fit, too; new: if they do not, the network keeps its own; left: the
            file's are left out (for a network without a classifier); optional: if the file has none, the network's is
            removed.
        say: takes a line on the choice among several sets of weights, and on the head.

    Returns:
        `model`.

    Raises:
        UsageError: the file cannot be read, it holds NaN, or its keys, shapes or types are not the network's; nothing
            is then loaded.
    """
    network = unwrap(model)
    require_bool("ema", ema)
    require_choice("head", head, get_args(Head))
    match = StateMatch.of(network, path, ema=ema, say=say)
    if head == "left":
        match = match.without_head()
    elif head == "new" and match.misfits and match.only_head_differs:
        head_note = f"for {match.classes[0]} classes" if match.classes else "without a head that fits"
        say(f"{str(path)!r} holds weights {head_note}: the body is loaded, and the head is new")
        match = match.without_head()
    elif head == "optional" and match.lacks_head:
        say(f"{str(path)!r} holds no head: the network gives features and no logits")
        match = match.without_head()
    if match.misfits:
        raise match.error()
    _require_numbers(path, match, dict(network.named_parameters()))
    if head == "optional" and match.headless:
        without_classifier(network)
    state = network.state_dict()
    state.update(match.state)  # keeps the version numbers that some layers of torchvision need
    network.load_state_dict(state)
    return model


def save_weights(model: nn.Module, path: str | Path, *, card: ModelCard | None = None) -> None:
    """Write a network's weights as safetensors, with its card; the file is written atomically.

    Digests of the tensors and of the card are stored in the metadata, and are checked when the file is read.

    Args:
        model: the network; where it is wrapped, the inner one is written, under its own keys.
        path: the file, overwritten if it exists; its folder is created.
        card: description that `open_network` needs.

    Raises:
        RunError: the file cannot be written.

    >>> import tempfile
    >>> from wcord.models.create import create_model
    >>> network = create_model("resnet8", num_classes=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(network, f"{folder}/a.safetensors", card=ModelCard("resnet8", 10))
    ...     read_card(f"{folder}/a.safetensors").architecture
    'resnet8'
    """
    if require_path(path, "weights file").is_dir():
        raise UsageError(f"weights file {str(path)!r} is a folder: name a file in it")
    if card is not None:
        require_kind("card", card, ModelCard, "a ModelCard")
    # safetensors refuses tensors that share memory, so that each is copied.
    tensors = {key: value.detach().cpu().clone().contiguous() for key, value in unwrap(model).state_dict().items()}
    metadata = {"format": "pt"} | (card.to_metadata() if card else {})
    write_atomically(path, _in_order(safetensors.save(tensors, sealed(metadata, tensors))))


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with its metadata sorted by name, since the library's order is random."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors behind it start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


def digest(path: str | Path) -> str:
    """Return a digest of the tensors and the metadata in a weights file, independent of their order in the file.

    Raises:
        UsageError: the file is missing, damaged or holds no weights.
    """
    states = read_states(path)
    # The place of a single state dict in a checkpoint does not matter.
    places = {place: f"{place} " if len(states) > 1 else "" for place in states}
    state = {f"{places[place]}{key}": value for place, found in states.items() for key, value in found.items()}
    metadata = _metadata(path)
    # Files of earlier versions hold no digests; the digest of equal teachers must be equal.
    return digest_of(state, json.dumps(None if metadata is None else unsealed(metadata), sort_keys=True))


def read_card(path: str | Path) -> ModelCard | None:
    """Return the card in a weights file, or None if the file is no safetensors file or has none.

    Raises:
        UsageError: the file is missing or damaged, or its card is, or states more than the file holds.
    """
    metadata = _metadata(path)
    try:
        card = card_from_metadata(metadata)
        if card is not None:
            require_believable(card, _shapes(path), own=is_own_code(card.architecture))
    except UsageError as error:
        raise _about(path, error) from None
    return card


def _about(path: str | Path, error: UsageError) -> UsageError:
    return UsageError(f"weights file {str(path)!r}: {error}")


def _metadata(path: str | Path) -> dict[str, str] | None:
    found = require_file(path, "weights file")
    if found.suffix != ".safetensors":
        return None
    try:
        with safe_open(found, "pt") as file:
            metadata = file.metadata()
    except (SafetensorError, OSError) as error:
        raise damaged(found, error) from error
    damage = damage_of_metadata(metadata)
    if damage is not None:
        raise damaged(found, ValueError(damage))
    return metadata


def _shapes(path: str | Path) -> Shapes:
    """Return the shapes of the tensors in a safetensors file, which its header gives."""
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dictionary


def open_network(path: str | Path, *, model: str | None = None) -> Network:
    """Build the network that a weights file holds, by its card, in eval mode.

    Args:
        path: a safetensors file that `save_weights` wrote with a card.
        model: architecture to build instead of the card's. Required if the card names user code, so that no code runs
            because a file names it.

    Raises:
        UsageError: the file is missing, damaged, or has no (complete) card, or it does not fit the architecture.
    """
    if model is not None:
        require_kind("model", model, str, "the name of a network")
    card = read_card(path)
    if card is None or not card.mean:
        raise UsageError(
            f"weights file {str(path)!r} does not say what network it is and what it sees: name a student.safetensors "
            "of wcord train or wcord distill, or a file that save_weights has written with a card"
        )
    if model is None:
        refuse_own_code(path, card.architecture)
    require_as_large(path, card, model or card.architecture)
    backbone = build_as_stated(card, model or card.architecture)
    preprocess = Preprocess(card.mean, card.std, card.image_size)
    network = Network(backbone, preprocess, card.classes, embedding=card.embedding or None)
    return load_weights(network, path).eval()


def require_as_large(path: str | Path, card: ModelCard, name: str) -> None:
    """Raise if a network of a library, with the sizes in a file's card, would be far larger than the file.

    Raises:
        UsageError: it would be, or cannot be built with these sizes.
    """
    if is_own_code(name):
        return
    try:
        require_room(card, _shapes(path), name)
    except UsageError as error:
        raise _about(path, error) from None


def refuse_own_code(path: str | Path, architecture: str) -> None:
    """Raise if a file names a network of user code: no code runs because a file names it."""
    if is_own_code(architecture):
        raise UsageError(
            f"weights file {str(path)!r} is for {architecture!r}, which is code of your own: "
            f"give --model {architecture} to run it"
        )


def is_own_code(architecture: str) -> bool:
    """Return whether a network's name refers to user code, which may load weights itself."""
    prefix, colon, rest = architecture.partition(":")
    if prefix == "simkd":
        return any(is_own_code(name) for name in simkd_names(rest))
    return bool(colon) and prefix not in LIBRARIES


def _require_numbers(path: str | Path, match: StateMatch, trained: Container[str]) -> None:
    """Raise if tensors cannot be copied into the network's, or hold NaN or infinity.

    A mask, which is not trained, may hold infinity.
    """
    for key, value in match.state.items():
        if value.is_floating_point() != match.target[key].is_floating_point() or value.is_complex():
            kinds = f"{value.dtype} where the network has {match.target[key].dtype}".replace("torch.", "")
            raise UsageError(f"weights {str(path)!r} hold another kind of numbers in {key!r}: {kinds}")
    numbers = {key: value for key, value in match.state.items() if value.is_floating_point()}
    bad = [
        key for key, value in numbers.items() if bool(value.isnan().any() or (key in trained and value.isinf().any()))
    ]
    if bad:
        more = f" and {len(bad) - 1} more tensors" if len(bad) > 1 else ""
        raise UsageError(f"weights {str(path)!r} hold NaN or infinity in {bad[0]}{more}: use an earlier file")
    negative = [key for key, value in numbers.items() if key.endswith("running_var") and bool((value < 0).any())]
    if negative:
        raise UsageError(f"weights {str(path)!r} hold a negative variance ({negative[0]}): the file is damaged")
