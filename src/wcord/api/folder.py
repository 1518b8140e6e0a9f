"""Who may write in a run's folder: checks before any work, and the claim while a run writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator

from wcord.checks import UsageError, require_text
from wcord.claim import claim, holder, is_claimed
from wcord.overwriting import is_free, require_removable
from wcord.paths import require_place
from wcord.training.config import DistillConfig, TrainConfig, setting_values
from wcord.training.places import needed
from wcord.training.run import RUN, exists


def refuse_taken(config: TrainConfig | DistillConfig, *, claimed: bool) -> None:
    """Raise if a run's folder is in use or cannot be created, before any work is done for it.

    Args:
        config: the configuration of the run.
        claimed: whether the caller holds the claim of the folder.

    Raises:
        UsageError: another process uses it, or it holds something that the run may not replace.
    """
    out = config.out
    for name, value in setting_values(config).items():
        require_text(f"--{name.replace('_', '-')}", value)
    if not is_free(out, RUN):
        if not config.overwrite:
            raise exists(out)
        require_removable(out, RUN, needed=needed(config))
    require_place(out, "--out", folder=True)
    if config.training.teacher_cache is not None:
        require_place(config.training.teacher_cache, "--teacher-cache", folder=True)
    if not claimed and is_claimed(out):
        raise in_use(out)


@contextmanager
def claimed_by_first(out: Path, accelerator: Accelerator, *, claimed: bool) -> Iterator[None]:
    """Claim the run's folder for these processes; the first claims it for all.

    Raises:
        UsageError: other processes hold the claim.
    """
    if claimed or not accelerator.is_main_process:
        yield
        return
    with claim(out) as acquired:
        if not acquired:
            raise in_use(out)
        yield


def in_use(out: Path) -> UsageError:
    """Return the error for a folder that another process has claimed."""
    return UsageError(f"{str(out)!r} is in use by {holder(out)}: wait until that has ended, or stop it first")
