"""How far a run has come, as its folder tells. Imports no torch."""

import json
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from wcord.claim import INSIDE, is_claimed
from wcord.files import write_atomically
from wcord.overwriting import is_free, mark, remove, require_removable
from wcord.training.log import counting_up, read_lines
from wcord.training.run import CONFIG, FAILED, METRICS, NOT_APPLICABLE, RECORD, RUN

Status = Literal["done", "failed", "not applicable", "running", "stopped", "left"]


@dataclass(frozen=True)
class State:
    """How far a run has come.

    Attributes:
        status: done; failed or not applicable, for a reason; running; stopped, to be gone on with; or left to do.
        reason: why it failed or does not apply.
        epochs: epochs of the main stage that are done.
        total: epochs in all, where the run has begun.
        top1: accuracy of the last epoch, in percent.
        seconds: training time of the whole run: measured where it is done, else what its epochs so far promise.
    """

    status: Status
    reason: str = ""
    epochs: int = 0
    total: int = 0
    top1: float | None = None
    seconds: float | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.status in ("done", "failed", "not applicable")


def look(folder: Path) -> State:
    """Return the state of the run in a folder; the folder need not exist."""
    for status, note in (("failed", FAILED), ("not applicable", NOT_APPLICABLE)):
        with suppress(FileNotFoundError):  # there is none, or another worker begins the run anew
            reason = (folder / note).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            return State("failed" if status == "failed" else "not applicable", reason=reason)
    if (folder / RECORD).is_file():
        return _read(folder / RECORD, lambda: _reached(folder))
    if not (folder / CONFIG).is_file():
        return State("running" if is_claimed(folder) else "left")
    return _read(folder / CONFIG, lambda: _under_way(folder))


def note_failure(folder: Path, reason: str, details: str = "") -> None:
    """Write down why a run failed: the reason in the first line, then what a developer wants to know."""
    line = " ".join(reason.split())
    mark(folder, RUN)
    write_atomically(folder / FAILED, f"{line}\n{details}".encode())


def note_not_applicable(folder: Path, reason: str) -> None:
    """Write down why a method cannot be used on a pair."""
    line = " ".join(reason.split())
    mark(folder, RUN)
    write_atomically(folder / NOT_APPLICABLE, f"{line}\n".encode())


def forget(folder: Path) -> None:
    """Remove a run, so that it starts again.

    Raises:
        UsageError: as `require_forgettable`.
    """
    remove(folder, ROW, flag="the run's folder")


def require_forgettable(folder: Path) -> None:
    """Raise where a folder holds anything but a run.

    Raises:
        UsageError: naming what it holds.
    """
    if not is_free(folder, ROW):
        require_removable(folder, ROW, flag="the run's folder")


def _is_older_row(folder: Path) -> bool:
    """Tell whether an earlier version left a folder without a mark: a run, or a reason why there is none."""
    return RUN.older(folder) or {path.name for path in folder.iterdir()} <= {FAILED, NOT_APPLICABLE, INSIDE}


ROW = replace(RUN, older=_is_older_row)
"""What a run of a suite leaves in its folder."""


def _read(file: Path, read: Callable[[], State]) -> State:
    """Return what is read, or that a file is damaged: one folder must not hide the others."""
    try:
        return read()
    except FileNotFoundError:  # cleared since it was seen
        return State("left")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        return State("failed", reason=f"{file.name} cannot be read: {type(error).__name__}: {error}")


def _reached(folder: Path) -> State:
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    epochs = len(record["epochs"])
    return State("done", "", epochs, epochs, float(record["metrics"]["top1_last"]), float(record["wall_seconds"]))


def _under_way(folder: Path) -> State:
    total = int(tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))["training"]["epochs"])
    entries = counting_up(read_lines(folder / METRICS))
    seconds = [(entry.get("stage"), _seconds(entry)) for entry in entries]
    main = [taken for stage, taken in seconds if stage is None][:total]
    before = sum(taken for stage, taken in seconds if stage is not None)
    promised = before + total * fmean(main) if main else None
    return State("running" if is_claimed(folder) else "stopped", "", len(main), total, None, promised)


def _seconds(entry: Mapping[str, Any]) -> float:
    taken = entry.get("seconds")
    return float(taken) if isinstance(taken, int | float) else 0.0
