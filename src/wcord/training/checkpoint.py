"""Checkpoints: everything that a run needs to resume bit for bit, written atomically and verified before use."""

import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from wcord.checks import RunError
from wcord.files import write_atomically
from wcord.methods.term import Stage
from wcord.overwriting import discard
from wcord.seal import damage_of_archive, seal_archive

KEPT = 2
"""The newest checkpoint, and the one before it in case the disk loses the newest."""
KEYS: dict[str, type | tuple[type, ...]] = {
    "step": int,
    "stage": str,
    "epoch": int,
    "batch": int,
    "seconds": (int, float),
    "student": dict,
    "objective": dict,
    "optimizer": dict,
    "meter": dict,
    "random": dict,
}
"""Entries of every checkpoint, of all versions, and their types."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state of a run after `step` steps, and remove all but the newest checkpoints.

    Args:
        folder: the run's checkpoints.
        step: steps done so far.
        state: tensors, numbers, strings, lists and dicts only, so that it loads with `weights_only=True`.

    Raises:
        RunError: it cannot be written.
    """
    buffer = io.BytesIO()
    torch.save(state | {"step": step}, buffer)
    path = folder / f"step-{step:09d}.pt"
    write_atomically(path, seal_archive(buffer))
    others = _newest_first(folder)
    before = [other for other in others if _step(other) < step]
    # Later ones are useless: the run has resumed from one before them.
    later = [other for other in others if _step(other) > step]
    for old in [*later, *before[KEPT - 1 :]]:
        discard(old)
    return path


def load_checkpoint(folder: Path, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the newest intact state, or None if there is no checkpoint yet.

    Args:
        folder: the run's checkpoints.
        say: takes a line on each checkpoint that is skipped, with the reason.

    Raises:
        RunError: checkpoints exist and none is intact.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{str(folder)!r} is not a folder, but the place of the checkpoints: move it away")
    skipped: list[str] = []
    for path in _newest_first(folder):
        state = _read(path)
        if isinstance(state, dict):
            for line in skipped:
                say(f"note: {line}; the run resumes from {path.name}")
            return state
        skipped.append(f"checkpoint {path.name} is skipped: {state}")
    if skipped:
        raise RunError(
            f"no checkpoint in {str(folder)!r} can be used ({'; '.join(skipped)}): the run cannot be resumed; its logs "
            f"stay as they are, and --recipe {folder.parent / 'config.toml'} with a new --out runs it again"
        )
    return None


def _read(path: Path) -> dict[str, Any] | str:
    """Return the state in a checkpoint, or one line that says why it cannot be used."""
    try:
        damage = damage_of_archive(path)
        if damage is not None:
            return damage
        state = torch.load(path, map_location="cpu", weights_only=True)
        return _lack(state) or state
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        # After the first sentence PyTorch adds advice about its internals.
        reason = " ".join(str(error).split(". ")[0].split())[:120]
        return f"it cannot be read ({reason or type(error).__name__})"


def _lack(state: object) -> str | None:
    """Return which entry is missing or wrong in a state, or None."""
    if not isinstance(state, dict):
        return f"it holds a {type(state).__name__} instead of the state of a run"
    for key, kind in KEYS.items():
        if not isinstance(state.get(key), kind):
            return f"its entry {key!r} is missing or of the wrong kind"
    if state["stage"] not in get_args(Stage):
        return f"its stage {state['stage']!r} is unknown"
    current = random_state()
    try:
        restore_random_state(state["random"])
    except Exception as error:  # each generator raises its own kinds
        return f"its state of the random generators is damaged ({type(error).__name__})"
    finally:
        restore_random_state(current)
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


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set every random generator to a state from `random_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state(state["cuda"][0])
    version, keys, position, has_gauss, gauss = state["numpy"]
    words = keys.numpy().astype(np.uint32)
    np.random.set_state((version, words, position, has_gauss, gauss))  # noqa: NPY002  # others draw from it
    python_version, internal, gauss_next = state["python"]
    random.setstate((python_version, tuple(internal), gauss_next))


def _newest_first(folder: Path) -> list[Path]:
    paths = [path for path in folder.glob("step-*.pt") if path.stem.removeprefix("step-").isdecimal()]
    return sorted(paths, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
