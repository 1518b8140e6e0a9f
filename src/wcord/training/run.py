"""The folder of a run: its configuration, its starts, its log of metrics, and the files that it may hold."""

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from wcord.checks import ChangedInputError, RunError, UsageError, shown
from wcord.claim import INSIDE
from wcord.files import sha256, write_atomically
from wcord.marks import is_description, is_exported_onnx, is_exported_program
from wcord.overwriting import Kind, Needed, by_name, clear, is_free, mark, remove_left_over
from wcord.paths import require_folder
from wcord.training.config import DistillConfig, TrainConfig, read_config
from wcord.training.log import Entry, Log, counting_up
from wcord.training.places import as_started, lasting

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
STARTS = "starts.jsonl"
STUDENT = "student.safetensors"
RECORD = "record.json"
ANALYSIS = "analysis.npz"
REPORT = "report.html"
DAMAGED = "damaged_data"
"""Key in a start's entry: a sample could not be read."""
CHECKPOINTS = "checkpoints"
TRACKER = "tracker"
FAILED = "failed.txt"
NOT_APPLICABLE = "not_applicable.txt"


class RunFolder:
    """One run's folder, created by the run or opened to be resumed.

    Args:
        path: the folder; it must hold a configuration.

    Raises:
        UsageError: the folder is missing or is not a run.
    """

    def __init__(self, path: Path) -> None:
        require_folder(path, "run folder")
        if not (path / CONFIG).is_file():
            raise UsageError(f"{str(path)!r} is not a run folder: it holds no {CONFIG}")
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        if self.checkpoints.exists():
            require_folder(self.checkpoints, "folder of checkpoints")
        self._metrics = Log(path / METRICS)
        self._starts = Log(path / STARTS)

    @classmethod
    def create(cls, path: Path, config: str, *, overwrite: bool = False, needed: Needed = ()) -> "RunFolder":
        """Create a run folder that holds its resolved configuration.

        Args:
            path: the folder.
            config: the configuration, as TOML.
            overwrite: whether a run in the folder is replaced.
            needed: files that the run reads, which must not be removed.

        Raises:
            UsageError: the folder exists and may not be replaced, or cannot be written.
        """
        if path.exists() and not path.is_dir():
            raise UsageError(f"--out {str(path)!r} is a file: name a folder")
        if not is_free(path, RUN):
            if not overwrite:
                raise exists(path)
            clear(path, RUN, needed=needed)
        try:
            path.mkdir(parents=True, exist_ok=True)
            mark(path, RUN)
            write_atomically(path / CONFIG, config.encode())
        except OSError as error:
            raise UsageError(f"--out {str(path)!r} cannot be written: {error.strerror}") from None
        except RunError as error:
            raise UsageError(f"--out: {error}") from None
        return cls(path)

    def tidy(self) -> None:
        """Remove the remains of killed writes, and mark a run of an earlier version; the caller holds the claim."""
        mark(self.path, RUN)
        remove_left_over(self.path, RUN)

    def log(self, entry: Mapping[str, object]) -> None:
        """Append one line to the metrics."""
        self._metrics.append(entry)

    def logs(self) -> dict[str, list[Entry]]:
        """Return the logs for a checkpoint, from which `restore` writes them again."""
        return {METRICS: self.metrics(), STARTS: self.starts()}

    def configuration(self) -> tuple[TrainConfig | DistillConfig, list[str]]:
        """Return the run's settings, and notes on files that are used from the folder where the run was started."""
        config = read_config(self.path / CONFIG)
        folder = next((start["folder"] for start in self.starts() if "folder" in start), None)
        return (config, []) if folder is None else as_started(config, Path(folder))

    def note_start(
        self,
        commit: str | None,
        environment: Mapping[str, object],
        *,
        teacher: str | None = None,
        data: Mapping[str, object] | None = None,
        config: TrainConfig | DistillConfig | None = None,
    ) -> None:
        """Log a start or resumption of the run.

        Args:
            commit: commit of the code.
            environment: the machine and its software.
            teacher: digest of the teacher's weights.
            data: digests of the data, from `contents_of`.
            config: the run's settings.
        """
        start: Entry = {
            "commit": commit,
            "environment": dict(environment),
            "teacher": teacher,
            "folder": str(Path.cwd()),
        }
        start |= {} if data is None else {"data": dict(data)}
        self._starts.append(start | ({} if config is None else {"settings": lasting(config)}))

    def note_damage(self) -> None:
        """Log that a sample could not be read, so that the run may resume with an intact copy of it."""
        *before, last = self.starts() or [{}]
        self._starts.replace([*before, last | {DAMAGED: True}])

    def origin(self) -> tuple[str | None, dict[str, Any]]:
        """Return the commits and the environments of all starts, distinct values joined by ", then "."""
        starts = self.starts()
        commits = list(dict.fromkeys(str(start["commit"]) for start in starts if start.get("commit")))
        environments: list[dict[str, Any]] = [start.get("environment", {}) for start in starts]
        environment: dict[str, Any] = {}
        for name, last in (environments[-1] if starts else {}).items():
            values = list(dict.fromkeys(str(each.get(name)) for each in environments))
            environment[name] = last if len(values) == 1 else ", then ".join(values)
        return ", then ".join(commits) or None, environment

    @property
    def teacher_digest(self) -> str | None:
        """Digest of the teacher's weights at the run's first start; None without a teacher."""
        return next((start.get("teacher") for start in self.starts()), None)

    def require_settings(self, config: TrainConfig | DistillConfig) -> None:
        """Raise if settings differ from those at the first start; earlier versions did not log them.

        Raises:
            ChangedInputError: a setting has changed; the message names the first.
        """
        initial = next((start["settings"] for start in self.starts() if isinstance(start.get("settings"), dict)), {})
        for name, value in lasting(config).items():
            if name in initial and initial[name] != value:
                raise ChangedInputError(
                    f"{str(self.path / CONFIG)!r} has changed: {name} is {shown(value)}, but the run began with "
                    f"{shown(initial[name])}; restore it, or start a new run in another folder"
                )

    def require_teacher(self, weights: Path | None) -> None:
        """Raise if the teacher's weights differ from those at the first start.

        Raises:
            ChangedInputError: they differ.
        """
        initial = self.teacher_digest
        if initial is None or weights is None or not weights.is_file():
            return
        from wcord.models.weights import digest  # imports torch, which other uses of a run folder do not need

        # Earlier versions logged a digest of the whole file.
        if initial not in (sha256(weights), digest(weights)):
            raise ChangedInputError(
                f"the run in {str(self.path)!r} began with a teacher other than {str(weights)!r}: "
                "give the one that it began with, or start a new run in another folder"
            )

    def require_data(self, contents: Mapping[str, object]) -> None:
        """Raise if data differ from those at the first start; earlier versions did not log them.

        Args:
            contents: digests of the data, from `contents_of`.

        Raises:
            ChangedInputError: data have changed; the message says which.
        """
        from wcord.data.contents import difference  # imports torch, as above

        logged = [start for start in self.starts() if "data" in start]
        if not logged:
            return
        ignored = ("content",) if logged[-1].get(DAMAGED) else ()
        try:
            changed = difference(logged[-1]["data"], contents, but=ignored)
        except (LookupError, TypeError, AttributeError):
            raise UsageError(
                f"{str(self.path / STARTS)!r} is damaged, so the data cannot be compared with those that the run began "
                "with: remove that file to resume without the comparison, or start a new run in another folder"
            ) from None
        if changed is not None:
            raise ChangedInputError(
                f"the data of the run in {str(self.path)!r} have changed since it began: the {changed}. "
                "Restore them and resume again, or start a new run in another folder"
            )

    def starts(self) -> list[Entry]:
        """Return the log of starts; if it is lost, the last checkpoint's copy."""
        starts = self._starts.entries
        if starts or not self.checkpoints.is_dir():
            return starts
        from wcord.training.checkpoint import load_checkpoint  # imports torch, as above

        with suppress(RunError):  # resuming the run will report it
            state = load_checkpoint(self.checkpoints, lambda line: None) or {}
            return logs_in(state).get(STARTS, [])
        return []

    def metrics(self) -> list[Entry]:
        """Return the logged epochs before the first line that is damaged or out of sequence."""
        return counting_up(self._metrics.entries)

    def restore(self, state: Mapping[str, Any]) -> list[str]:
        """Restore the logs to their state at a checkpoint, from which the run resumes.

        Args:
            state: the checkpoint's; in earlier versions it holds only the number of epochs.

        Returns:
            A line on each log that has lost or changed entries.
        """
        logs = logs_in(state)
        return [*self._restore_metrics(logs.get(METRICS), state), *self._restore_starts(logs.get(STARTS))]

    def _restore_metrics(self, saved: list[Entry] | None, state: Mapping[str, Any]) -> list[str]:
        epochs, notes = self.metrics(), []
        if saved is None:
            number = int(state.get("metrics_lines", 0))
            saved = epochs[:number]
            if len(saved) < number:
                notes.append(f"{METRICS} is damaged: it and the record hold only {len(saved)} of {number} epochs")
        elif epochs[: len(saved)] != saved:
            notes.append(f"{METRICS} was damaged: its {len(saved)} lines are restored from the checkpoint")
        self._metrics.replace(saved)
        return notes

    def _restore_starts(self, saved: list[Entry] | None) -> list[str]:
        starts = self._starts.entries
        if saved is None:
            lost = f"{STARTS} is lost: data and teacher cannot be compared with those that the run began with"
            return [] if starts else [lost]
        # That a sample was damaged is logged in the last line, after the checkpoint.
        if [start | {DAMAGED: None} for start in starts[: len(saved)]] == [start | {DAMAGED: None} for start in saved]:
            return []
        self._starts.replace(saved)
        return [f"{STARTS} was damaged: it is restored from the checkpoint"]

    def forget_epochs(self) -> None:
        """Empty the metrics, for a run that begins at its first step."""
        self._metrics.replace([])


def logs_in(state: Mapping[str, Any]) -> dict[str, list[Entry]]:
    """Return the logs in a checkpoint; earlier versions saved none."""
    logs = state.get("logs")
    return logs if isinstance(logs, dict) else {}


def exists(path: Path) -> UsageError:
    """Return the error for an --out that exists."""
    return UsageError(f"--out {str(path)!r} exists: name another folder, give --overwrite, or resume with --resume")


def settings_of(path: Path) -> dict[str, Any] | None:
    """Return the settings in a run's `config.toml`, or None if the file is missing or another program's.

    A run writes all of its settings, so a few of them identify a configuration of wcord.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    data, training = settings.get("data"), settings.get("training")
    named = "model" in settings or {"teacher", "student", "method"} <= settings.keys()
    if not named or not isinstance(data, dict) or not isinstance(training, dict):
        return None
    return settings if "data" in data and {"epochs", "batch_size", "seed"} <= training.keys() else None


def is_config(path: Path) -> bool:
    """Return whether a marked folder's `config.toml` is a run's; an unreadable one counts as a run's."""
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return settings_of(path) is not None


def _is_older_run(folder: Path) -> bool:
    """Return whether an unmarked folder is a run of an earlier version: it has settings and other files of a run."""
    started = any((folder / name).exists() for name in (STARTS, METRICS, RECORD, FAILED, CHECKPOINTS))
    return started and not (folder / CONFIG).is_symlink() and settings_of(folder / CONFIG) is not None


RUN = Kind(
    "run",
    {
        # After the removal of the first, the rest can neither be resumed nor read as a finished run.
        RECORD: by_name,
        CONFIG: is_config,
        f"{CHECKPOINTS}/step-[0-9]*.pt": by_name,
        METRICS: by_name,
        STARTS: by_name,
        STUDENT: by_name,
        ANALYSIS: by_name,
        REPORT: by_name,
        "*.onnx": is_exported_onnx,
        "*.pt2": is_exported_program,
        "*.md": is_description,
        f"{TRACKER}/wcord/events.out.tfevents.*": by_name,
        f"{TRACKER}/wcord/*/events.out.tfevents.*": by_name,
        f"{TRACKER}/wcord/*/hparams.yml": by_name,
        FAILED: by_name,
        NOT_APPLICABLE: by_name,
    },
    stays=(INSIDE,),
    older=_is_older_run,
)
"""The files that a run writes."""
