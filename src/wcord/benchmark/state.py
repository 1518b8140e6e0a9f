"""The state of a run, read from its folder. Imports no torch."""

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
    """The state of a run.

    Attributes:
        status: done; failed or not applicable, with a reason; running; stopped, to be resumed; or left to do.
        reason: why it failed or does not apply.
        epochs: finished epochs of the main stage.
        total: all epochs, if the run has started.
        top1: accuracy of the last epoch, in percent.
        seconds: training time of the whole run: measured if it is done, else estimated from its epochs so far.
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


def read_state(folder: Path) -> State:
    """Return the state of the run in a folder; the folder need not exist."""
    for status, note in (("failed", FAILED), ("not applicable", NOT_APPLICABLE)):
        with suppress(FileNotFoundError):  # no such note, or another worker restarts the run
            reason = (folder / note).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
            return State("failed" if status == "failed" else "not applicable", reason=reason)
    if (folder / RECORD).is_file():
        return _read(folder / RECORD, lambda: _reached(folder))
    if not (folder / CONFIG).is_file():
        return State("running" if is_claimed(folder) else "left")
    return _read(folder / CONFIG, lambda: _under_way(folder))


def note_failure(folder: Path, reason: str, details: str = "") -> None:
    """Write why a run failed: the reason in the first line, then details for a developer."""
    line = " ".join(reason.split())
    mark(folder, RUN)
    write_atomically(folder / FAILED, f"{line}\n{details}".encode())


def note_not_applicable(folder: Path, reason: str) -> None:
    """Write why a method cannot be used on a pair."""
    line = " ".join(reason.split())
    mark(folder, RUN)
    write_atomically(folder / NOT_APPLICABLE, f"{line}\n".encode())


def delete_run(folder: Path) -> None:
    """Delete a run, so that it starts again.

    Raises:
        UsageError: as `require_deletable`.
    """
    remove(folder, ROW, flag="the run's folder")


def require_deletable(folder: Path) -> None:
    """Raise if a folder contains anything but a run.

    Raises:
        UsageError: naming what it contains.
    """
    if not is_free(folder, ROW):
        require_removable(folder, ROW, flag="the run's folder")


def _is_older_row(folder: Path) -> bool:
    """Return whether an earlier version wrote a folder without a mark: a run, or the reason why there is none."""
    return RUN.older(folder) or {path.name for path in folder.iterdir()} <= {FAILED, NOT_APPLICABLE, INSIDE}


ROW = replace(RUN, older=_is_older_row)
"""The output of a suite's run in its folder."""


def _read(file: Path, read: Callable[[], State]) -> State:
    """Return the state that is read, or that a file is damaged, so that one folder does not hide the others."""
    try:
        return read()
    except FileNotFoundError:  # deleted in the meantime
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
    timed = [(entry.get("stage"), _seconds(entry)) for entry in entries]
    main = [seconds for stage, seconds in timed if stage is None][:total]
    before = sum(seconds for stage, seconds in timed if stage is not None)
    estimate = before + total * fmean(main) if main else None
    return State("running" if is_claimed(folder) else "stopped", "", len(main), total, None, estimate)


def _seconds(entry: Mapping[str, Any]) -> float:
    seconds = entry.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) else 0.0
