"""Checkpoints: everything that a run needs to go on bit for bit, written so that no kill leaves half of one."""

import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wcord.checks import RunError
from wcord.files import write_atomically
from wcord.overwriting import discard

KEPT = 2
"""The newest checkpoint, and the one before it in case the disk loses the newest."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state of a run after `step` steps, and remove all but the newest checkpoints.

    Args:
        folder: the run's checkpoints.
        step: steps done so far.
        state: tensors, numbers, strings, lists and dicts only, so that it loads with `weights_only=True`.
    """
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state | {"step": step}, buffer)
    path = folder / f"step-{step:09d}.pt"
    write_atomically(path, buffer.getvalue())
    for old in _newest_first(folder)[KEPT:]:
        discard(old)
    return path


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the newest state that can be read, or None where there is no checkpoint yet.

    Raises:
        RunError: where checkpoints exist and none can be read.
    """
    paths = _newest_first(folder)
    for path in paths:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError):
            continue
    if paths:
        raise RunError(f"no checkpoint in {str(folder)!r} can be read: start the run again with --overwrite")
    return None


def random_state() -> dict[str, Any]:
    """Return the state of every random generator that a run may use."""
    version, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002  # others draw from it
    python_version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],  # of this process's device
        "numpy": [version, torch.from_numpy(np.array(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [python_version, list(internal), gauss_next],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put every random generator back to where `random_state` found it."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])
    version, keys, position, has_gauss, gauss = state["numpy"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state((version, words, position, has_gauss, gauss))  # noqa: NPY002  # others draw from it
    python_version, internal, gauss_next = state["python"]
    random.setstate((python_version, tuple(internal), gauss_next))


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)
