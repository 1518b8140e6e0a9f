"""Read a state dict from any file that people keep weights in, without ever running code that the file holds."""

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from wcord.checks import UsageError, require_file

CONTAINERS = ("model", "state_dict", "model_state_dict", "net")
"""Where checkpoints of the field keep the weights among other things; looked for in this order."""
WRAPPERS = ("module.", "_orig_mod.", "backbone.", "model.")
"""What DDP, torch.compile, our `Network` and Lightning put before each key."""


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict that a file holds, on the CPU.

    Understands safetensors (by the file's suffix) and what `torch.save` wrote: a state dict, alone or as one of the
    `CONTAINERS` of a checkpoint, or one level deeper.

    Raises:
        UsageError: the file is missing, empty, damaged, holds no weights, or can only be read by running its code.
    """
    found = require_file(path, "weights file")
    if found.stat().st_size == 0:
        raise UsageError(f"weights file {str(path)!r} is empty: copy or download it again")
    if found.suffix == ".safetensors":
        try:
            return load_file(found)
        except (SafetensorError, OSError) as error:
            raise damaged(found, error) from error
    state = _find_state(_read_pickle(found))
    if not state:
        raise UsageError(
            f"weights file {str(path)!r} holds no state dict, alone or under one of {', '.join(CONTAINERS)}: "
            "save one with torch.save(model.state_dict(), path)"
        )
    return state


def strip_wrappers(state: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Return `state` without the prefixes that wrappers put before every key, unless the wanted keys have them too.

    >>> list(strip_wrappers({"module._orig_mod.fc.bias": torch.zeros(1)}, ["fc.bias"]))
    ['fc.bias']
    """
    stripped = dict(state)
    while True:
        for prefix in WRAPPERS:
            ours = bool(wanted) and all(key.startswith(prefix) for key in wanted)
            if stripped and not ours and all(key.startswith(prefix) for key in stripped):
                stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
                break
        else:
            return stripped


def damaged(path: Path, error: Exception) -> UsageError:
    """Return the error for a file that cannot be read to its end."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UsageError(
        f"weights file {str(path)!r} is truncated, damaged or no weights file ({reason}): copy or download it again"
    )


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None and not zipfile.is_zipfile(path):
            raise damaged(path, ValueError("not what torch.save writes")) from error
        raise _refused(path, code[1] if code else "more than tensors") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        if "TorchScript" in str(error) or ".tar format" in str(error):
            raise _refused(path, "TorchScript or a very old format") from error
        # PyTorch's reason goes on with advice about its own internals after the first sentence.
        raise damaged(path, ValueError(str(error).split(". ")[0])) from error


def _refused(path: Path, what: str) -> UsageError:
    return UsageError(
        f"weights file {str(path)!r} is refused: reading it would run code that it names ({what}); where you trust it, "
        "load it in Python yourself and save its state dict with torch.save(model.state_dict(), path)"
    )


def _find_state(content: object, depth: int = 2) -> dict[str, Tensor]:
    """Return the tensors of the innermost container, or nothing."""
    if not isinstance(content, Mapping):
        return {}
    if depth > 0:
        for name in CONTAINERS:
            inner = _find_state(content.get(name), depth - 1)
            if inner:
                return inner
    return {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
